# SPDX-License-Identifier: MIT
"""Importance matrices in llama.cpp's two kinds of file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import gguf
from gristmill.errors import FormatError, ResourceError
from gristmill.quantize.imatrix import Imatrix, Sums, read_imatrix

NAME = "blk.0.ffn_down.weight"


def test_gguf_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sums = {NAME: Sums(rng.random((1, 64), np.float32), np.array([512], np.float32)),
            "experts.weight": Sums(rng.random((3, 32), np.float32),
                                   np.array([5, 0, 7], np.float32))}  # fmt: skip
    path = tmp_path / "imatrix.gguf"
    Imatrix(sums, ["text"], 512, 9).write(path)
    found = read_imatrix(path)
    assert (found.datasets, found.chunk, found.chunks) == (["text"], 512, 9)
    for name, value in sums.items():
        assert np.array_equal(found.sums[name].squares, value.squares)
        assert np.array_equal(found.sums[name].counts, value.counts)
    other = {t.name: t for t in gguf.GGUFReader(path).tensors}
    assert other[NAME + ".in_sum2"].shape.tolist() == [64, 1]
    assert other["experts.weight.counts"].shape.tolist() == [1, 3]
    assert gguf.GGUFReader(path).fields["general.type"].contents() == "imatrix"


def test_weights_are_mean_squares() -> None:
    squares = np.array([[2, 4], [9, 9], [8, 0]], np.float32)
    found = Imatrix({NAME: Sums(squares, np.array([2, 0, 4], np.float32))}).weights()[NAME]
    assert found.tolist() == pytest.approx([(1 + 1 + 2) / 3, (2 + 1 + 0) / 3])


def old_file(entries: dict[str, tuple[int, list[float]]], tail: bytes = b"") -> bytes:
    out = struct.pack("<i", len(entries))
    for name, (calls, values) in entries.items():
        out += struct.pack("<i", len(name)) + name.encode()
        out += struct.pack("<2i", calls, len(values)) + struct.pack(f"<{len(values)}f", *values)
    return out + tail


def test_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    tail = struct.pack("<2i", 12, 4) + b"text"
    path.write_bytes(old_file({NAME: (2, [4.0, 6.0]), "b.weight": (1, [1.0])}, tail))
    found = read_imatrix(path)
    assert found.weights()[NAME].tolist() == [2, 3]
    assert (found.chunks, found.datasets) == (12, ["text"])
    path.write_bytes(old_file({NAME: (2, [4.0, 6.0])}))
    assert read_imatrix(path).weights()[NAME].tolist() == [2, 3]


@pytest.mark.parametrize(
    "data",
    [b"", b"GG", struct.pack("<i", -1), struct.pack("<i", 1), struct.pack("<2i", 1, 2**31 - 1),
     old_file({NAME: (1, [1.0])})[:-1], old_file({NAME: (1, [float("nan")])}),
     old_file({NAME: (1, [-1.0])}), struct.pack("<2i", 1, -5), b"\xff" * 40],
)  # fmt: skip
def test_files_that_are_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="imatrix"):
        read_imatrix(path)


def test_gguf_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    for tensors in ({}, {"a.in_sum2": (1, 4)}, {"a.in_sum2": (2, 4), "a.counts": (3, 1)}):
        writer = gguf.GGUFWriter(path, "imatrix")
        for name, shape in tensors.items():
            writer.add_tensor(name, np.ones(shape, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(FormatError, match="imatrix"):
            read_imatrix(path)
    with pytest.raises(ResourceError, match="cannot be read"):
        read_imatrix(tmp_path / "nothing")
