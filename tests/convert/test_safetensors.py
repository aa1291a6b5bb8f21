# SPDX-License-Identifier: MIT
"""safetensors: what the format allows is read, what breaks it is one typed error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import bf16, header, write_json, write_safetensors
from hypothesis import given
from hypothesis import strategies as st

from gristmill import FormatError, GristmillError, ResourceError, UnsupportedError
from gristmill.convert.safetensors import Checkpoint, read_header

TENSORS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": bf16(np.arange(6)),
    "empty": np.zeros((0, 4), dtype=np.float32),
    "c": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
}


def raw(path: Path, text: bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A file with this header text."""
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path


def test_entries_and_rows(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", TENSORS)
    checkpoint = Checkpoint(tmp_path)
    assert list(checkpoint) == list(TENSORS)
    assert checkpoint["c"].shape == (2, 3, 4)
    assert (checkpoint["c"].rows, checkpoint["c"].columns) == (6, 4)
    assert (checkpoint["b"].rows, checkpoint["b"].columns) == (6, 1)
    np.testing.assert_array_equal(checkpoint.read(checkpoint["a"], 1, 2), TENSORS["a"][1:])
    rows = checkpoint.read(checkpoint["c"], 2, 3)
    np.testing.assert_array_equal(rows, TENSORS["c"].reshape(6, 4)[2:5])
    checkpoint.close()


def test_the_library_reads_what_the_helper_writes(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="the safetensors package is missing")
    path = write_safetensors(tmp_path / "x.safetensors", {"a": TENSORS["a"], "c": TENSORS["c"]})
    loaded = library.load_file(path)
    np.testing.assert_array_equal(loaded["c"], TENSORS["c"])
    library.save_file({"z": TENSORS["a"]}, tmp_path / "y.safetensors")
    assert read_header(tmp_path / "y.safetensors")["z"].shape == (3, 4)


def test_parts_by_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "one.safetensors", {"a": TENSORS["a"], "extra": TENSORS["a"]})
    write_safetensors(tmp_path / "two.safetensors", {"c": TENSORS["c"]})
    index = {"weight_map": {"a": "one.safetensors", "c": "two.safetensors"}}
    write_json(tmp_path / "model.safetensors.index.json", index)
    checkpoint = Checkpoint(tmp_path)
    assert set(checkpoint) == {"a", "c"}  # the index decides
    np.testing.assert_array_equal(checkpoint.read(checkpoint["a"], 0, 3), TENSORS["a"])
    np.testing.assert_array_equal(checkpoint.read(checkpoint["c"], 0, 1), TENSORS["c"][0, :1])
    checkpoint.close()
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ResourceError, match=r"two\.safetensors.*missing"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("part", ["../one.safetensors", "/etc/passwd", "..", "", 3, None])
def test_an_index_stays_in_its_folder(tmp_path: Path, part: Any) -> None:
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": part}})
    with pytest.raises(FormatError, match="file name"):
        Checkpoint(tmp_path)


def test_an_index_that_lies(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "one.safetensors", {"a": TENSORS["a"]})
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"b": "one.safetensors"}})
    with pytest.raises(FormatError, match="'b'"):
        Checkpoint(tmp_path)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {}})
    with pytest.raises(FormatError, match="weight_map"):
        Checkpoint(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"model\.safetensors"):
        Checkpoint(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(ResourceError, match="run code"):
        Checkpoint(tmp_path)


LENGTHS = [0, 1, 1 << 20, 1 << 40, (1 << 64) - 1]


@pytest.mark.parametrize("length", LENGTHS)
def test_absurd_header_lengths(tmp_path: Path, length: int) -> None:
    with pytest.raises(FormatError, match="header must fit"):
        read_header(raw(tmp_path / "x", b"{}", length=length))


@pytest.mark.parametrize("size", range(9))
def test_short_files(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(b"\x02\0\0\0\0\0\0\0{}"[:size])
    with pytest.raises(FormatError, match="header must fit"):
        read_header(tmp_path / "x")


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
BAD_ENTRIES = {
    "no object": [1],
    "no dtype": {"shape": [2], "data_offsets": [0, 8]},
    "unknown dtype": F32 | {"dtype": "F4"},
    "negative": F32 | {"shape": [-2]},
    "bool": F32 | {"shape": [True, 2]},
    "float": F32 | {"shape": [2.0]},
    "huge shape": F32 | {"shape": [1 << 62, 1 << 62]},
    "huge number": F32 | {"shape": [1 << 64]},
    "many dimensions": F32 | {"shape": [1] * 9 + [2]},
    "one offset": F32 | {"data_offsets": [0]},
    "backwards": F32 | {"data_offsets": [8, 0]},
    "before the file": F32 | {"data_offsets": [-8, 0]},
    "behind the file": F32 | {"data_offsets": [12, 20]},
    "too few bytes": F32 | {"data_offsets": [0, 4]},
    "too many bytes": F32 | {"data_offsets": [0, 16]},
}


@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_bad_entries(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(FormatError, match="tensor 'x'"):
        read_header(raw(tmp_path / "f", json.dumps({"x": entry}).encode(), bytes(16)))


def test_overlaps_and_twins(tmp_path: Path) -> None:
    both = {"x": F32, "y": F32 | {"data_offsets": [4, 12]}}
    with pytest.raises(FormatError, match="overlap"):
        read_header(raw(tmp_path / "f", json.dumps(both).encode(), bytes(16)))
    line = json.dumps({"x": F32})[1:-1]
    with pytest.raises(FormatError, match="once"):
        read_header(raw(tmp_path / "f", f"{{{line},{line}}}".encode(), bytes(16)))


@pytest.mark.parametrize(
    "text", [b"[]", b"{ ", b"\xff\xff", b"nul", b'"x"', b"[" * 5000, b"[[1, 2]]", b"NaN"]
)
def test_headers_that_are_no_object(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(FormatError, match="JSON"):
        read_header(raw(tmp_path / "f", text))


def test_integers_are_no_weights(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"i": np.arange(4, dtype=np.int32)})
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(UnsupportedError, match="I32"):
        checkpoint.read(checkpoint["i"], 0, 4)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", TENSORS)
    checkpoint = Checkpoint(tmp_path)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(ResourceError, match="shortened"):
        checkpoint.read(checkpoint["c"], 0, 6)
    path.unlink()
    checkpoint.close()
    with pytest.raises(ResourceError, match="cannot be read"):
        checkpoint.read(checkpoint["a"], 0, 3)


GOOD = json.dumps(header(TENSORS)).encode()


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=6))
def test_damaged_headers_never_surprise(
    tmp_path_factory: pytest.TempPathFactory, at: int, patch: bytes
) -> None:
    text = GOOD[:at] + patch + GOOD[at + len(patch) :]
    path = raw(tmp_path_factory.getbasetemp() / "damaged.safetensors", text, bytes(200))
    try:
        entries = read_header(path)
    except GristmillError:
        return
    size = path.stat().st_size
    assert all(e.offset + e.nbytes <= size for e in entries.values())
