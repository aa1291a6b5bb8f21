# SPDX-License-Identifier: MIT
"""`gristmill compare`: what models lose against a reference, such as types of one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .output import LoadingBar, load_model, note
from .perplexity import Chunks, Window, measure, read_text

if TYPE_CHECKING:
    from gristmill.evaluate import Divergence, Perplexity
    from gristmill.model import Model


def compare(
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="The best there is, F16 for example.")
    ],
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="What is compared.")],
    *,
    text: Annotated[Path, typer.Option("-f", "--text", "--file", metavar="FILE")],
    context: Window = 512,
    chunks: Chunks = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw divergence against size (SVG or PNG)."),
    ] = None,
    kv: o.KvCache = "f16",
    threads: o.Threads = None,
    isa: o.Isa = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Compare models with a reference: size, perplexity, KL divergence.

    --kv is the models' cache type; the reference's is f16.
    """
    del debug  # main() reads it
    if plot is not None:
        require_matplotlib()
    options: dict[str, Any] = {"threads": threads, "context": None, "isa": isa, "cache": False}
    rows = []
    import tempfile

    from gristmill.evaluate import BaseReader, Windows, divergence
    from gristmill.evaluate.windows import bos_of

    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        loaded = load_model(reference, kv="f16", **options)
        windows = Windows.of(loaded.tokenizer, read_text(text), context, chunks)
        base = Path(folder) / "base"
        with LoadingBar("reference", counts=True) as progress:
            rows.append(reference_row(reference, loaded, measure(loaded, windows, base, progress)))
        del loaded
        for name in models:
            model = load_model(name, kv=kv, **options)
            with LoadingBar(Path(name).name, counts=True) as progress:
                found = divergence(
                    model, BaseReader(base, bos_of(model.tokenizer)), progress=progress
                )
            rows.append(divergence_row(name, model, found))
            del model
    if as_json:
        import json

        print(json.dumps(rows, indent=1))
    else:
        print_table(rows)
    if plot is not None:
        draw(rows[1:], plot)
        note(f"The plot is in {plot}.")
    return 0


def row_of(name: str, model: Model) -> dict[str, Any]:
    """What is known before anything is computed; sizes are of all tensors."""
    import math

    from gristmill.gguf import File

    tensors = File(model.report.path).tensors.values()
    values = sum(math.prod(tensor.shape) for tensor in tensors)
    nbytes = sum(tensor.nbytes for tensor in tensors)
    return {"model": name, "bytes": nbytes, "bits_per_weight": 8 * nbytes / values}


def reference_row(name: str, model: Model, result: Perplexity) -> dict[str, Any]:
    """The reference, which is as far from itself as nothing."""
    return row_of(name, model) | {
        "perplexity": result.perplexity, "ratio": 1.0, "ratio_error": 0.0,
        "kl": 0.0, "kl_error": 0.0, "kl_99": 0.0, "top1": 1.0,
    }  # fmt: skip


def divergence_row(name: str, model: Model, found: Divergence) -> dict[str, Any]:
    """A model that was compared."""
    return row_of(name, model) | {
        "perplexity": found.model.perplexity, "ratio": found.ratio,
        "ratio_error": found.ratio_error, "kl": found.kl, "kl_error": found.kl_error,
        "kl_99": found.kl_99, "top1": found.top1,
    }  # fmt: skip


def print_table(rows: list[dict[str, Any]]) -> None:
    """A line per model."""
    from rich.table import Table

    from .output import console

    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for head in ("MB", "bits", "perplexity", "KL divergence", "99 %", "same top"):
        table.add_column(head, justify="right")
    for r in rows:
        table.add_row(
            Path(r["model"]).name, f"{r['bytes'] / 1e6:.1f}", f"{r['bits_per_weight']:.2f}",
            f"{r['perplexity']:.4f}",
            f"{r['kl']:.6f} +- {r['kl_error']:.6f}", f"{r['kl_99']:.5f}",
            f"{100 * r['top1']:.2f} %",
        )  # fmt: skip
    console().print(table)


def require_matplotlib() -> None:
    """Says before anything is computed that it is missing."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise typer.BadParameter("--plot needs matplotlib: pip install matplotlib.")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """KL divergence against size, a point per model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_yscale("log")
    axes.set_xlabel("size, MB")
    axes.set_ylabel("mean KL divergence, nats")
    axes.grid(visible=True, alpha=0.3)
    for row in rows:
        at = (row["bytes"] / 1e6, max(row["kl"], 1e-7))
        axes.plot(*at, "o", color="tab:blue")
        axes.annotate(Path(row["model"]).stem, at, xytext=(4, 4), textcoords="offset points",
                      fontsize=8)  # fmt: skip
    figure.savefig(path)
