# SPDX-License-Identifier: MIT
"""Mirostat: sampling that holds the surprise of a text near a target.

Basu et al., "Mirostat: a neural text decoding algorithm that directly controls perplexity"
(arXiv 2007.14966). Version 1 estimates the Zipf exponent of the best 100 tokens and keeps as many
as the target asks for; version 2 keeps the tokens whose surprise is at most mu.
"""

from __future__ import annotations

import math

import numpy as np

from .filters import Candidates, draw

_ZIPF_TOKENS = 100  # m of the paper


class Mirostat:
    """The state mu [bits] of one text.

    Args:
        version: 1 or 2.
        tau: Target surprise [bits].
        eta: Learning rate.
    """

    def __init__(self, version: int, tau: float, eta: float) -> None:
        self._version = version
        self._tau = tau
        self._eta = eta
        self.mu = 2 * tau

    def choose(self, c: Candidates, u: float, vocab_size: int) -> int | None:
        """Draws a token and moves mu; None if the head is too short to say."""
        kept = self._by_zipf(c, vocab_size) if self._version == 1 else self._by_surprise(c)
        if kept is None:
            return None
        token = draw(kept, u)
        if token is not None:
            probability = float(kept.probabilities()[(kept.ids == token).argmax()])
            self.mu -= self._eta * (-math.log2(max(probability, 1e-300)) - self._tau)
        return token

    def _by_surprise(self, c: Candidates) -> Candidates | None:
        n = int(np.count_nonzero(c.probabilities() >= 2.0**-self.mu))
        if n == len(c.ids) and not c.complete:
            return None
        return c.keep(max(n, 1))

    def _by_zipf(self, c: Candidates, vocab_size: int) -> Candidates | None:
        if len(c.ids) < _ZIPF_TOKENS and not c.complete:
            return None
        logits = c.logits[:_ZIPF_TOKENS]
        logits = logits[logits > -np.inf]
        ranks = np.arange(1, len(logits), dtype=np.float64)
        steps = np.log((ranks + 1) / ranks)
        squares = float((steps * steps).sum())
        drops = logits[:-1] - logits[1:]  # log of the ratio of neighbouring probabilities
        slope = float((steps * drops).sum()) / squares if squares else 0.0
        k = _zipf_cut(slope, self.mu, vocab_size)
        if k > len(c.ids) and not c.complete:
            return None
        return c.keep(k)


def _zipf_cut(slope: float, mu: float, vocab_size: int) -> int:
    """k = (e * 2**mu / (1 - N**-e)) ** (1 / slope), e = slope - 1; 1 to N."""
    if slope <= 0:
        return vocab_size
    excess = slope - 1
    log_n = math.log(vocab_size)
    # e / (1 - N**-e) -> 1 / log N as e -> 0
    ratio = 1 / log_n if abs(excess) < 1e-12 else excess / -math.expm1(-excess * log_n)
    log_k = (math.log(ratio) + mu * math.log(2)) / slope
    return vocab_size if log_k >= log_n else max(1, int(math.exp(log_k)))
