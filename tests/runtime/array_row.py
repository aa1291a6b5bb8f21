# SPDX-License-Identifier: MIT
"""A row of logits in memory, for tests of the samplers, and what the core computes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]:
        assert n <= self.vocab_size
        self.asked.append(n)
        order = np.argsort(-self._logits, kind="stable")[:n]
        return order.astype(np.int32), self._logits[order], log_sum_exp(self._logits)

    def edited_candidates(  # noqa: PLR0917
        self,
        n: int,
        recent: Sequence[int] = (),
        repeat: float = 1.0,
        frequency: float = 0.0,
        presence: float = 0.0,
        bias: tuple[NDArray[Any], NDArray[Any]] | None = None,
        less: tuple[NDArray[Any], NDArray[Any]] | None = None,
        mask: NDArray[np.uint32] | None = None,
        mass: bool = False,
        deviation: bool = False,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float32], float, float, float]:
        assert n <= self.vocab_size
        self.asked.append(n)
        x = self._logits.astype(np.float64)
        if mask is not None:
            allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(x)]
            x[allowed == 0] = -np.inf
        for ids, values in [bias] if bias else []:
            x[ids] += values
        for token in sorted(set(recent)):
            x[token] *= 1 / repeat if x[token] > 0 else repeat
            x[token] -= list(recent).count(token) * frequency
            x[token] -= presence
        for ids, values in [less] if less else []:
            x[ids] -= values
        order = np.lexsort((np.arange(len(x)), -x))[:n]
        if mask is not None:
            order = order[x[order] > -np.inf]
        return (
            order.astype(np.int32),
            x[order],
            self._logits[order],
            log_sum_exp(x) if mass else np.nan,
            float(x[np.isfinite(x)].std()) if deviation and np.isfinite(x).any() else np.nan,
            log_sum_exp(self._logits),
        )


def log_sum_exp(x: NDArray[Any]) -> float:
    wide = x.astype(np.float64)
    top = wide.max()
    return float(top + np.log(np.exp(wide - top).sum())) if np.isfinite(top) else float(top)
