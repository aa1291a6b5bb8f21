# SPDX-License-Identifier: MIT
"""The machine's measured peaks, which every speed is a fraction of.

They are measured in a child process: the buffers of the measurement would otherwise count as this
process's peak memory. `python -m gristmill.machine REQUESTS` is that child.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ResourceError


@dataclass(frozen=True)
class Peaks:
    """Sequential read bandwidth [bytes/s] and INT8 multiply-accumulates per second."""

    bandwidth_bytes_per_s: float
    int8_macs_per_s: float

    def larger(self, other: Peaks) -> Peaks:
        """The larger of both, figure by figure: a busy moment must not flatter a fraction."""
        return Peaks(
            max(self.bandwidth_bytes_per_s, other.bandwidth_bytes_per_s),
            max(self.int8_macs_per_s, other.int8_macs_per_s),
        )


def measure_peaks(threads: int, isa: str) -> Peaks:
    """Measures in a child process; takes about a second.

    Args:
        threads: Worker threads, as the model uses.
        isa: Kernel level, as the model uses.

    Raises:
        ResourceError: The child failed.
    """
    return Peaks(*measure([("bandwidth", threads, ""), ("int8", threads, isa)]))


def measure(requests: Sequence[tuple[str, int, str]]) -> list[float]:
    """Measures one figure after the other in a child process.

    Args:
        requests: ("bandwidth", threads, "") or ("int8", threads, kernel level).

    Returns:
        Bytes/s or multiply-accumulates/s, in the order of the requests.

    Raises:
        ResourceError: The child failed.
    """
    command = [sys.executable, "-m", "gristmill.machine", json.dumps(requests)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ResourceError(f"[machine] The measurement of this machine's peaks failed: {last}")
    return [float(figure) for figure in json.loads(done.stdout)]


def resident_bytes() -> int | None:
    """The memory this process has resident now, or None where the system does not say."""
    return _status_bytes("VmRSS") or peak_rss_bytes()


def peak_rss_bytes() -> int | None:
    """The most memory this process has had resident, or None where the system does not say.

    Weights that are mapped from the panel cache count, though processes share them.
    """
    # Not getrusage: there a process inherits the peak of the one that started it.
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _status_bytes(key: str) -> int | None:
    """A size from Linux's /proc/self/status."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(f"{key}:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _main(arguments: list[str]) -> None:
    """Prints the figures of the requests as JSON."""
    from . import _core

    print(
        json.dumps(
            [
                _core.measure_bandwidth(threads)
                if what == "bandwidth"
                else _core.measure_int8_peak(threads, isa)
                for what, threads, isa in json.loads(arguments[0])
            ]
        )
    )


if __name__ == "__main__":
    _main(sys.argv[1:])
