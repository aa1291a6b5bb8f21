# SPDX-License-Identifier: MIT
"""Writes a model's tensors in other types, some rows at a time: memory does not grow with the
model. The file appears complete or not at all."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..disk import require_space
from ..errors import FormatError, ShapeError, UnsupportedError
from ..gguf import File, TensorInfo
from ..gguf_writer import Writer
from ..tensor_roles import is_plain
from ..tensor_types import TENSOR_TYPES, tensor_bytes
from .calibrate import Moments
from .encoder import FLOATS, Encoder
from .recipe import FILE_TYPES, fitting, tensor_type

Progress = Callable[[int, int], object]
Array = NDArray[np.float32]
Weights = Mapping[str, Array]
CHUNK = 1 << 22  # values that are decoded at a time: 16 MiB
_VERSION = 2  # general.quantization_version


@dataclass(frozen=True)
class TensorReport:
    """What became of a tensor.

    Args:
        name: Its name.
        before: Type that it had.
        after: Type that it has.
        nbytes: Size that it has.
        error: Root mean square of its change by that of its values; weighted by importance where
            there is one.
    """

    name: str
    before: str
    after: str
    nbytes: int
    error: float


@dataclass(frozen=True)
class Quantized:
    """A file that was written; `nbytes` of all tensors, `bits` per weight."""

    path: Path
    type: str
    nbytes: int
    bits: float
    tensors: tuple[TensorReport, ...]
    notes: tuple[str, ...]


def quantize(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    file_type: str = "Q4_K_M",
    *,
    importance: Weights | None = None,
    moments: Moments | None = None,
    pure: bool = False,
    types: Mapping[str, str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Writes a model in another type.

    Args:
        source: A GGUF file, best one of F32, F16 or BF16.
        out: The file to write or replace.
        file_type: "Q4_K_M", "Q8_0" and so on; see `recipe.FILE_TYPES`.
        importance: Weights of the columns [K] of matrices by tensor name; see `imatrix`.
        moments: Second moments of inputs: matrices that have them are rounded by GPTQ.
        pure: Every matrix in the type's own format, without the recipe's exceptions.
        types: Types of tensors by name, before the recipe.
        threads: Worker threads; None: every core.
        progress: Called with bytes read and bytes in all.

    Raises:
        UnsupportedError: The type is unknown or has no search.
        FormatError: A weight is not finite.
        ShapeError: Importance weights do not fit.
        ResourceError: The source cannot be read, the disk is full, the file cannot be written.
    """
    name = _known(file_type)
    file = File(source)
    plan = types_of(file, name, pure, types or {})
    _require_writable(plan)
    path = Path(out)
    if path.exists() and any(os.path.samefile(path, part) for part in file.paths):
        raise FormatError(f"[quantize] {path} is the file that is read. Name another.")
    require_space(path, sum(tensor_bytes(t.shape, plan[n]) for n, t in file.tensors.items()))
    encoder = Encoder(threads or os.cpu_count() or 1, importance or {}, moments)
    job = _Job(file, plan, encoder, progress)
    with Writer(path) as writer:
        for key in file.metadata:
            if not key.startswith(("split.", "general.quantization_version", "general.file_type")):
                writer.add(key, file.metadata[key], file.metadata.type(key))
        writer.add("general.quantization_version", _VERSION)
        writer.add("general.file_type", FILE_TYPES[name][0])
        for tensor in file.tensors.values():
            made = functools.partial(job.pieces, tensor)
            writer.add_tensor(tensor.name, made, plan[tensor.name], shape=tensor.shape, raw=True)
    nbytes = sum(report.nbytes for report in job.reports)
    values = sum(math.prod(tensor.shape) for tensor in file.tensors.values())
    return Quantized(path, name, nbytes, 8 * nbytes / values, tuple(job.reports), job.notes())


def _known(file_type: str) -> str:
    """The name of a file type as the recipe has it."""
    name = file_type.upper()
    if name not in FILE_TYPES:
        raise UnsupportedError(
            f"[quantize] The type must be one of {', '.join(FILE_TYPES)}. Got {file_type!r:.40}."
        )
    return name


def _require_writable(plan: Mapping[str, str]) -> None:
    unwritable = sorted({kind for kind in plan.values() if not _writable(kind)})
    if unwritable:
        raise UnsupportedError(
            f"[quantize] {', '.join(unwritable)} can be read but not written yet. "
            "Hint: choose a type of more bits."
        )


class _Job:
    """The tensors one after another, and what was lost."""

    def __init__(
        self, file: File, plan: Mapping[str, str], encoder: Encoder, progress: Progress | None
    ) -> None:
        self.reports: list[TensorReport] = []
        self._file, self._plan, self._encoder, self._progress = file, plan, encoder, progress
        self._done, self._total = 0, sum(t.nbytes for t in file.tensors.values())

    def pieces(self, tensor: TensorInfo) -> Iterator[NDArray[Any]]:
        """The bytes of a tensor in its new type."""
        kind, columns = self._plan[tensor.name], tensor.shape[-1]
        known = self._encoder.about(tensor.name, kind, columns)
        lost = whole = 0.0
        data = self._file.data(tensor.name)
        row_bytes = tensor.nbytes // max(math.prod(tensor.shape[:-1]), 1)
        rows = data.reshape(-1).view(np.uint8).reshape(-1, row_bytes)
        step = max(1, CHUNK // columns // 16) * 16
        for first in range(0, len(rows), step):
            stored = rows[first : first + step]
            if kind == tensor.type:
                yield np.ascontiguousarray(stored)
            else:
                values = _core.decode(tensor.type, stored.reshape(-1), (len(stored), columns))
                _check(tensor.name, values)
                made = self._encoder.encode(kind, values, known)
                yield made
                back = _core.decode(kind, made, values.shape)
                scale = 1.0 if known.weights is None else known.weights
                lost += float((np.square(back - values) * scale).sum(dtype=np.float64))
                whole += float((np.square(values) * scale).sum(dtype=np.float64))
            self._done += stored.nbytes
            if self._progress is not None:
                self._progress(self._done, self._total)
        self._file.check()
        error = math.sqrt(lost / whole) if whole > 0 else 0.0
        nbytes = tensor_bytes(tensor.shape, kind)
        self.reports.append(TensorReport(tensor.name, tensor.type, kind, nbytes, error))

    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know."""
        worse = [r.name for r in self.reports if r.before not in FLOATS and r.before != r.after]
        if not worse:
            return ()
        text = f"{len(worse)} tensors were quantized before and lose twice"
        return (f"{text}: start from F16 or BF16 for less",)


def types_of(
    file: File, name: str, pure: bool = False, given: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The new type of every tensor: vectors and what routes or positions stay as they are.

    Raises:
        ShapeError, UnsupportedError: `given` names a tensor or a type that does not exist.
    """
    keys = file.metadata
    architecture = file.architecture
    layers = int(keys.get(f"{architecture}.block_count", 0))
    heads = int(np.max(keys.get(f"{architecture}.attention.head_count", 1)))
    kv_heads = int(np.max(keys.get(f"{architecture}.attention.head_count_kv", heads))) or heads
    tied = "output.weight" not in file.tensors
    unknown = sorted(set(given) - set(file.tensors))
    if unknown:
        raise ShapeError(f"[quantize] There is no tensor {unknown[0]!r} to give a type to.")
    base = FILE_TYPES[name][1]
    out = {}
    for tensor in file.tensors.values():
        if tensor.name in given:
            kind = given[tensor.name].upper()
            if kind not in TENSOR_TYPES:
                raise UnsupportedError(f"[quantize] There is no tensor type {kind!r:.40}.")
            out[tensor.name] = fitting(kind, tensor.shape[-1])
        elif not is_matrix(tensor):
            out[tensor.name] = tensor.type
        elif pure:
            out[tensor.name] = fitting(base, tensor.shape[-1])
        else:
            out[tensor.name] = tensor_type(
                name, tensor.name, tensor.shape[-1],
                layers=layers, gqa=heads // kv_heads, tied=tied,
            )  # fmt: skip
    return out


def is_matrix(tensor: TensorInfo) -> bool:
    """Whether a tensor is one that is quantized: norms, routers and positions are not."""
    return (
        len(tensor.shape) > 1
        and tensor.name.endswith(".weight")
        and not is_plain(tensor.name)
        and TENSOR_TYPES[tensor.type].status == "supported"
    )


def _writable(kind: str) -> bool:
    if kind in FLOATS:
        return True
    try:
        _core.quantize(kind, np.zeros((1, TENSOR_TYPES[kind].values), np.float32))
    except UnsupportedError:
        return False
    return True


def _check(name: str, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise FormatError(f"[quantize, tensor {name!r}] Weights must be finite. Got NaN or inf.")
