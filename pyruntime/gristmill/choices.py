# SPDX-License-Identifier: MIT
"""What is chosen for a caller who does not say: kernel level and threads, and why."""

from __future__ import annotations

import os

from . import _core
from .errors import UnsupportedError

# A thread that streams less than this per token spends longer on waiting than it saves, above all
# where other programs want the cores, too.
_BYTES_PER_THREAD = 16 * 2**20


def choose_isa(isa: str | None) -> tuple[str, str]:
    """The kernel level and why."""
    if isa is None:
        asked = os.environ.get("GRISTMILL_ISA")
        return _core.default_isa(), "GRISTMILL_ISA" if asked else "the best here"
    known = _core.available_isas()
    if isa not in known:
        raise UnsupportedError(
            f"[isa] This machine's kernel levels are {', '.join(known)}. Got {isa!r}."
        )
    return isa, "as asked"


def choose_threads(threads: int | None, file_bytes: int) -> tuple[int, str]:
    """The number of threads and why: as asked, else what machine and model are worth."""
    if threads is not None:
        return threads, "as asked"
    count, why = _core.default_threads()
    useful = max(1, file_bytes // _BYTES_PER_THREAD)
    if useful >= count:
        return count, why
    return useful, f"a model of {file_bytes / 2**20:.1f} MiB gains nothing from more"
