# SPDX-License-Identifier: MIT
"""The machine and the moment: what a figure needs beside it to mean anything later."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    """The SIMD levels that decide speed, as the kernel names them."""
    wanted = (
        "avx2 fma f16c avx_vnni avx512f avx512bw avx512vl avx512_vnni avx512_bf16 avx512_fp16 "
        "amx_tile amx_int8 amx_bf16 asimddp i8mm sve sve2"
    ).split()
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.exists() else ""
    line = next((row for row in text.splitlines() if row.startswith(("flags", "Features"))), "")
    have = set(line.split(":", 1)[-1].split())
    return [flag for flag in wanted if flag in have]


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def machine_facts() -> dict[str, Any]:
    """CPU, cores, memory, kernel, Python and the date, as JSON holds them."""
    return {
        "cpu": _cpu_name(),
        "flags": _cpu_flags(),
        "cores": cores(),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }


def load_average() -> float:
    """Runnable processes of the last minute; a busy machine shows here."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """`count` processes that compute for nobody while the block runs."""
    spin = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def warm_page_cache(path: Path) -> None:
    """Reads a file once, so that no side pays for the disk."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass
