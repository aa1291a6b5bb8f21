# SPDX-License-Identifier: MIT
"""A worker whose engine computes nothing, for tests of bench/peers.py: --fail makes it fail."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from worker import Job, run  # found through the line above


class FakeEngine:
    """Counts what it is asked to evaluate."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.loads: list[Job] = []
        self.position = self.furthest = 0
        self.context = 0

    def load(self, job: Job) -> None:
        self.loads.append(job)
        self.context = job.context
        self.position = 0

    def clear(self) -> None:
        self.position = 0

    def evaluate(self, tokens: Sequence[int]) -> None:
        self.calls.append(len(tokens))
        self.position += len(tokens)
        self.furthest = max(self.furthest, self.position)
        if self.position > self.context:
            raise ValueError(f"{self.position} tokens do not fit into {self.context}")

    def vocab_size(self) -> int:
        return 1000

    def facts(self) -> dict[str, Any]:
        return {"version": "fake", "isa": "none", "calls": self.calls}


if __name__ == "__main__":
    if sys.argv[1] == "--fail":
        print("details\n[fake] It does not work.", file=sys.stderr)
        sys.exit(3)
    print("a library's greeting")
    run(FakeEngine)
