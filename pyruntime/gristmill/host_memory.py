# SPDX-License-Identifier: MIT
"""How much memory this machine, or the control group around us, still has to give."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_GROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory.high", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def available_bytes(root: str = "/") -> tuple[int | None, str]:
    """Bytes that this process can still get without swapping, and what limits them.

    Linux: MemAvailable, or what is left below the limit of a control group (v2 or v1) from ours
    up to the root. None where the system does not say.

    Args:
        root: The folder that holds /proc and /sys; tests give their own.
    """
    base = Path(root)
    found: list[tuple[int, str]] = []
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = (base / "proc/meminfo").read_text(encoding="ascii").splitlines()
        value = next(line for line in lines if line.startswith("MemAvailable:")).split()[1]
        found.append((int(value) * 1024, "free or reclaimable on this machine"))
    for folder in _memory_groups(base):
        for limit, usage in _GROUP_FILES:
            with contextlib.suppress(OSError, ValueError):
                most = int((folder / limit).read_text(encoding="ascii"))  # or "max"
                left = max(most - _group_usage(folder, usage), 0)
                found.append((left, f"left of a control group's {most / 2**30:.1f} GiB"))
    return min(found, default=(None, "the system does not say"))


def _memory_groups(base: Path) -> Iterator[Path]:
    """The folders of our memory control groups and all their parents."""
    with contextlib.suppress(OSError):
        for line in (base / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            mount = base / "sys/fs/cgroup" / ("memory" if controllers else "")
            parts = [part for part in group.split("/") if part not in ("", ".", "..")]
            for count in range(len(parts), -1, -1):
                yield mount.joinpath(*parts[:count])


def _group_usage(folder: Path, name: str) -> int:
    """Bytes that a group uses, without the file pages that the system gives back on demand."""
    used = int((folder / name).read_text(encoding="ascii"))
    with contextlib.suppress(OSError, ValueError):
        stat = dict(
            line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines()
        )
        files = stat.get("total_inactive_file", stat.get("inactive_file", "0"))
        used -= min(used, int(files))
    return used
