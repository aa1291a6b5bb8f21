# SPDX-License-Identifier: MIT
"""How far a model is from a reference: KL divergence and what goes with it.

For each scored position, sum over the vocabulary of p (ln p - ln q), p the reference. Tokens with
ln p of -16 or less are left out, as in llama.cpp: files of log probabilities know no smaller ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .perplexity import Perplexity, standard_error
from .windows import Progress, at_targets, log_probabilities

if TYPE_CHECKING:
    from ..model import Model
    from .base_logits import BaseReader

FLOOR = -16.0


@dataclass(frozen=True)
class Divergence:
    """A result. Probabilities are of the tokens that the text has.

    Args:
        model: Perplexity of the model.
        base: Perplexity of the reference.
        ratio: The first by the second, and `ratio_error` its standard error: of the same tokens, so
            it is surer than either.
        kl: Mean KL divergence, in nats, and `kl_error` its standard error.
        kl_median, kl_90, kl_99, kl_max: Quantiles over the positions.
        top1: Share of the positions where both think the same token likeliest; `top1_error`.
        dp_mean, dp_rms: Mean and root mean square of the change of the probability.
    """

    model: Perplexity
    base: Perplexity
    ratio: float
    ratio_error: float
    kl: float
    kl_error: float
    kl_median: float
    kl_90: float
    kl_99: float
    kl_max: float
    top1: float
    top1_error: float
    dp_mean: float
    dp_rms: float


def divergence(model: Model, base: BaseReader, *, progress: Progress | None = None) -> Divergence:
    """Compares a model with a reference.

    Raises:
        ShapeError: The reference has another vocabulary.
        ResourceError: There is not enough memory.
    """
    if base.vocab != model.vocab_size:
        raise ShapeError(
            f"[perplexity] Models that are compared share their vocabulary. Got "
            f"{model.vocab_size} tokens, the reference has {base.vocab}."
        )
    kls, same, ours, theirs = [], [], [], []
    windows = base.windows
    for window, logs in enumerate(log_probabilities(model, windows, progress)):
        reference, targets = base.logs(window), windows.targets[window]
        kls.append(kl_divergence(reference, logs))
        same.append(reference.argmax(axis=-1) == logs.argmax(axis=-1))
        ours.append(at_targets(logs, targets))
        theirs.append(base.scored(window))
    kl, agree, q, p = (np.concatenate(parts) for parts in (kls, same, ours, theirs))
    change = np.exp(q) - np.exp(p)
    ratio = math.exp(float((p - q).mean()))
    count, top1 = len(windows.tokens), float(agree.mean())
    median, at_90, at_99 = (float(np.quantile(kl, at)) for at in (0.5, 0.9, 0.99))
    return Divergence(
        Perplexity.of(-q, count), Perplexity.of(-p, count),
        ratio, ratio * standard_error(p - q),
        float(kl.mean()), standard_error(kl), median, at_90, at_99, float(kl.max()),
        top1, math.sqrt(top1 * (1 - top1) / max(agree.size - 1, 1)),
        float(change.mean()), math.sqrt(float((change**2).mean())),
    )  # fmt: skip


def kl_divergence(p: NDArray[np.float32], q: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of log probabilities [rows, V], per row; never below 0 but for rounding and the floor."""
    terms = np.exp(p)
    terms *= p - q
    terms[p <= FLOOR] = 0
    total: NDArray[np.float64] = terms.sum(axis=-1, dtype=np.float64)
    return total
