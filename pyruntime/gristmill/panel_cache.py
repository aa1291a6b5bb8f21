# SPDX-License-Identifier: MIT
"""The folder of the panel cache: where it is, how large it may grow, and who writes into it.

Packed weights are written there after a first load, by a thread that leaves the cores to whoever
generates text, so the next load maps them instead of packing. What makes an entry trustworthy is
the core's business (csrc/panels/panel_cache.h); here entries come and go: the least recently used
ones make room, and a file that others have mapped is only ever unlinked, never changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import _core
from .errors import GristmillError, ResourceError
from .report import human_bytes, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".panels"
MIN_FILE_BYTES = 64 * 2**20  # below, packing takes a few hundredths of a second
DEFAULT_LIMIT = 20 * 2**30
_DISK_SHARE = 10  # at most a tenth of the disk
_LEAST_FREE = 2**30  # bytes that the cache leaves free
_ABANDONED_SECONDS = 3600.0  # a temporary file that old belongs to nobody
_TELL_SECONDS = 1.0
_PAUSE = 4.0  # pauses between writes, as a multiple of the time that the write took
_OFF = frozenset({"off", "0", "no", "false"})


@dataclass(frozen=True)
class Entry:
    """One file of the cache.

    Attributes:
        path: The file.
        nbytes: Its size.
        last_used: Seconds since 1970.
        model: The model file it was made from; empty if the entry cannot be read.
    """

    path: Path
    nbytes: int
    last_used: float
    model: str = ""


def folder() -> Path | None:
    """Where entries lie: GRISTMILL_CACHE, or the system's place for caches; None if it is off.

    Raises:
        RuntimeError: There is no home directory.
    """
    named = os.environ.get("GRISTMILL_CACHE")
    if named:
        return None if named.lower() in _OFF else Path(named).expanduser() / "panels"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        xdg = os.environ.get("XDG_CACHE_HOME", "")
        base = xdg if os.path.isabs(xdg) else Path.home() / ".cache"
    return Path(base) / "gristmill" / "panels"


def limit_bytes(place: Path) -> int:
    """Bytes that all entries may take: GRISTMILL_CACHE_SIZE ("5G"), or 20 GiB or a tenth of the
    disk, whichever is less.

    Raises:
        ResourceError: GRISTMILL_CACHE_SIZE is no size.
    """
    text = os.environ.get("GRISTMILL_CACHE_SIZE")
    if text:
        return parse_bytes(text, "cache", "GRISTMILL_CACHE_SIZE")
    return min(DEFAULT_LIMIT, shutil.disk_usage(existing(place)).total // _DISK_SHARE)


def existing(place: Path) -> Path:
    """The folder, or of its parents the nearest that exists."""
    return next((path for path in (place, *place.parents) if path.exists()), place)


def choose(wanted: bool, file_bytes: int) -> tuple[Path | None, str]:
    """The folder to load with, or None and why there is none.

    Args:
        wanted: What the caller asked for.
        file_bytes: Size of the model file.
    """
    if not wanted:
        return None, "as asked"
    if file_bytes < MIN_FILE_BYTES:
        return None, f"a file below {human_bytes(MIN_FILE_BYTES)} is packed at once"
    try:
        place = folder()
    except RuntimeError as error:
        return None, f"there is no folder for it: {error}"
    return (None, "GRISTMILL_CACHE") if place is None else (place, "")


def entries(place: Path | None = None) -> list[Entry]:
    """All entries, the most recently used first; of `place`, or of `folder()`."""
    place = folder() if place is None else place
    files = [] if place is None else _files(place)
    found = [_read(path, info) for path, info in files if path.name.endswith(SUFFIX)]
    return sorted(found, key=lambda entry: -entry.last_used)


def _files(place: Path, part: str = SUFFIX) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files of the folder whose name holds `part`."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in place.iterdir():
            if part in path.name and path.is_file():
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    yield path, path.stat()


def _read(path: Path, info: os.stat_result) -> Entry:
    model = ""
    with contextlib.suppress(GristmillError):
        model, _ = _core.panel_cache_info(os.fsencode(path))
    return Entry(path, info.st_size, info.st_mtime, model)


def clear() -> tuple[int, int]:
    """Removes all entries, and what interrupted writers left; returns entries and bytes removed."""
    place = folder()
    if place is not None:
        _remove_abandoned(place)
    gone = [entry for entry in entries() if _remove(entry.path)]
    return len(gone), sum(entry.nbytes for entry in gone)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:  # gone already, or somebody else's
        return False
    return True


def _remove_abandoned(place: Path) -> None:
    for path, info in _files(place, SUFFIX + ".tmp-"):
        if time.time() - info.st_mtime > _ABANDONED_SECONDS:
            _remove(path)


def touch(path: Path) -> None:
    """Notes that an entry was used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def make_room(path: Path, nbytes: int) -> None:
    """Removes abandoned files, and entries that were used longest ago, until `nbytes` fit.

    Raises:
        ResourceError: They cannot fit: too large for the cache, or the disk is too full.
    """
    place = path.parent
    _remove_abandoned(place)
    limit = limit_bytes(place)
    if nbytes > limit:
        raise ResourceError(
            f"[cache] {human_bytes(nbytes)} of panels do not fit into a cache of "
            f"{human_bytes(limit)}. GRISTMILL_CACHE_SIZE makes it larger."
        )
    others = [entry for entry in entries(place) if entry.path != path]
    free = shutil.disk_usage(place).free
    room = min(limit - sum(entry.nbytes for entry in others), free - _LEAST_FREE)
    while room < nbytes and others:
        oldest = others.pop()
        room += oldest.nbytes if _remove(oldest.path) else 0
    if room < nbytes:
        raise ResourceError(
            f"[cache] {human_bytes(nbytes)} of panels do not fit on the disk of {place}, which "
            f"has {human_bytes(free)} free ({human_bytes(_LEAST_FREE)} are left alone)."
        )


class Writer(threading.Thread):
    """Writes the entry of a model that was packed, in the background.

    It pauses between writes so that the cores stay with whoever computes, and hurries when the
    program waits for it to end.

    Args:
        core: The model; its memory is kept until the entry is written.
        done: Called from the thread: None, or why there is no entry.
    """

    def __init__(self, core: _core.Model, done: Callable[[str | None], None]) -> None:
        super().__init__(name="gristmill-cache")
        self._core: _core.Model | None = core
        self._done = done
        self._hurry = threading.Event()
        self._cancelled = False

    def run(self) -> None:
        """Writes; never raises."""
        core, self._core = self._core, None
        assert core is not None
        try:
            self._write(core)
        except (GristmillError, OSError) as error:
            self._done(str(error))
        else:
            self._done("the program ended" if self._cancelled else None)

    def finish(self, tell: Callable[[], None]) -> None:
        """Waits until the entry is written; an interrupt abandons it.

        Args:
            tell: Called once if it takes over a second.
        """
        self._hurry.set()
        try:
            self.join(_TELL_SECONDS)
            if self.is_alive():
                tell()
            self.join()
        except KeyboardInterrupt:
            self._cancelled = True
            self.join()
            raise

    def _write(self, core: _core.Model) -> None:
        path = Path(core.cache[1])
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_room(path, core.panel_bytes)
        writer = core.cache_writer()
        try:
            more = True
            while more and not self._cancelled:
                began = time.perf_counter()
                more = writer.step()
                if threading.main_thread().is_alive():
                    self._hurry.wait(_PAUSE * (time.perf_counter() - began))
            if not self._cancelled:
                writer.commit()
        finally:
            writer.abort()  # does nothing after a commit


def finish_writing(tell: Callable[[], None] = lambda: None) -> None:
    """Waits for all writers of this process; `tell` is called when one takes over a second."""
    for thread in threading.enumerate():
        if isinstance(thread, Writer):
            thread.finish(tell)
