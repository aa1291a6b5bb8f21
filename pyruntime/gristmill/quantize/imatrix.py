# SPDX-License-Identifier: MIT
"""Importance matrices: how strongly each column of a matrix is used, from real text.

For every matrix the sum over tokens of the squares of its input, per column [K] (and per expert).
Files are those of llama.cpp, so that either program reads the other's: GGUF with `general.type`
"imatrix", tensors NAME.in_sum2 [experts, K] and NAME.counts [experts, 1]; and the older .dat.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, ResourceError
from ..gguf import File
from ..gguf_writer import Writer

Array = NDArray[np.float32]
_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True)
class Sums:
    """Of one matrix: sums of squares [experts, K], and over how many tokens [experts]."""

    squares: Array
    counts: Array

    def mean(self) -> Array:
        """Mean squares [experts, K]; an expert that saw no token counts all columns alike."""
        seen = self.counts > 0
        counts = np.where(seen, self.counts, 1)[:, None]
        return np.where(seen[:, None], self.squares / counts, 1).astype(np.float32)


@dataclass
class Imatrix:
    """Sums by tensor name, and what they were measured with.

    Args:
        sums: By the name of the matrix, "blk.0.attn_q.weight".
        datasets: Names of the texts.
        chunk: Tokens of a window.
        chunks: How many windows.
    """

    sums: dict[str, Sums] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    chunk: int = 512
    chunks: int = 0

    def weights(self) -> Mapping[str, Array]:
        """Weights of the columns [K] by tensor; those of experts are their mean."""
        return {name: sums.mean().mean(axis=0) for name, sums in self.sums.items()}

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes a GGUF file.

        Raises:
            ResourceError: It cannot be written.
        """
        with Writer(path) as writer:
            writer.add("general.type", "imatrix")
            writer.add("imatrix.datasets", self.datasets, "array[string]")
            writer.add("imatrix.chunk_count", self.chunks)
            writer.add("imatrix.chunk_size", self.chunk)
            for name, sums in sorted(self.sums.items()):
                writer.add_tensor(name + _SUMS, sums.squares.astype(np.float32))
                writer.add_tensor(name + _COUNTS, sums.counts.astype(np.float32)[:, None])


def read_imatrix(path: str | os.PathLike[str]) -> Imatrix:
    """Reads a file of either kind.

    Raises:
        ResourceError: It cannot be read.
        FormatError: It is none.
    """
    try:
        with Path(path).open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError as error:
        raise ResourceError(f"[imatrix] {path} cannot be read: {error.strerror}.") from error
    found = _from_gguf(path) if is_gguf else _from_dat(path)
    for name, sums in found.sums.items():
        if not (np.isfinite(sums.squares).all() and (sums.squares >= 0).all()):
            raise FormatError(f"[imatrix] {path}: sums of {name!r} must be finite and at least 0.")
        if not (np.isfinite(sums.counts).all() and (sums.counts >= 0).all()):
            raise FormatError(f"[imatrix] {path}: counts of {name!r} must be at least 0.")
    if not found.sums:
        raise FormatError(f"[imatrix] {path} has no sums.")
    return found


def _from_gguf(path: str | os.PathLike[str]) -> Imatrix:
    file = File(path)
    keys = file.metadata
    found = Imatrix(
        datasets=[str(name) for name in keys.get("imatrix.datasets", [])],
        chunk=int(keys.get("imatrix.chunk_size", 512)),
        chunks=int(keys.get("imatrix.chunk_count", 0)),
    )
    for name, tensor in file.tensors.items():
        if not name.endswith(_SUMS):
            continue
        base = name.removesuffix(_SUMS)
        counts = file.tensors.get(base + _COUNTS)
        if counts is None or tensor.type != "F32" or counts.type != "F32":
            raise FormatError(f"[imatrix] {path}: {base!r} needs F32 sums and counts.")
        squares = file.dequantize(name).reshape(-1, tensor.shape[-1])
        number = file.dequantize(base + _COUNTS).reshape(-1)
        if len(number) != len(squares):
            raise FormatError(f"[imatrix] {path}: {base!r} needs a count per row of sums.")
        found.sums[base] = Sums(squares, number)
    return found


def _from_dat(path: str | os.PathLike[str]) -> Imatrix:
    """i32 entries; per entry i32 length, name, i32 calls, i32 values, f32 means times calls; then
    i32 chunks, i32 length, the dataset's name."""
    data = Path(path).read_bytes()
    at = 0

    def number() -> int:
        nonlocal at
        (value,) = struct.unpack_from("<i", data, at)
        at += 4
        return int(value)

    def piece(size: int) -> bytes:
        nonlocal at
        if not 0 <= size <= len(data) - at:
            raise ValueError
        at += size
        return data[at - size : at]

    found = Imatrix()
    try:
        for _ in range(number()):
            name = piece(number()).decode()
            calls, count = number(), number()
            values = np.frombuffer(piece(4 * count), "<f4").astype(np.float32)
            found.sums[name] = Sums(values[None], np.array([max(calls, 1)], np.float32))
        if at < len(data):
            found.chunks = number()
            found.datasets = [piece(number()).decode()]
    except (struct.error, ValueError) as error:
        raise FormatError(f"[imatrix] {path} is no importance matrix.") from error
    return found
