# SPDX-License-Identifier: MIT
"""What a model loses in every type and by every method: a table and a plot for the documentation.

    python bench/quantization.py models/gristmill-tales-f16.gguf --text eval.txt \
        --calibration calibration.txt --ggml libggml-base.so --out docs/quantization

`--ggml` adds what llama.cpp's encoders make of the same recipe, without and with the same
importance matrix.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ggml_quantize import Ggml
from gristmill import Model
from gristmill.evaluate import BaseReader, BaseWriter, Windows, divergence, perplexity
from gristmill.evaluate.windows import bos_of
from gristmill.gguf import File
from gristmill.quantize import quantize
from gristmill.quantize.calibrate import Moments, collect_imatrix, matrices

TYPES = (
    "Q2_K Q3_K_S Q3_K_M Q3_K_L IQ4_XS IQ4_NL Q4_0 Q4_1 Q4_K_S Q4_K_M Q5_0 Q5_K_M Q6_K Q8_0".split()
)
Row = dict[str, Any]
Maker = Callable[[Path, str], object]


def makers(source: Path, options: argparse.Namespace) -> Iterator[tuple[str, Maker]]:
    """The methods by name."""
    model = Model.load(source, cache=False)
    windows = Windows.of(
        model.tokenizer,
        options.calibration.read_text(encoding="utf-8"),
        512,
        options.calibration_chunks,
    )
    weights = collect_imatrix(model, windows).weights()
    if options.ggml is not None:
        ggml = Ggml(options.ggml)
        yield "llama.cpp", lambda out, kind: ggml.quantize(source, out, kind)
        yield "llama.cpp imatrix", lambda out, kind: ggml.quantize(source, out, kind, weights)
    yield "rtn", lambda out, kind: quantize(source, out, kind)
    yield "imatrix", lambda out, kind: quantize(source, out, kind, importance=weights)
    moments = Moments(model, windows, matrices(model))
    yield "gptq", lambda out, kind: quantize(source, out, kind, moments=moments)


def measure(source: Path, options: argparse.Namespace, folder: Path) -> list[Row]:
    """A row per type and method."""
    model = Model.load(source, cache=False)
    text = options.text.read_text(encoding="utf-8")
    windows = Windows.of(model.tokenizer, text, 512, options.chunks)
    base, out = folder / "base", folder / "made.gguf"
    with BaseWriter(base, windows, model.vocab_size) as writer:
        reference = perplexity(model, windows, base=writer)
    rows = [{"type": "reference", "method": "", "bytes": size(source), "kl": 0.0, "kl_error": 0.0,
             "perplexity": reference.perplexity, "top1": 1.0}]  # fmt: skip
    for method, make in makers(source, options):
        for kind in options.types:
            make(out, kind)
            made = Model.load(out, cache=False)
            found = divergence(made, BaseReader(base, bos_of(made.tokenizer)))
            rows.append({"type": kind, "method": method, "bytes": size(out), "kl": found.kl,
                         "kl_error": found.kl_error, "perplexity": found.model.perplexity,
                         "top1": found.top1})  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    return rows


def size(path: Path) -> int:
    """Bytes of all tensors."""
    return sum(tensor.nbytes for tensor in File(path).tensors.values())


def markdown(rows: list[Row]) -> str:
    """KL divergence by type and method."""
    methods = list(dict.fromkeys(row["method"] for row in rows if row["method"]))
    lines = ["| type | MB | " + " | ".join(methods) + " |", "|---" * (2 + len(methods)) + "|"]
    for kind in dict.fromkeys(row["type"] for row in rows if row["method"]):
        found = {row["method"]: row for row in rows if row["type"] == kind}
        cells = [f"{found[m]['kl']:.5f}" if m in found else "" for m in methods]
        megabytes = next(iter(found.values()))["bytes"] / 1e6
        lines.append(f"| {kind} | {megabytes:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[Row], path: Path) -> None:
    """KL divergence against size, a line per method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_yscale("log")
    axes.set_xlabel("size, MB")
    axes.set_ylabel("mean KL divergence, nats")
    axes.grid(visible=True, alpha=0.3)
    for method in dict.fromkeys(row["method"] for row in rows if row["method"]):
        points = sorted((row["bytes"] / 1e6, row["kl"]) for row in rows if row["method"] == method)
        axes.plot(*zip(*points, strict=True), "o-", label=method, markersize=4, linewidth=1)
    axes.legend()
    figure.savefig(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    add = parser.add_argument
    add("source", type=Path)
    add("--text", type=Path, required=True, help="what divergence is measured on")
    add("--calibration", type=Path, required=True)
    add("--chunks", type=int, default=40, help="windows of the text")
    add("--calibration-chunks", type=int, default=60)
    add("--ggml", type=Path, help="libggml-base")
    add("--types", nargs="+", default=TYPES)
    add("--out", type=Path, required=True, help="folder for quantization.json, .md and .svg")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options.source, options, Path(folder))
    (options.out / "quantization.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "quantization.md").write_text(markdown(rows))
    plot(rows, options.out / "quantization.svg")


if __name__ == "__main__":
    main()
