# SPDX-License-Identifier: MIT
"""A row of logits in memory, for tests of the samplers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ArrayRow:
    """A row of logits that answers like a session, and counts what it was asked for."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = np.asarray(logits, dtype=np.float32)
        self.asked: list[int] = []

    @property
    def vocab_size(self) -> int:
        return len(self._logits)

    def logits(self) -> NDArray[np.float32]:
        return self._logits[None]

    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]:
        assert n <= self.vocab_size
        self.asked.append(n)
        order = np.argsort(-self._logits, kind="stable")[:n]
        wide = self._logits.astype(np.float64)
        mass = float(wide.max() + np.log(np.exp(wide - wide.max()).sum()))
        return order.astype(np.int32), self._logits[order], mass
