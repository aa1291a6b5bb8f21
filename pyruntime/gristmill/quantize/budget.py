# SPDX-License-Identifier: MIT
"""Mixed precision under a budget: which matrix gets which type, so that a file of a given size
loses the least.

Two things are measured. The error of a matrix in each type, relative to its values and weighted by
how its columns are used. And what an error costs: groups of matrices are rounded to a probe type
alone, and the KL divergence of the model's output per unit of their error is their price. To first
order both add up, so the choice is a knapsack: the least sum of price * error within the bytes,
by a Lagrange multiplier that is bisected, and then greedily with what is left.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import _core
from ..errors import ResourceError
from ..evaluate import BaseReader, BaseWriter, Windows, divergence, perplexity
from ..gguf import File, TensorInfo
from ..model import Model
from ..tensor_types import tensor_bytes
from .encoder import Encoder
from .quantizer import is_matrix, quantize
from .recipe import fitting

Progress = Callable[[int, int], object]
CANDIDATES = ("Q2_K", "Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0")
PROBE = "Q3_K"
_SMALL = 64 << 20  # values: of smaller models every matrix is a group of its own
_SAMPLE = 1 << 20  # values of a matrix that its error is measured on


@dataclass(frozen=True)
class Choice:
    """A matrix in a type: bytes in the file, and what it is expected to cost."""

    kind: str
    nbytes: int
    cost: float


def fit_budget(
    source: Path,
    windows: Windows,
    encoder: Encoder,
    *,
    nbytes: int | None = None,
    bits: float | None = None,
    progress: Progress | None = None,
) -> dict[str, str]:
    """The types of a model's matrices so that all tensors take so many bytes, or bits per weight.

    Raises:
        ResourceError: They cannot be so small; or there is not enough memory or disk.
    """
    tensors = File(source).tensors
    matrices = [tensor for tensor in tensors.values() if is_matrix(tensor)]
    values = sum(math.prod(tensor.shape) for tensor in tensors.values())
    budget = int(values * (bits or 0) / 8) if nbytes is None else nbytes
    fixed = sum(t.nbytes for t in tensors.values()) - sum(t.nbytes for t in matrices)
    return choose(measure(source, windows, encoder, matrices, progress=progress), budget - fixed)


def choose(options: Mapping[str, Sequence[Choice]], budget: int) -> dict[str, str]:
    """The type of every matrix with the least cost within a budget of bytes.

    Raises:
        ResourceError: Even the smallest types need more.
    """
    least = sum(min(choice.nbytes for choice in choices) for choices in options.values())
    if least > budget:
        raise ResourceError(
            f"[quantize] The matrices take at least {least / 1e6:.1f} MB in these types. "
            f"Got a budget of {budget / 1e6:.1f} MB."
        )
    low, high = 0.0, 1.0
    while _size(_at(options, high)) > budget:
        high *= 4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _size(_at(options, middle)) > budget else (low, middle)
    chosen = _at(options, high)
    _spend(options, chosen, budget - _size(chosen))
    return {name: choice.kind for name, choice in chosen.items()}


def _at(options: Mapping[str, Sequence[Choice]], price: float) -> dict[str, Choice]:
    """The best choices where a byte costs `price`."""
    return {
        name: min(choices, key=lambda c: (c.cost + price * c.nbytes, c.nbytes))
        for name, choices in options.items()
    }


def _size(chosen: Mapping[str, Choice]) -> int:
    return sum(choice.nbytes for choice in chosen.values())


def _spend(options: Mapping[str, Sequence[Choice]], chosen: dict[str, Choice], left: int) -> None:
    """What is left goes to the upgrades with the most gain per byte."""
    while True:
        upgrades = [
            ((chosen[name].cost - c.cost) / max(c.nbytes - chosen[name].nbytes, 1), name, c)
            for name, choices in options.items()
            for c in choices
            if c.cost < chosen[name].cost and c.nbytes - chosen[name].nbytes <= left
        ]
        if not upgrades:
            return
        _, name, better = max(upgrades, key=lambda upgrade: upgrade[0])
        left -= better.nbytes - chosen[name].nbytes
        chosen[name] = better


def measure(
    source: Path,
    windows: Windows,
    encoder: Encoder,
    matrices: Sequence[TensorInfo],
    *,
    candidates: Sequence[str] = CANDIDATES,
    progress: Progress | None = None,
) -> dict[str, list[Choice]]:
    """What every matrix costs in every candidate type.

    Args:
        source: The model as it is.
        windows: A text that prices are measured on.
        encoder: With what is known of the matrices' inputs.
        matrices: What is to be chosen for.
        candidates: Types; a fallback takes the place of one whose blocks do not fit.
        progress: Called with measurements done and measurements in all.

    Raises:
        ResourceError: There is not enough memory or disk.
    """
    file = File(source)
    errors = {
        tensor.name: {
            kind: _error(file, tensor, kind, encoder)
            for kind in dict.fromkeys(fitting(c, tensor.shape[-1]) for c in (*candidates, PROBE))
        }
        for tensor in matrices
    }
    lost = {name: _probe(found) for name, found in errors.items()}
    prices = _prices(source, windows, encoder, lost, progress)
    return {
        tensor.name: [
            Choice(kind, tensor_bytes(tensor.shape, kind), prices[tensor.name] * error)
            for kind, error in errors[tensor.name].items()
        ]
        for tensor in matrices
    }


def _error(file: File, tensor: TensorInfo, kind: str, encoder: Encoder) -> float:
    """Mean square of the change by that of the values, on rows from all over the matrix."""
    columns = tensor.shape[-1]
    rows = math.prod(tensor.shape[:-1])
    step = max(1, rows * columns // _SAMPLE)
    values = file.dequantize(tensor.name).reshape(rows, columns)[::step]
    weights = encoder.about(tensor.name, kind, columns).weights
    made = _core.quantize(kind, np.ascontiguousarray(values), weights, encoder.threads)
    scale = 1.0 if weights is None else weights
    lost = np.square(_core.decode(kind, made, values.shape) - values) * scale
    whole = float((np.square(values) * scale).sum(dtype=np.float64))
    return float(lost.sum(dtype=np.float64)) / whole if whole > 0 else 0.0


def _prices(
    source: Path,
    windows: Windows,
    encoder: Encoder,
    lost: Mapping[str, float],
    progress: Progress | None,
) -> dict[str, float]:
    """KL divergence per unit of error, by matrix; `lost` is the error in the probe type."""
    tensors = File(source).tensors
    kept = {name: tensors[name].type for name in lost}
    groups = _groups([tensors[name] for name in lost])
    prices: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="gristmill-", dir=source.parent) as folder:
        base, probe = Path(folder) / "base", Path(folder) / "probe.gguf"
        model = Model.load(source, threads=encoder.threads, cache=False)
        with BaseWriter(base, windows, model.vocab_size) as writer:
            perplexity(model, windows, base=writer)
        del model
        for done, names in enumerate(groups):
            types = kept | dict.fromkeys(names, PROBE)
            quantize(source, probe, "F16", types=types, threads=encoder.threads,
                     importance=encoder.importance)  # fmt: skip
            model = Model.load(probe, threads=encoder.threads, cache=False)
            found = divergence(model, BaseReader(base, windows.bos))
            del model
            error = sum(lost[name] for name in names)
            prices.update(dict.fromkeys(names, max(found.kl, 1e-9) / max(error, 1e-12)))
            if progress is not None:
                progress(done + 1, len(groups))
    return prices


def _probe(errors: Mapping[str, float]) -> float:
    """The error in the probe type, or in what took its place."""
    return errors[PROBE] if PROBE in errors else list(errors.values())[-1]


def _groups(matrices: Sequence[TensorInfo]) -> list[list[str]]:
    """Matrices that are priced together: each alone, or by role and third of the depth."""
    if sum(math.prod(tensor.shape) for tensor in matrices) <= _SMALL:
        return [[tensor.name] for tensor in matrices]
    blocks = 1 + max((_block(tensor.name) for tensor in matrices), default=0)
    groups: dict[tuple[str, int], list[str]] = {}
    for tensor in matrices:
        role = tensor.name.removesuffix(".weight").rpartition(".")[2]
        third = 3 * max(_block(tensor.name), 0) // blocks
        groups.setdefault((role, third), []).append(tensor.name)
    return list(groups.values())


def _block(name: str) -> int:
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" and parts[1].isdigit() else -1
