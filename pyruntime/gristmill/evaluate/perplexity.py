# SPDX-License-Identifier: MIT
"""Perplexity: the exponential of the mean negative log probability of the scored tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .windows import Progress, Windows, at_targets, log_probabilities

if TYPE_CHECKING:
    from ..model import Model
    from .base_logits import BaseWriter


@dataclass(frozen=True)
class Perplexity:
    """A result.

    Args:
        perplexity: exp of the mean negative log probability.
        error: Its standard error, to first order.
        tokens: How many were scored.
        windows: In how many windows.
    """

    perplexity: float
    error: float
    tokens: int
    windows: int

    @classmethod
    def of(cls, losses: NDArray[np.float64], windows: int) -> Perplexity:
        """From the negative log probabilities of all scored tokens."""
        value = math.exp(losses.mean())
        return cls(value, value * standard_error(losses), losses.size, windows)


def standard_error(values: NDArray[np.float64]) -> float:
    """Of the mean of samples; 0 of a single one."""
    if values.size < 2:
        return 0.0
    return float(values.std() / math.sqrt(values.size - 1))


def perplexity(
    model: Model,
    windows: Windows,
    *,
    base: BaseWriter | None = None,
    progress: Progress | None = None,
) -> Perplexity:
    """The perplexity of a model on a text.

    Args:
        model: The model.
        windows: The text.
        base: Where to keep all log probabilities, to compare other models with them.
        progress: Called with windows done and windows in all.

    Raises:
        ContextError: A token is outside the model's vocabulary.
        ResourceError: Not enough memory, or the base cannot be written.
    """
    losses = []
    pairs = zip(log_probabilities(model, windows, progress), windows.targets, strict=True)
    for logs, targets in pairs:
        scored = at_targets(logs, targets)
        losses.append(-scored)
        if base is not None:
            base.append(logs, scored)
    return Perplexity.of(np.concatenate(losses), len(windows.tokens))
