# SPDX-License-Identifier: MIT
"""`gristmill quantize`: a model file in a smaller type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .output import LoadingBar, note
from .perplexity import read_text

if TYPE_CHECKING:
    from gristmill.evaluate import Windows
    from gristmill.quantize import Quantized


Method = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="rtn, imatrix or gptq. [rtn; imatrix with --imatrix]"),
]
ImatrixFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Importance of columns: an imatrix file, GGUF or .dat."),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Text that imatrix and gptq measure the model with."),
]
CalibrationChunks = Annotated[
    int | None,
    typer.Option("--chunks", metavar="N", min=1, help="Windows of the text to use. [all]"),
]
CalibrationWindow = Annotated[
    int, typer.Option("-c", "--ctx", metavar="N", min=4, help="Tokens of a window.")
]
TargetSize = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Types per matrix so that the tensors fit: 4.2GiB."),
]
TargetBits = Annotated[
    float | None, typer.Option(metavar="BITS", help="The same, in bits per weight.")
]
Pure = Annotated[bool, typer.Option("--pure", help="One format for all matrices, no exceptions.")]
TensorTypes = Annotated[
    list[str] | None,
    typer.Option("--tensor-type", metavar="NAME=TYPE", help="The type of a tensor. Repeatable."),
]


def quantize(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A GGUF file or hf: name, best F16 or BF16.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The GGUF file to write or replace.")],
    *,
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="Q4_K_M, Q8_0, IQ4_XS and so on.")
    ] = "Q4_K_M",
    method: Method = None,
    imatrix: ImatrixFile = None,
    calibration: CalibrationFile = None,
    chunks: CalibrationChunks = None,
    window: CalibrationWindow = 512,
    target_size: TargetSize = None,
    target_bpw: TargetBits = None,
    pure: Pure = False,
    tensor_type: TensorTypes = None,
    threads: o.Threads = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Quantize a model: the least error that a search finds, block by block."""
    del debug  # main() reads it
    from gristmill import hub
    from gristmill.quantize import quantize as quantize_model
    from gristmill.report import parse_bytes

    path = hub.resolve(source)
    types = dict(split_type(text) for text in tensor_type or [])
    sample = Calibration(path, calibration, window, chunks, threads)
    method = method or ("imatrix" if imatrix or calibration else "rtn")
    target = target_bpw
    if target_size is not None:
        target = parse_bytes(target_size, "quantize", "--target-size")
    how = knowledge(method, imatrix, sample)
    if target is not None:
        known = how if "importance" in how else knowledge("imatrix", imatrix, sample)
        types = budget_types(sample, target, known["importance"]) | types
    with LoadingBar("quantizing") as progress:
        done = quantize_model(
            path, out, kind, pure=pure, types=types, threads=threads, progress=progress, **how
        )
    if as_json:
        import dataclasses
        import json

        print(json.dumps(dataclasses.asdict(done) | {"path": str(done.path)}, indent=1))
    else:
        print_card(done)
    for text in done.notes:
        note(f"note: {text}")
    return 0


def split_type(text: str) -> tuple[str, str]:
    """NAME=TYPE."""
    name, given, wanted = text.partition("=")
    if not given:
        raise typer.BadParameter(f"--tensor-type is NAME=TYPE. Got {text!r}.")
    return name, wanted


@dataclass(frozen=True)
class Calibration:
    """A text, and how the model is measured with it."""

    path: Path
    text: Path | None
    window: int
    chunks: int | None
    threads: int | None

    def windows(self) -> Windows:
        """The windows of the text; the model is not loaded for them."""
        if self.text is None:
            raise typer.BadParameter("This needs a text: --calibration FILE.")
        from gristmill import tokenizer
        from gristmill.evaluate import Windows
        from gristmill.gguf import File

        words = tokenizer.from_metadata(File(self.path).metadata)
        return Windows.of(words, read_text(self.text), self.window, self.chunks)


def knowledge(method: str, imatrix: str | None, calibration: Calibration) -> dict[str, Any]:
    """What a method knows of the inputs of matrices, as arguments of `quantize`."""
    if method not in ("rtn", "imatrix", "gptq"):
        raise typer.BadParameter(f"--method is rtn, imatrix or gptq. Got {method!r}.")
    if method == "rtn":
        return {}
    if method == "imatrix" and imatrix is not None:
        from gristmill.quantize.imatrix import read_imatrix

        return {"importance": read_imatrix(imatrix).weights()}
    from gristmill.model import Model
    from gristmill.quantize.calibrate import Moments, collect_imatrix, matrices

    windows = calibration.windows()
    model = Model.load(calibration.path, threads=calibration.threads, cache=False)
    if method == "gptq":
        return {"moments": Moments(model, windows, matrices(model))}
    with LoadingBar("measuring", counts=True) as progress:
        return {"importance": collect_imatrix(model, windows, progress=progress).weights()}


def budget_types(
    calibration: Calibration, target: float | int, importance: Mapping[str, Any]
) -> dict[str, str]:
    """Types of matrices under a size, bits per weight (float) or bytes (int)."""
    from gristmill.quantize.budget import fit_budget
    from gristmill.quantize.encoder import Encoder

    bits, size = (target, None) if isinstance(target, float) else (None, target)
    encoder = Encoder(calibration.threads or os.cpu_count() or 1, importance)
    with LoadingBar("pricing", counts=True) as progress:
        return fit_budget(
            calibration.path, calibration.windows(), encoder,
            nbytes=size, bits=bits, progress=progress,
        )  # fmt: skip


def print_card(done: Quantized) -> None:
    """The report card: a line per kind of tensor, then the whole."""
    from gristmill.report import human_bytes

    kinds: dict[tuple[str, str], list[float]] = {}
    for tensor in done.tensors:
        if tensor.error > 0:
            role = tensor.name.removesuffix(".weight").rpartition(".")[2]
            kinds.setdefault((role, tensor.after), []).append(tensor.error)
    for (role, kind), errors in sorted(kinds.items()):
        mean, worst = sum(errors) / len(errors), max(errors)
        print(f"{role:<20} {kind:<8} {len(errors):4d} x  error {mean:.4f} (largest {worst:.4f})")
    print(
        f"{done.path}: {done.type}, {len(done.tensors)} tensors, {human_bytes(done.nbytes)}, "
        f"{done.bits:.2f} bits per weight"
    )
