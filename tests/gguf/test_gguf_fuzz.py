# SPDX-License-Identifier: MIT
"""Random damage through the public API: the answer is a file that can be read, or a GristmillError.

Mutations keep most of the structure (a byte, a field set to an edge value, a slice cut or doubled),
so that they reach the checks behind the header. The sanitizer builds run the same tests.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gguf_bytes import SAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import gguf
from gristmill.errors import GristmillError

WHOLE = SAMPLE.bytes()
HEADER = WHOLE.rindex(b"last") + 64
EDGES = [0, 1, 2, 31, 255, 2**16, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]

places = st.integers(0, HEADER)
flips = st.tuples(st.just("flip"), places, st.integers(1, 255))
edges64 = st.tuples(st.just("u64"), places, st.sampled_from(EDGES))
edges32 = st.tuples(st.just("u32"), places, st.sampled_from([e for e in EDGES if e < 2**32]))
cuts = st.tuples(st.just("cut"), places, st.integers(1, 64))
doubles = st.tuples(st.just("double"), places, st.integers(1, 64))


def damaged(changes: list[tuple[str, int, int]]) -> bytes:
    content = bytearray(WHOLE)
    for kind, place, value in changes:
        if kind == "flip":
            content[place % len(content)] ^= value
        elif kind == "u64":
            content[place : place + 8] = struct.pack("<Q", value)
        elif kind == "u32":
            content[place : place + 4] = struct.pack("<I", value)
        elif kind == "cut":
            del content[place : place + value]
        else:
            content[place:place] = content[place : place + value]
    return bytes(content)


def use(path: Path) -> bool:
    """Opens the file and reads everything in it; whether that worked."""
    try:
        file = gguf.File(path)
        for key in file.metadata:
            file.metadata.type(key)
            _ = file.metadata[key]
        total = 0
        for name in file.tensors:
            total += int(file.data(name).reshape(-1).view("u1").sum())  # a scalar has no axis
        repr(file)
    except GristmillError:
        return False
    return total >= 0


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "case.gguf"


@settings(max_examples=1500)
@given(st.lists(st.one_of(flips, edges64, edges32, cuts, doubles), min_size=1, max_size=4))
def test_damaged_files(scratch: Path, changes: list[tuple[str, int, int]]) -> None:
    scratch.write_bytes(damaged(changes))
    use(scratch)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(b"GGUF\3\0\0\0" + content)
    use(scratch)


def test_every_bit_of_the_header(scratch: Path) -> None:
    refused = 0
    for place in range(HEADER):
        for bit in (0x01, 0x80):
            scratch.write_bytes(damaged([("flip", place, bit)]))
            refused += not use(scratch)
    assert refused > HEADER // 2, "most single bits matter"
    scratch.write_bytes(WHOLE)
    assert use(scratch)


def test_every_field_at_the_edges(scratch: Path) -> None:
    for place in range(0, HEADER, 4):
        for edge in EDGES:
            scratch.write_bytes(damaged([("u64", place, edge)]))
            use(scratch)
