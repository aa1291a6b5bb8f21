# SPDX-License-Identifier: MIT
"""The panel cache in loads: hits are the same bits, and nothing stale or broken is ever served."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_llama import Tiny

from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.errors import ResourceError
from gristmill.gguf import File

MakeFile = Callable[[Tiny], Path]
SHAPE = Tiny(dim=256, ffn=512, vocab=3000, weights="Q8_0", down="Q4_0")
CLOCK_STEP = 2.0  # seconds: younger files are compared, whatever their stamp
# A file that just changed is compared; on a slow machine it is old enough to be known.
SERVED = ("compared", "hit")


def load(path: Path, cache: Path) -> _core.Model:
    file = File(path)
    return _core.Model(file.core, build_plan(file).to_dict(), 2, "", None, os.fsencode(cache))


def write(model: _core.Model) -> Path:
    writer = model.cache_writer()
    while writer.step():
        pass
    writer.commit()
    return Path(model.cache[1])


def logits(model: _core.Model) -> NDArray[np.float32]:
    session = _core.Session(model, 16)
    session.forward([1, 5, 9])
    return session.logits().copy()


@pytest.fixture
def source(tiny: MakeFile, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(tiny(SHAPE), tmp_path / "model.gguf"))


def test_a_hit_is_the_same_bits(source: Path, tmp_path: Path) -> None:
    first = load(source, tmp_path)
    assert first.cache[0] == "miss"
    assert first.cache[2] == "there was no entry"
    path = write(first)
    assert path.parent == tmp_path
    assert _core.panel_cache_info(os.fsencode(path)) == (str(source), path.stat().st_size)
    second = load(source, tmp_path)
    assert second.cache[0] in SERVED
    assert second.cache[1:] == (str(path), "")
    assert logits(second).tobytes() == logits(first).tobytes()
    with pytest.raises(ResourceError, match="after a miss"):
        second.cache_writer()
    assert load(source, Path()).cache[0] != "hit"  # another folder
    file = File(source)
    assert _core.Model(file.core, build_plan(file).to_dict(), 1).cache == ("off", "", "")


def test_a_copy_shares_the_entry(source: Path, tmp_path: Path) -> None:
    path = write(load(source, tmp_path))
    other = Path(shutil.copy(source, tmp_path / "other.gguf"))
    assert load(other, tmp_path).cache in [(state, str(path), "") for state in SERVED]


def test_known_files_are_not_compared_and_changed_ones_never_served(
    source: Path, tmp_path: Path
) -> None:
    path = write(load(source, tmp_path))
    time.sleep(CLOCK_STEP + 0.1)
    assert load(source, tmp_path).cache[0] in SERVED
    assert load(source, tmp_path).cache[0] == "hit"

    # A byte that the key does not look at, with size and modification time as before.
    info = File(source).tensors["blk.1.ffn_up.weight"]
    before = source.stat()
    with source.open("r+b") as file:
        file.seek(info.offset + 34 * 3 + 7)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x40]))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    changed = load(source, tmp_path)
    assert changed.cache == (
        "miss",
        str(path),
        "the entry was not used: it belongs to another file",
    )
    fresh = load(source, tmp_path / "nothing")
    assert logits(changed).tobytes() == logits(fresh).tobytes()

    # Its own entry takes the place, and the old content is stale from then on.
    assert write(changed) == path
    assert load(source, tmp_path).cache[0] in SERVED


def test_a_file_that_changes_while_it_is_loaded_is_not_kept(source: Path, tmp_path: Path) -> None:
    model = load(source, tmp_path)
    os.utime(source)
    with pytest.raises(ResourceError, match="changed while it was loaded"):
        model.cache_writer()


@pytest.mark.parametrize("damage", ["empty", "short", "long", "header", "version", "panels"])
def test_broken_entries_are_replaced(source: Path, tmp_path: Path, damage: str) -> None:
    good = load(source, tmp_path)
    path = write(good)
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[30] ^= 1
    if damage == "version":
        data[8] += 1
    if damage == "panels":
        data[4096:] = bytes(len(data) - 4096)
    if damage == "long":
        data += b"x"
    path.write_bytes(data[: {"empty": 0, "short": len(data) // 2}.get(damage, len(data))])
    model = load(source, tmp_path)
    state, _, why = model.cache
    assert state == "miss"
    assert why.startswith("the entry was not used")
    assert logits(model).tobytes() == logits(good).tobytes()
    write(model)
    assert load(source, tmp_path).cache[0] in SERVED


def test_a_map_outlives_its_entry(source: Path, tmp_path: Path) -> None:
    expected = logits(load(source, tmp_path))
    path = write(load(source, tmp_path))
    reader = load(source, tmp_path)
    path.unlink()
    packed = load(source, tmp_path)
    assert packed.cache[0] == "miss"
    write(packed)
    assert logits(reader).tobytes() == expected.tobytes()


def test_processes_that_pack_at_once(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[3:]\n"
        "from test_panel_cache import load, write, logits\n"
        "model = load(Path(sys.argv[1]), Path(sys.argv[2])); print('ready', flush=True)\n"
        "input(); write(model); print(logits(model).sum())"
    )
    folder = tmp_path / "cache"
    folder.mkdir()
    paths = [str(Path(__file__).parent)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, source, folder, *paths],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"  # all have missed
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert len({child.communicate()[0] for child in children}) == 1
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 1
    assert load(source, folder).cache[0] in SERVED


def test_a_disk_that_fills_up(source: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: the write fails half-way, the model works on."""
    code = (
        "import resource, sys; from pathlib import Path; sys.path[:0] = sys.argv[3:]\n"
        "from test_panel_cache import load, write, logits\n"
        "from gristmill.errors import ResourceError\n"
        "model = load(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n    write(model)\nexcept ResourceError as error:\n    print(error)\n"
        "print(logits(model).shape)"
    )
    folder = tmp_path / "cache"
    folder.mkdir()
    command = [sys.executable, "-c", code, source, folder, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    message, shape = done.stdout.splitlines()
    assert "cannot write the file" in message
    assert shape == "(1, 3000)"
    assert list(folder.iterdir()) == []


def test_slices_of_a_matrix_are_cached_too(source: Path, tmp_path: Path) -> None:
    """Keys come from rows 24 to 55 of attn_q, across panels; another slice is another entry."""

    def load_slice(first: int) -> _core.Model:
        file = File(source)
        plan = build_plan(file).to_dict()
        names = [weight["name"] for weight in plan["weights"]]
        key = plan["weights"][names.index("blk.0.attn_k.weight")]
        key |= {"name": "blk.0.attn_q.weight", "first_row": first, "of_rows": 64}
        return _core.Model(file.core, plan, 2, "", None, os.fsencode(tmp_path))

    first = load_slice(24)
    expected = logits(first)
    write(first)
    again = load_slice(24)
    assert again.cache[0] in SERVED
    assert np.array_equal(logits(again), expected)
    other = load_slice(8)
    assert other.cache[0] == "miss"
    assert not np.array_equal(logits(other), expected)
