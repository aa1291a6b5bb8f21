# SPDX-License-Identifier: MIT
"""Filters: pure functions over the head of a distribution.

Each is exact for the whole row although it sees the best n tokens only: one that needs more says
so (None), and is asked again with a longer head, at worst with the whole vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Candidates(NamedTuple):
    """The head of a distribution.

    `ids` [n] and `logits` [n] f64 descend (ties: lower id first). `complete` says that these n are
    all of it; else `logsumexp` belongs to the whole row and tells how much was left out.
    `deviation` is the standard deviation of the whole row's finite logits, where it is wanted.
    """

    ids: NDArray[np.integer]
    logits: NDArray[np.float64]
    logsumexp: float
    complete: bool
    deviation: float = math.nan

    def keep(self, n: int) -> Candidates:
        """The best n as a whole distribution."""
        if self.complete and n >= len(self.ids):
            return self
        return Candidates(self.ids[:n], self.logits[:n], math.nan, True)

    def mass(self) -> tuple[NDArray[np.float64], float]:
        """Cumulative weights [n] of these candidates, and the weight of the whole distribution."""
        if self.complete:
            mass = np.exp(self.logits - self.logits[0]).cumsum()
            return mass, float(mass[-1])
        return np.exp(self.logits - self.logsumexp).cumsum(), 1.0

    def probabilities(self) -> NDArray[np.float64]:
        """Of these candidates [n], in the whole distribution."""
        if self.complete:
            weights = np.exp(self.logits - self.logits[0])
            return np.asarray(weights / weights.sum())
        return np.exp(self.logits - self.logsumexp)


Filter = Callable[[Candidates], "Candidates | None"]


def log_sum_exp(logits: NDArray[np.float64]) -> float:
    """log(sum(exp(logits))) without overflow; -inf for nothing."""
    top = float(logits.max()) if len(logits) else -math.inf
    if not math.isfinite(top):
        return top
    return top + math.log(float(np.exp(logits - top).sum()))


def top_n_sigma(c: Candidates, n: float) -> Candidates | None:
    """Keeps logits within n standard deviations below the best (Tang et al., arXiv 2411.07641)."""
    return _from(c, c.logits[0] - n * c.deviation)


def top_k(c: Candidates, k: int) -> Candidates | None:
    """Keeps the best k."""
    if len(c.ids) < k and not c.complete:
        return None
    return c.keep(k)


def top_p(c: Candidates, p: float) -> Candidates | None:
    """Keeps the smallest head with probability >= p, at least one token."""
    mass, total = c.mass()
    n = int(mass.searchsorted(p * total)) + 1  # the first with mass >= p, included
    if n > len(c.ids) and not c.complete:
        return None
    return c.keep(n)


def min_p(c: Candidates, p: float) -> Candidates | None:
    """Keeps tokens with at least p times the best token's probability."""
    return _from(c, c.logits[0] + math.log(p))


def _from(c: Candidates, limit: float) -> Candidates | None:
    """Keeps the tokens whose logits reach a limit."""
    n = int(np.count_nonzero(c.logits >= limit))
    if n == len(c.ids) and not c.complete:
        return None
    return c.keep(n)


def typical(c: Candidates, p: float) -> Candidates | None:
    """Keeps the tokens whose surprise is closest to the entropy, until their mass exceeds p."""
    if not c.complete:
        return None
    log_probs = c.logits - log_sum_exp(c.logits)
    probs = np.exp(log_probs)
    surprise = np.where(probs > 0, -log_probs, np.inf)
    entropy = float((probs * np.where(probs > 0, surprise, 0.0)).sum())
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    n = int(probs[order].cumsum().searchsorted(p, side="right")) + 1
    kept = np.sort(order[:n])  # positions in c, so the order by logits stays
    return Candidates(c.ids[kept], c.logits[kept], math.nan, True)


def xtc(c: Candidates, threshold: float) -> Candidates | None:
    """Drops all tokens that reach the threshold but the least likely of them.

    "Exclude top choices", by p-e-w (text-generation-webui#6335); whether it applies to a token is
    drawn before. With none or one token above the threshold nothing changes.
    """
    if len(c.ids) < 2 and c.complete:
        return c
    n = int(np.count_nonzero(c.probabilities() >= threshold))
    if not c.complete:  # what is kept has no end in sight
        return c if n < 2 and n < len(c.ids) else None
    return c if n < 2 else Candidates(c.ids[n - 1 :], c.logits[n - 1 :], math.nan, True)


def temperature(c: Candidates, t: float) -> Candidates | None:
    """Divides the logits by t."""
    if t == 1:
        return c
    if not c.complete:
        return None
    # The best at 0: a tiny t cannot overflow.
    return c._replace(logits=(c.logits - c.logits[0]) / t)


def dynamic_temperature(c: Candidates, t: float, delta: float, power: float) -> Candidates | None:
    """A temperature between max(0, t - delta) and t + delta, by the entropy (kalomaze).

    llama.cpp's form: low + (high - low) * (entropy / log(number of candidates)) ** power.
    """
    if not c.complete:
        return None
    if len(c.ids) < 2:
        return c
    probs = c.probabilities()
    entropy = -float((probs * np.log(np.where(probs > 0, probs, 1.0))).sum())
    low = max(0.0, t - delta)
    share = max(0.0, entropy / math.log(len(c.ids)))  # -0.0 and rounding would spoil the power
    chosen = low + (t + delta - low) * (share**power if share > 0 or power > 0 else 1.0)
    return temperature(c, chosen) if chosen > 0 else c.keep(1)


def draw(c: Candidates, u: float) -> int | None:
    """The token where the cumulative probability passes u in [0, 1)."""
    mass, total = c.mass()
    n = int(mass.searchsorted(u * total, side="right"))
    if n < len(c.ids):
        return int(c.ids[n])
    return int(c.ids[int(np.flatnonzero(c.logits > -np.inf)[-1])]) if c.complete else None
