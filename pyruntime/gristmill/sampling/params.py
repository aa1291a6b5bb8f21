# SPDX-License-Identifier: MIT
"""The options of sampling, checked once. Names and defaults are llama.cpp's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

DRY_BREAKERS = ("\n", ":", '"', "*")


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen. The defaults are llama.cpp's.

    Args:
        temperature: Divides the logits; 0 means greedy (the best token, nothing random).
        top_k: Keep the best k tokens; 0 keeps all.
        top_p: Keep the smallest set of best tokens with at least this probability; 1 keeps all.
        min_p: Drop tokens less likely than min_p times the best one; 0 keeps all.
        typical_p: Keep this much probability of the tokens closest to the entropy; 1 keeps all.
        top_n_sigma: Keep logits within this many standard deviations of the best; <= 0 keeps all.
        xtc_probability: How often the most likely tokens but the last one above xtc_threshold go.
        xtc_threshold: Probability above which a token may go; above 0.5 none does.
        dynatemp_range: How far the entropy moves the temperature around `temperature`; 0 is off.
        dynatemp_exponent: Power of the normalised entropy in that.
        mirostat: 1 or 2 holds the surprise at mirostat_tau instead of the filters above; 0 is off.
            Temperature, bias and penalties still apply.
        mirostat_tau: Target surprise [bits].
        mirostat_eta: How fast it is approached.
        repeat_penalty: Divides positive and multiplies negative logits of recent tokens; 1 is off.
        repeat_last_n: How many recent tokens (prompt included) the three penalties look at; 0 is
            none, -1 is all.
        frequency_penalty: Subtracted once per occurrence of a recent token.
        presence_penalty: Subtracted once if a token is recent at all.
        dry_multiplier: Scale of the penalty on a token that would continue a repetition; 0 is off.
        dry_base: The penalty grows by this factor with every repeated token.
        dry_allowed_length: Repetitions shorter than this are free.
        dry_penalty_last_n: How many recent tokens are searched; 0 is none, -1 is all.
        dry_sequence_breakers: Texts that a repetition does not reach across.
        logit_bias: Added to the logits of these token ids; -inf bans a token.
        seed: Same seed, same text. None takes a fresh one, which the statistics tell.

    Raises:
        ValueError: A value is out of its range.

    Example:
        >>> SamplingParams(temperature=0.7, seed=1).top_k
        40
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = DRY_BREAKERS
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        for names, rule, tests in _RULES:
            for name in names.split():
                _check(name, getattr(self, name), rule, *tests)
        breakers = self.dry_sequence_breakers
        if type(breakers) is not tuple or not all(breakers) or {*map(type, breakers)} - {str}:
            raise ValueError(
                "[sampling] dry_sequence_breakers must be a tuple of texts that are not empty. "
                f"Got {breakers!r}."
            )
        for token, bias in self.logit_bias.items():
            _check("logit_bias (token)", token, "a token id >= 0", _whole, lambda v: v >= 0)
            _check(f"logit_bias[{token}]", bias, "finite or -inf", lambda v: v < math.inf)
        if self.seed is not None:
            _check("seed", self.seed, "from 0 to 2**64 - 1", _whole, lambda v: 0 <= v < 2**64)

    @property
    def penalises(self) -> bool:
        """Whether recent tokens change anything by one of the three penalties."""
        active = self.repeat_penalty != 1 or self.frequency_penalty or self.presence_penalty
        return bool(active) and self.repeat_last_n != 0

    @property
    def avoids_repetitions(self) -> bool:
        """Whether DRY is on."""
        return self.dry_multiplier > 0 and self.dry_penalty_last_n != 0


def _whole(value: float) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check(name: str, value: float, rule: str, *tests: Callable[[float], bool]) -> None:
    """Raises ValueError unless every test holds."""
    try:
        good = all(test(value) for test in tests)
    except TypeError:
        good = False
    if not good:
        raise ValueError(f"[sampling] {name} must be {rule}. Got {value!r}.")


_Tests = tuple[Callable[[float], bool], ...]
_finite = math.isfinite
# names, the rule in words, the rule
_RULES: tuple[tuple[str, str, _Tests], ...] = (
    ("temperature dynatemp_range", "a finite number >= 0", (_finite, lambda v: v >= 0)),
    ("top_k", "an integer >= 0 (0 keeps all)", (_whole, lambda v: v >= 0)),
    (
        "top_p min_p xtc_probability xtc_threshold",
        "from 0 to 1",
        (_finite, lambda v: 0 <= v <= 1),
    ),
    ("typical_p", "above 0, up to 1", (_finite, lambda v: 0 < v <= 1)),
    (
        "top_n_sigma frequency_penalty presence_penalty dynatemp_exponent",
        "a finite number",
        (_finite,),
    ),
    ("mirostat", "0, 1 or 2", (_whole, lambda v: 0 <= v <= 2)),
    (
        "mirostat_tau mirostat_eta dry_multiplier",
        "a finite number >= 0",
        (_finite, lambda v: v >= 0),
    ),
    ("repeat_penalty", "a number > 0", (_finite, lambda v: v > 0)),
    ("dry_base", "a number >= 1", (_finite, lambda v: v >= 1)),
    ("dry_allowed_length", "an integer >= 0", (_whole, lambda v: v >= 0)),
    ("repeat_last_n dry_penalty_last_n", "an integer >= -1", (_whole, lambda v: v >= -1)),
)
