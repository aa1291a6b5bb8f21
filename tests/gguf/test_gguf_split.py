# SPDX-License-Identifier: MIT
"""Split models: the first part opens all of them, and what is wrong with a set is said at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gristmill import gguf
from gristmill.errors import FormatError, ResourceError

oracle = pytest.importorskip("gguf", reason="the gguf package is the oracle here")

SHAPE = (4, 32)


def write_part(folder: Path, number: int, parts: int, **changes: int) -> Path:
    """Part `number` (from 0) with tensors w<number>.a and w<number>.b."""
    path = folder / f"m-{number + 1:05}-of-{parts:05}.gguf"
    with gguf.Writer(path) as writer:
        if number == 0:
            writer.add("general.architecture", "llama")
        writer.add("split.no", changes.get("no", number), "uint16")
        writer.add("split.count", changes.get("count", parts), "uint16")
        writer.add("split.tensors.count", changes.get("tensors", 2 * parts), "int32")
        for letter in "ab":
            values = np.full(SHAPE, number + (letter == "b") / 2, np.float32)
            writer.add_tensor(f"w{changes.get('name', number)}.{letter}", values)
    return path


def test_first_part_opens_all(tmp_path: Path) -> None:
    paths = [write_part(tmp_path, i, 3) for i in range(3)]
    file = gguf.File(paths[0])
    assert file.paths == [str(path) for path in paths]
    assert file.nbytes == sum(path.stat().st_size for path in paths)
    assert file.architecture == "llama"
    assert list(file.tensors) == [f"w{i}.{c}" for i in range(3) for c in "ab"]
    for i in range(3):
        assert file.tensors[f"w{i}.b"].part == i
        assert np.all(file.data(f"w{i}.b") == i + 0.5)


def test_written_by_the_oracle(tmp_path: Path) -> None:
    writer = oracle.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    values = {f"w{i}": np.full(SHAPE, i, np.float32) for i in range(5)}
    for name, value in values.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = gguf.File(tmp_path / "m-00001-of-00003.gguf")
    assert len(file.paths) == 3
    for name, value in values.items():
        assert np.array_equal(file.data(name), value)


def test_every_missing_part_is_named(tmp_path: Path) -> None:
    paths = [write_part(tmp_path, i, 5) for i in range(5)]
    for i in (1, 4):
        paths[i].unlink()
    with pytest.raises(ResourceError, match="2 of 5 parts are missing") as caught:
        gguf.File(paths[0])
    assert str(paths[1]) in str(caught.value)
    assert str(paths[4]) in str(caught.value)
    assert str(paths[2]) not in str(caught.value)


def test_a_later_part_points_to_the_first(tmp_path: Path) -> None:
    paths = [write_part(tmp_path, i, 2) for i in range(2)]
    with pytest.raises(FormatError, match=r"part 2 of 2.*Hint: open .*m-00001-of-00002.gguf"):
        gguf.File(paths[1])


def test_the_name_must_say_so(tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.gguf"
    shutil.move(write_part(tmp_path, 0, 2), renamed)
    with pytest.raises(FormatError, match=r"NAME-00001-of-00002.gguf"):
        gguf.File(renamed)


def test_one_part_of_one_needs_no_name(tmp_path: Path) -> None:
    shutil.move(write_part(tmp_path, 0, 1), tmp_path / "whole.gguf")
    assert len(gguf.File(tmp_path / "whole.gguf").tensors) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"no": 0}, "not the part that its name says. Got split.no 0"),
        ({"count": 3}, "split.count 3"),
        ({"name": 0}, "in an earlier part"),
    ],
)
def test_parts_of_different_sets(tmp_path: Path, changes: dict[str, int], words: str) -> None:
    first = write_part(tmp_path, 0, 2)
    write_part(tmp_path, 1, 2, **changes)
    with pytest.raises(FormatError, match=words):
        gguf.File(first)


def test_tensor_count_must_match(tmp_path: Path) -> None:
    first = write_part(tmp_path, 0, 2, tensors=7)
    write_part(tmp_path, 1, 2)
    with pytest.raises(FormatError, match="Got 4, expected 7"):
        gguf.File(first)


def test_a_broken_part_is_named(tmp_path: Path) -> None:
    first = write_part(tmp_path, 0, 2)
    second = write_part(tmp_path, 1, 2)
    second.write_bytes(second.read_bytes()[:100])
    with pytest.raises(FormatError, match="m-00002-of-00002"):
        gguf.File(first)
