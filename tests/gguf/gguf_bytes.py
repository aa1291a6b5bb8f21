# SPDX-License-Identifier: MIT
"""GGUF files byte by byte, for the tests of bad input.

Knows the layout but none of the rules, so that it can break any of them. Independent of the
project's writer on purpose.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = (
    range(13)
)
F32, Q8_0, Q4_K = 0, 8, 12


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def string(text: bytes, length: int | None = None) -> bytes:
    return u64(len(text) if length is None else length) + text


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return string(key) + u32(kind) + value


def array(element: int, count: int, payload: bytes) -> bytes:
    return u32(element) + u64(count) + payload


@dataclass(frozen=True)
class Tensor:
    """One entry of the tensor table."""

    name: bytes = b"t"
    dims: Sequence[int] = (32,)
    kind: int = F32
    offset: int = 0
    n_dims: int | None = None

    def pieces(self) -> list[bytes]:
        return [
            u64(len(self.name)),
            self.name,
            u32(len(self.dims) if self.n_dims is None else self.n_dims),
            *(u64(dim) for dim in self.dims),
            u32(self.kind),
            u64(self.offset),
        ]


@dataclass(frozen=True)
class Gguf:
    """A file; every field can be made wrong."""

    pairs: Sequence[bytes] = ()
    tensors: Sequence[Tensor] = ()
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: bytes = u32(3)
    tensor_count: int | None = None
    pair_count: int | None = None
    alignment: int = 32

    def pieces(self) -> list[bytes]:
        """The file cut at every boundary of its structure."""
        pieces = [
            self.magic,
            self.version,
            u64(len(self.tensors) if self.tensor_count is None else self.tensor_count),
            u64(len(self.pairs) if self.pair_count is None else self.pair_count),
            *self.pairs,
        ]
        for tensor in self.tensors:
            pieces += tensor.pieces()
        size = sum(map(len, pieces))
        if self.data:
            pieces += [bytes(-size % self.alignment), self.data]
        return pieces

    def bytes(self) -> bytes:
        return b"".join(self.pieces())


def one_tensor(size: int = 128, **changes: Any) -> bytes:
    """A file of one tensor `t`, changed in these fields, with `size` bytes of data."""
    return Gguf(tensors=[replace(Tensor(), **changes)], data=bytes(size)).bytes()


# A file with a value of every type, in every kind of array, and three tensors.
SAMPLE = Gguf(
    pairs=[
        pair(b"general.architecture", STRING, string(b"llama")),
        pair(b"a.uint8", UINT8, b"\xff"),
        pair(b"a.int16", INT16, struct.pack("<h", -3)),
        pair(b"a.float32", FLOAT32, struct.pack("<f", 0.5)),
        pair(b"a.bool", BOOL, b"\1"),
        pair(b"a.float64", FLOAT64, struct.pack("<d", -2.25)),
        pair(b"a.numbers", ARRAY, array(INT32, 3, struct.pack("<3i", 1, -2, 3))),
        pair(b"a.strings", ARRAY, array(STRING, 3, string(b"x") + string(b"") + string(b"yz"))),
        pair(b"a.flags", ARRAY, array(BOOL, 2, b"\0\1")),
        pair(
            b"a.nested",
            ARRAY,
            array(ARRAY, 2, array(UINT8, 2, b"\1\2") + array(STRING, 1, string(b"q"))),
        ),
    ],
    tensors=[
        Tensor(b"blk.0.w", (64, 3), Q8_0, 0),
        Tensor(b"norm", (8,), F32, 224),
        Tensor(b"last", (2, 2, 2, 2), F32, 256),
    ],
    data=bytes(range(256)) + bytes(64),
)
