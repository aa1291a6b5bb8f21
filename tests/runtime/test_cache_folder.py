# SPDX-License-Identifier: MIT
"""The cache folder: where it is, what makes room, and a writer that must not get in the way."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gristmill import Model, SamplingParams, hub, panel_cache
from gristmill.errors import ResourceError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, which loads of the bundled model use, too."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    monkeypatch.delenv("GRISTMILL_CACHE_SIZE", raising=False)
    monkeypatch.setattr(panel_cache, "MIN_FILE_BYTES", 0)
    return tmp_path / "panels"


def entry(place: Path, name: str, size: int, age: float) -> Path:
    place.mkdir(exist_ok=True)
    path = place / name
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def wait() -> None:
    panel_cache.finish_writing()


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRISTMILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert panel_cache.folder() == tmp_path / ".cache/gristmill/panels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert panel_cache.folder() == tmp_path / "xdg/gristmill/panels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert panel_cache.folder() == tmp_path / ".cache/gristmill/panels"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert panel_cache.folder() == tmp_path / "Library/Caches/gristmill/panels"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert panel_cache.folder() == tmp_path / "local/gristmill/panels"
    monkeypatch.setenv("GRISTMILL_CACHE", "~/mine")
    assert panel_cache.folder() == tmp_path / "mine/panels"
    monkeypatch.setenv("GRISTMILL_CACHE", "off")
    assert panel_cache.folder() is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("5G", 5 * 2**30), ("1.5 MiB", 3 * 2**19), ("700kb", 700 * 2**10), ("12", 12), ("0", 0)],
)
def test_limits_as_people_write_them(
    text: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE_SIZE", text)
    assert panel_cache.limit_bytes(tmp_path) == size


@pytest.mark.parametrize("text", ["much", "-1", "G", "5 G G", "nan", "1e99T"])
def test_limits_that_are_none(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE_SIZE", text)
    with pytest.raises(ResourceError, match="GRISTMILL_CACHE_SIZE"):
        panel_cache.limit_bytes(tmp_path)


def test_the_default_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRISTMILL_CACHE_SIZE", raising=False)
    assert 0 < panel_cache.limit_bytes(tmp_path / "not/yet") <= 20 * 2**30


def test_what_was_used_longest_ago_makes_room(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE_SIZE", "1000")
    old, middle, new = (
        entry(place, f"{i}.panels", 300, age) for i, age in enumerate((300.0, 200.0, 100.0))
    )
    (place / "README").write_text("not ours")
    abandoned = entry(place, "0.panels.tmp-1-0", 5000, 7200)
    in_use = entry(place, "0.panels.tmp-2-0", 5000, 10)
    panel_cache.make_room(place / "x.panels", 100)
    assert [e.path for e in panel_cache.entries(place)] == [new, middle, old]
    assert (abandoned.exists(), in_use.exists()) == (False, True)
    panel_cache.touch(old)
    panel_cache.make_room(place / "x.panels", 200)
    assert [e.path for e in panel_cache.entries(place)] == [old, new]
    panel_cache.make_room(old, 700)  # takes the place of one that is there
    assert [e.path for e in panel_cache.entries(place)] == [old, new]
    with pytest.raises(ResourceError, match=r"1001 B.*cache of 1000 B.*CACHE_SIZE"):
        panel_cache.make_room(place / "x.panels", 1001)
    assert (place / "README").exists()
    assert panel_cache.clear() == (2, 600)
    assert (place / "README").exists()


def test_a_disk_that_is_nearly_full(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(place, "a.panels", 100, 5)
    usage = type("Usage", (), {"total": 2**40, "free": 2**30 + 50})
    monkeypatch.setattr(panel_cache.shutil, "disk_usage", lambda _: usage)
    panel_cache.make_room(place / "x.panels", 50)
    assert len(panel_cache.entries(place)) == 1
    panel_cache.make_room(place / "x.panels", 150)
    assert panel_cache.entries(place) == []
    with pytest.raises(ResourceError, match="do not fit on the disk"):
        panel_cache.make_room(place / "x.panels", 51)


def test_loads_write_and_use_it(place: Path) -> None:
    first = Model.load(threads=1)
    assert first.report.cache.state in ("writing", "written")
    wait()
    assert first.report.cache.state == "written"
    assert first.report.cache.why == "there was no entry"
    (found,) = panel_cache.entries()
    assert found.path == Path(first.report.cache.path)
    assert found.model == str(hub.bundled_model())
    os.utime(found.path, (1, 1))
    second = Model.load(threads=1)
    assert second.report.cache.state in ("hit", "compared")
    assert panel_cache.entries()[0].last_used > 1
    assert f"{second.report.cache.state}: {found.path}" in second.report.describe()
    off = Model.load(threads=1, cache=False).report.cache
    assert (off.state, off.path, off.why) == ("off", "", "as asked")
    greedy = SamplingParams(temperature=0)
    answers = [
        [piece.token for piece in model.generate("One day", max_tokens=9, sampling=greedy)]
        for model in (first, second)
    ]
    assert answers[0] == answers[1]


def test_small_files_are_left_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("GRISTMILL_CACHE", str(place.parent))
    use = Model.load(threads=1).report.cache
    assert use.state == "off"
    assert "64.0 MiB" in use.why
    assert not place.exists()


def test_a_folder_that_cannot_be_written(place: Path) -> None:
    place.write_text("a file where the folder should be")
    model = Model.load(threads=1)
    wait()
    use = model.report.cache
    assert use.state == "not written"
    assert any("panel cache was not written" in note for note in model.report.notes)
    assert model.session().evaluate([1]) == 0


def test_a_cache_that_is_too_small(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE_SIZE", "1M")
    model = Model.load(threads=1)
    wait()
    assert model.report.cache.state == "not written"
    assert "GRISTMILL_CACHE_SIZE" in model.report.cache.why
    assert panel_cache.entries() == []


class SlowCore:
    """A core model whose entry takes for ever."""

    def __init__(self, folder: Path) -> None:
        self.cache = ("miss", str(folder / "panels" / "a.panels"), "")
        self.panel_bytes = 1
        self.aborted = self.committed = False
        self.stepped = threading.Event()

    def cache_writer(self) -> SlowCore:
        return self

    def step(self) -> bool:
        self.stepped.set()
        time.sleep(0.01)
        return True

    def commit(self) -> None:
        self.committed = True

    def abort(self) -> None:
        self.aborted = True


def test_an_interrupt_gives_the_entry_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = SlowCore(tmp_path)
    told: list[Any] = []
    writer = panel_cache.Writer(core, told.append)  # type: ignore[arg-type]
    writer.start()
    assert core.stepped.wait(10)

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(panel_cache, "_TELL_SECONDS", 0.01)
    with pytest.raises(KeyboardInterrupt):
        writer.finish(interrupted)
    assert not writer.is_alive()
    assert (core.aborted, core.committed) == (True, False)
    assert told == ["the program ended"]
