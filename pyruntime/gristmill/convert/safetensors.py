# SPDX-License-Identifier: MIT
"""Checkpoints in safetensors files, one or many: what they hold, and reading it piece by piece.

A file is a length, a JSON header of that length, and the bytes. The header is untrusted: lengths,
shapes and offsets are checked against each other and against the file before anything is read.
Bytes are read, not mapped, so that a file that another program shortens is an error and no signal.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import FormatError, ResourceError, UnsupportedError

from .files import load_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

MAX_HEADER = 100 * 10**6  # bytes; what the safetensors library accepts
MAX_DIMS = 8
# Bytes of a value by the header's name for it. Sub-byte types have no whole number and are refused.
SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "I16": 2,
    "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
# Those that weights may have. BF16 is the upper half of F32, which NumPy lacks.
FLOATS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}


@dataclass(frozen=True)
class Entry:
    """One tensor of a checkpoint: `nbytes` bytes from `offset` of the file `path`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int

    @property
    def rows(self) -> int:
        """Rows of the tensor seen as [rows, columns]; of a vector, its values."""
        return math.prod(self.shape[:-1]) if len(self.shape) > 1 else math.prod(self.shape)

    @property
    def columns(self) -> int:
        """Values of a row; 1 for vectors."""
        return self.shape[-1] if len(self.shape) > 1 else 1


class Checkpoint(Mapping[str, Entry]):
    """The tensors of a folder by name.

    Args:
        folder: Holds model.safetensors, or model.safetensors.index.json and the files it names.

    Raises:
        ResourceError: There is no such file, or a part is missing.
        FormatError: A header or the index is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO | None = None
        self._entries: dict[str, Entry] = {}
        for path, names in _parts(folder):
            found = read_header(path)
            absent = next((name for name in names if name not in found), None)
            if absent is not None:
                raise FormatError(f"[{path}] The index puts tensor {absent!r} here; it is not.")
            for name in names or found:
                self._entries[name] = found[name]

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Any:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, entry: Entry, first: int, rows: int) -> NDArray[Any]:
        """`rows` rows of a float tensor from row `first`, [rows, columns], as they are stored.

        Raises:
            ResourceError: The file is gone, was shortened or cannot be read.
            UnsupportedError: The tensor is not of a float type.
        """
        kind = FLOATS.get(entry.dtype)
        if kind is None:
            raise UnsupportedError(
                f"[{entry.path}, tensor {entry.name!r}] Weights must be one of "
                f"{', '.join(FLOATS)}. Got {entry.dtype}."
            )
        row_bytes = entry.columns * SIZES[entry.dtype]
        data = self._bytes(entry, first * row_bytes, rows * row_bytes)
        return np.frombuffer(data, dtype=kind).reshape(rows, entry.columns)

    def read_bytes(self, entry: Entry, first: int, rows: int) -> NDArray[np.uint8]:
        """`rows` rows of a tensor of bytes from row `first`, [rows, columns].

        Raises:
            ResourceError: As read.
            UnsupportedError: The tensor is not of bytes.
        """
        if entry.dtype != "U8":
            raise UnsupportedError(
                f"[{entry.path}, tensor {entry.name!r}] Quantized weights must be U8. "
                f"Got {entry.dtype}."
            )
        data = self._bytes(entry, first * entry.columns, rows * entry.columns)
        return np.frombuffer(data, dtype=np.uint8).reshape(rows, entry.columns)

    def close(self) -> None:
        """Closes the file that was read last."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _bytes(self, entry: Entry, start: int, count: int) -> bytes:
        try:
            if self._file is None or self._file.name != str(entry.path):
                self.close()
                self._file = open(str(entry.path), "rb", buffering=0)  # noqa: SIM115
            self._file.seek(entry.offset + start)
            data = bytearray()
            while len(data) < count and (piece := self._file.read(count - len(data))):
                data += piece
        except OSError as error:
            raise ResourceError(f"[{entry.path}] The file cannot be read: {error}.") from error
        if len(data) != count:
            raise ResourceError(f"[{entry.path}] The file was shortened while it was read.")
        return bytes(data)


def _parts(folder: Path) -> Iterable[tuple[Path, tuple[str, ...]]]:
    """The files of a checkpoint, and which tensors to take from each (none: all)."""
    single, index = folder / SINGLE, folder / INDEX
    if index.is_file():
        return [(folder / part, names) for part, names in sorted(_index(index).items())]
    if single.is_file():
        return [(single, ())]
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return [(others[0], ())]
    pickles = next(iter(folder.glob("*.bin")), None)
    hint = " Pickled weights (.bin) are not read: they can run code." if pickles else ""
    raise ResourceError(f"[{folder}] There is no {SINGLE} and no {INDEX}.{hint}")


def _index(path: Path) -> dict[str, tuple[str, ...]]:
    """Tensor names by file name."""
    where = load_json(path).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise FormatError(f"[{path}] The index must have a weight_map of tensors to files.")
    parts: dict[str, list[str]] = {}
    for name, part in where.items():
        # A part beside the index; no way out of the folder.
        if not isinstance(part, str) or not part or Path(part).name != part or part == "..":
            raise FormatError(f"[{path}] A part must be a file name. Got {part!r:.80}.")
        if not (path.parent / part).is_file():
            raise ResourceError(f"[{path.parent / part}] A part of the model is missing.")
        parts.setdefault(part, []).append(name)
    return {part: tuple(names) for part, names in parts.items()}


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file.

    Raises:
        ResourceError: The file cannot be read.
        FormatError: The header is damaged; the message says what it breaks.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
                raise FormatError(
                    f"[{path}] The header must fit into the file of {size} bytes. "
                    f"Got a length of {length if size >= 8 else 'nothing'}."
                )
            text = file.read(length)
    except OSError as error:
        raise ResourceError(f"[{path}] The file cannot be read: {error}.") from error
    entries = [
        _entry(path, name, value, 8 + length, size)
        for name, value in _parse(path, text)
        if name != "__metadata__"
    ]
    named = {entry.name: entry for entry in entries}
    if len(named) != len(entries):
        raise FormatError(f"[{path}] The header must name each tensor once.")
    filled = sorted((e for e in entries if e.nbytes), key=lambda entry: entry.offset)
    for before, after in itertools.pairwise(filled):
        if before.offset + before.nbytes > after.offset:
            raise FormatError(
                f"[{path}] Tensors must not overlap. Got {before.name!r} and {after.name!r}."
            )
    return named


def _parse(path: Path, text: bytes) -> tuple[tuple[str, Any], ...]:
    """Names and values of the header, twins included; objects are tuples of pairs."""
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"[{path}] The header is no JSON: {error}.") from None
    if not isinstance(header, tuple):
        raise FormatError(f"[{path}] The header must be a JSON object.")
    return header


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _entry(path: Path, name: str, value: Any, start: int, size: int) -> Entry:
    """One checked entry; `start` is where the bytes begin in a file of `size` bytes."""
    where = f"[{path}, tensor {name!r:.120}]"
    fields: dict[str, Any] = dict(value) if isinstance(value, tuple) else {}
    dtype, shape, span = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise FormatError(f"{where} The dtype must be a known one. Got {dtype!r:.40}.")
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(map(_whole, shape)):
        raise FormatError(f"{where} The shape must be a list of whole numbers. Got {shape!r:.80}.")
    if not isinstance(span, list) or len(span) != 2 or not all(map(_whole, span)):
        raise FormatError(f"{where} data_offsets must be two whole numbers. Got {span!r:.80}.")
    begin, end = span
    if not begin <= end <= size - start:
        raise FormatError(
            f"{where} Its bytes must lie in the file. Got {begin} to {end} of {size - start}."
        )
    expected = math.prod(shape) * SIZES[dtype]
    if end - begin != expected:
        raise FormatError(f"{where} Its shape and type need {expected} bytes. Got {end - begin}.")
    return Entry(name, dtype, tuple(shape), path, start + begin, expected)
