# SPDX-License-Identifier: MIT
"""Reads the rows of an output and gives them in the type of the file, a few MiB at a time.

So a conversion takes the same memory for any model. Values go through F32, which holds every F16
and BF16 exactly; rows that already have the wanted type are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill import _core
from gristmill.errors import FormatError, UnsupportedError
from gristmill.tensor_roles import is_plain

from .mapping import Output
from .safetensors import Checkpoint, Entry
from .scheme import Tiling

CHUNK = 1 << 18  # values; their F32 takes 1 MiB and so stays in a core's own cache
F16_MOST = 65504.0

# type -> general.file_type, and values of a block
TYPES = {"F32": (0, 1), "F16": (1, 1), "Q8_0": (7, 32), "BF16": (32, 1)}
AUTO = "auto"


def file_type(wanted: str, entries: Iterator[Entry]) -> str:
    """The type of a file's matrices; "auto": BF16 if most of the checkpoint is, else F16.

    Raises:
        UnsupportedError: The name is none of TYPES.
    """
    name = wanted.upper()
    if name in TYPES:
        return name
    if wanted.lower() != AUTO:
        known = ", ".join([*map(str.lower, TYPES), AUTO])
        raise UnsupportedError(f"[type] The type must be one of {known}. Got {wanted!r:.40}.")
    sizes = {"BF16": 0, "F16": 0}
    for entry in entries:
        if len(entry.shape) > 1:
            sizes["BF16" if entry.dtype == "BF16" else "F16"] += entry.rows * entry.columns
    return "BF16" if sizes["BF16"] > sizes["F16"] else "F16"


def output_type(output: Output, wanted: str) -> str:
    """The type of one tensor: F32 unless a linear layer has it; odd rows go without blocks."""
    if output.type:
        return output.type
    if len(output.shape) == 1 or is_plain(output.name):
        return "F32"
    return wanted if output.shape[-1] % TYPES[wanted][1] == 0 else "F16"


def encode(checkpoint: Checkpoint, output: Output, kind: str) -> Iterator[NDArray[np.uint8]]:
    """The bytes of a tensor, in pieces.

    Raises:
        ResourceError, UnsupportedError: As Checkpoint.read.
        FormatError: A value is not finite, or too large for F16.
    """
    if output.reader is not None:
        yield from output.reader(checkpoint, kind)
        return
    for span in output.spans:
        step = max(1, CHUNK // max(span.entry.columns, 1))
        if output.head_rows:
            step = max(1, step // output.head_rows) * output.head_rows
        for first in range(span.first, span.first + span.rows, step):
            rows = min(step, span.first + span.rows - first)
            stored = _pairs(checkpoint.read(span.entry, first, rows), output.head_rows)
            stored = _tiled(stored, output.columns)
            if span.entry.dtype == kind and output.shift == 0.0 and not output.negative_exp:
                yield np.ascontiguousarray(stored).view(np.uint8).reshape(-1)
                continue
            values = to_floats(stored, span.entry.dtype)
            if output.shift != 0.0:
                values = values + np.float32(output.shift)
            if output.negative_exp:
                with np.errstate(over="ignore"):  # reported below
                    values = -np.exp(values)
            check_values(values, span.entry, kind)
            yield _core.encode(kind, values)


def to_floats(stored: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Values as F32."""
    if dtype == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # of F64; reported below
        return np.ascontiguousarray(stored, dtype=np.float32)


def _pairs(stored: NDArray[Any], head_rows: int) -> NDArray[Any]:
    """Rows j and j + half of each head side by side."""
    if not head_rows:
        return stored
    heads = stored.reshape(-1, 2, head_rows // 2, stored.shape[-1])
    pairs: NDArray[Any] = heads.swapaxes(1, 2).reshape(stored.shape)
    return pairs


def _tiled(stored: NDArray[Any], tiling: Tiling | None) -> NDArray[Any]:
    """Heads of columns, one of each group in turn."""
    if tiling is None:
        return stored
    heads = stored.reshape(-1, tiling.groups, tiling.each, tiling.width)
    tiled: NDArray[Any] = heads.swapaxes(1, 2).reshape(stored.shape)
    return tiled


def check_values(values: NDArray[np.float32], entry: Entry, kind: str) -> None:
    """Raises FormatError for a value that the type cannot hold."""
    most = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(most):
        raise FormatError(
            f"[{entry.path}, tensor {entry.name!r}] Weights must be finite. Got {most}."
        )
    # A block of Q8_0 keeps its largest value over 127 as F16.
    limit = {"F16": F16_MOST, "Q8_0": F16_MOST * 127}.get(kind)
    if limit is not None and most > limit:
        raise FormatError(
            f"[{entry.path}, tensor {entry.name!r}] {kind} holds values up to {limit:g}. "
            f"Got {most:g}. Hint: convert to bf16 or f32."
        )
