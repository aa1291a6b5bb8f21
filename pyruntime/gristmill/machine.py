# SPDX-License-Identifier: MIT
"""The machine's measured peaks, which every speed is a fraction of.

They are measured in a child process: the buffers of the measurement would otherwise count as this
process's peak memory. `python -m gristmill.machine THREADS ISA` is that child.
"""

from __future__ import annotations

import json
import subprocess
import sys
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
    command = [sys.executable, "-m", "gristmill.machine", str(threads), isa]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ResourceError(f"[machine] The measurement of this machine's peaks failed: {last}")
    bandwidth, macs = json.loads(done.stdout)
    return Peaks(float(bandwidth), float(macs))


def peak_rss_bytes() -> int | None:
    """The most memory this process has had resident, or None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _main(arguments: list[str]) -> None:
    """Prints [bandwidth, macs] as JSON."""
    from . import _core

    threads, isa = int(arguments[0]), arguments[1]
    figures = [_core.measure_bandwidth(threads), _core.measure_int8_peak(threads, isa)]
    print(json.dumps(figures))


if __name__ == "__main__":
    _main(sys.argv[1:])
