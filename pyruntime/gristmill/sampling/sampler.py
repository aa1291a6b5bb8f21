# SPDX-License-Identifier: MIT
"""Sampling: small pure functions over the best candidates of a row of logits.

The core hands out the best n tokens with the logsumexp of the whole row, so the usual path never
touches the vocabulary. Every filter is exact all the same: one that needs more than the n
candidates it was given says so (None), and n grows until the answer no longer depends on what was
left out, at worst up to the whole vocabulary. The order is llama.cpp's default chain: bias,
penalties, top-k, typical, top-p, min-p, temperature.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import GristmillError

FIRST_CANDIDATES = 64  # asked for first without top-k; holds top-p 0.95 of most rows


class Row(Protocol):
    """One row of logits, as a Session offers it."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens V."""

    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]:
        """Best n ids [n], their logits [n] descending (ties: lower id first), logsumexp of all."""

    def logits(self) -> NDArray[np.float32]:
        """All logits [rows, V]; the last row is the one to sample from."""


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen. The defaults are llama.cpp's.

    Args:
        temperature: Divides the logits; 0 means greedy (the best token, nothing random).
        top_k: Keep the best k tokens; 0 keeps all.
        top_p: Keep the smallest set of best tokens with at least this probability; 1 keeps all.
        min_p: Drop tokens less likely than min_p times the best one; 0 keeps all.
        typical_p: Keep this much probability of the tokens closest to the entropy; 1 keeps all.
        repeat_penalty: Divides positive and multiplies negative logits of recent tokens; 1 is off.
        repeat_last_n: How many recent tokens (prompt included) the three penalties look at; 0 is
            none, -1 is all.
        frequency_penalty: Subtracted once per occurrence of a recent token.
        presence_penalty: Subtracted once if a token is recent at all.
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
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        finite = math.isfinite
        _check("temperature", self.temperature, "a finite number >= 0", finite, lambda v: v >= 0)
        _check("top_k", self.top_k, "an integer >= 0 (0 keeps all)", _whole, lambda v: v >= 0)
        for name in ("top_p", "min_p"):
            _check(name, getattr(self, name), "from 0 to 1", finite, lambda v: 0 <= v <= 1)
        _check("typical_p", self.typical_p, "above 0, up to 1", finite, lambda v: 0 < v <= 1)
        _check("repeat_penalty", self.repeat_penalty, "a number > 0", finite, lambda v: v > 0)
        _check("repeat_last_n", self.repeat_last_n, "an integer >= -1", _whole, lambda v: v >= -1)
        for name in ("frequency_penalty", "presence_penalty"):
            _check(name, getattr(self, name), "a finite number", finite)
        for token, bias in self.logit_bias.items():
            _check("logit_bias (token)", token, "a token id >= 0", _whole, lambda v: v >= 0)
            _check(f"logit_bias[{token}]", bias, "finite or -inf", lambda v: v < math.inf)
        if self.seed is not None:
            _check("seed", self.seed, "from 0 to 2**64 - 1", _whole, lambda v: 0 <= v < 2**64)

    @property
    def penalises(self) -> bool:
        """Whether recent tokens change anything."""
        active = self.repeat_penalty != 1 or self.frequency_penalty or self.presence_penalty
        return bool(active) and self.repeat_last_n != 0


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


# -- candidates and filters ---------------------------------------------------------------------
class Candidates(NamedTuple):
    """The head of a distribution.

    `ids` [n] and `logits` [n] f64 descend (ties: lower id first). `complete` says that these n are
    all of it; else `logsumexp` belongs to the whole row and tells how much was left out.
    """

    ids: NDArray[np.integer]
    logits: NDArray[np.float64]
    logsumexp: float
    complete: bool

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


Filter = Callable[[Candidates], "Candidates | None"]
Edit = tuple[NDArray[np.int64], NDArray[np.float64]]  # ascending ids [m] and their new logits [m]


def log_sum_exp(logits: NDArray[np.float64]) -> float:
    """log(sum(exp(logits))) without overflow; -inf for nothing."""
    top = float(logits.max()) if len(logits) else -math.inf
    if not math.isfinite(top):
        return top
    return top + math.log(float(np.exp(logits - top).sum()))


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
    n = int(np.count_nonzero(c.logits >= c.logits[0] + math.log(p)))
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


def temperature(c: Candidates, t: float) -> Candidates | None:
    """Divides the logits by t."""
    if t == 1:
        return c
    if not c.complete:
        return None
    # The best at 0: a tiny t cannot overflow.
    return c._replace(logits=(c.logits - c.logits[0]) / t)


def draw(c: Candidates, u: float) -> int | None:
    """The token where the cumulative probability passes u in [0, 1)."""
    mass, total = c.mass()
    n = int(mass.searchsorted(u * total, side="right"))
    if n < len(c.ids):
        return int(c.ids[n])
    return int(c.ids[int(np.flatnonzero(c.logits > -np.inf)[-1])]) if c.complete else None


# -- bias and penalties -------------------------------------------------------------------------
def penalise(
    logits: NDArray[np.float64], counts: NDArray[np.int64], params: SamplingParams
) -> NDArray[np.float64]:
    """Logits [m] of tokens that occur `counts` [m] times in the recent text, penalised."""
    if params.repeat_penalty != 1:
        factor = np.where(logits > 0, 1 / params.repeat_penalty, params.repeat_penalty)
        logits = logits * factor
    if params.frequency_penalty:
        logits = logits - counts * params.frequency_penalty
    if params.presence_penalty:
        logits = logits - (counts > 0) * params.presence_penalty
    return logits


def edits(row: NDArray[np.float32], history: Sequence[int], params: SamplingParams) -> Edit | None:
    """Ids [m] and new logits [m] of the tokens that bias and penalties change; None: no token."""
    bias = params.logit_bias
    seen: Counter[int] = Counter()
    if params.penalises:
        last = params.repeat_last_n
        seen.update(history[-last:] if last > 0 else history)
    for token in bias:
        if token < len(row):
            seen.setdefault(token, 0)
    if not seen:
        return None
    ids = np.fromiter(seen.keys(), np.int64, len(seen))
    order = ids.argsort()
    ids = ids[order]
    counts = np.fromiter(seen.values(), np.int64, len(seen))[order]
    logits = row[ids].astype(np.float64)
    if bias:
        logits += [bias.get(token, 0.0) for token in ids.tolist()]
    if params.penalises:
        penalised = penalise(logits, counts, params)
        logits = np.where(counts > 0, penalised, logits) if bias else penalised
    return ids, logits


def gather(
    row: Row,
    n: int,
    edit: Edit | None = None,
    need_mass: bool = True,
) -> tuple[Candidates, float]:
    """The best n candidates of a row in which `edit` replaced m logits, and the row's logsumexp.

    Exact: n + m unedited candidates hold at least n tokens that were not edited, so the best n of
    those and of all the edited ones are the best n of the edited row. Its logsumexp is the old one
    less the old and plus the new mass of the edited tokens; where they held most of the mass that
    would cancel, and it is summed again over the row. Without `need_mass` (top-k comes next, which
    sums what it keeps) it is NaN. The second result is of the row as the model gave it.
    """
    total = row.vocab_size
    changed = 0 if edit is None else len(edit[0])
    ids, logits, mass = row.candidates(min(n + changed, total))
    if not math.isfinite(mass):
        raise GristmillError(
            "[sampling] The logits must be finite. Got NaN or infinity: the model file is damaged."
        )
    if edit is None:
        return Candidates(ids, logits.astype(np.float64), mass, n >= total), mass
    tokens, new = edit
    rest = tokens.take(tokens.searchsorted(ids), mode="clip") != ids
    all_ids = np.concatenate([ids[rest], tokens])
    all_logits = np.concatenate([logits[rest], new])
    order = np.lexsort((all_ids, -all_logits))[:n]
    new_mass = math.nan
    if need_mass:
        new_mass = _edited_mass(row.logits()[-1], mass, tokens, new)
    return Candidates(all_ids[order], all_logits[order], new_mass, n >= total), mass


def _edited_mass(
    row: NDArray[np.float32], mass: float, tokens: NDArray[np.int64], new: NDArray[np.float64]
) -> float:
    """logsumexp of the row after `tokens` got the logits `new`."""
    left = 1.0 - float(np.exp(row[tokens].astype(np.float64) - mass).sum())
    if left > 0.1:  # loses one digit of sixteen at most
        return float(np.logaddexp(mass + math.log(left), log_sum_exp(new)))
    whole = row.astype(np.float64)
    whole[tokens] = new
    return log_sum_exp(whole)


# -- the sampler --------------------------------------------------------------------------------
class Choice(NamedTuple):
    """A chosen token and its log-probability under the model, before any sampling option."""

    token: int
    logprob: float


class Sampler:
    """The composed filters and a random generator; one per generated text."""

    def __init__(self, params: SamplingParams, filters: Sequence[Filter], first: int) -> None:
        """`first`: candidates to ask for at first; 0 means the whole vocabulary."""
        self.params = params
        self.seed = secrets.randbits(32) if params.seed is None else int(params.seed)
        self._filters = tuple(filters)
        self._first = first
        self._edits = params.penalises or bool(params.logit_bias)
        self._sums = params.temperature > 0 and params.top_k == 0
        self._random = np.random.Generator(np.random.PCG64(self.seed))

    def sample(self, row: Row, history: Sequence[int]) -> Choice:
        """Chooses from the last row of logits.

        Args:
            row: The logits of the step.
            history: All tokens so far, prompt included.

        Raises:
            GristmillError: The logits are not finite, or every token is banned.
        """
        logits = row.logits()[-1] if self._edits else None  # [V] f32
        edit = None if logits is None else edits(logits, history, self.params)
        u = 0.0 if self.params.temperature == 0 else self._random.random()
        n = self._first or row.vocab_size
        while True:
            head, mass = gather(row, n, edit, self._sums)
            token = self._choose(head, u)
            if token is not None:
                break
            n = min(8 * n, row.vocab_size)
        raw = logits[token] if logits is not None else head.logits[(head.ids == token).argmax()]
        return Choice(token, float(raw) - mass)

    def _choose(self, head: Candidates, u: float) -> int | None:
        """A token from the head of the distribution, or None if it is too short to say."""
        if head.logits[0] == -math.inf:
            raise GristmillError("[sampling] At least one token must be allowed. All are banned.")
        if self.params.temperature == 0:
            return int(head.ids[0])
        kept: Candidates | None = head
        for step in self._filters:
            if kept is None:
                return None
            kept = step(kept)
        return None if kept is None else draw(kept, u)


def make_sampler(params: SamplingParams) -> Sampler:
    """Composes the filters that `params` turn on, in llama.cpp's default order."""
    if params.temperature == 0:
        return Sampler(params, (), 1)
    filters: list[Filter] = []
    if params.top_k > 0:
        filters.append(partial(top_k, k=params.top_k))
    if params.typical_p < 1:
        filters.append(partial(typical, p=params.typical_p))
    if params.top_p < 1:
        filters.append(partial(top_p, p=params.top_p))
    if params.min_p > 0:
        filters.append(partial(min_p, p=params.min_p))
    filters.append(partial(temperature, t=params.temperature))
    if params.top_k > 0:
        first = params.top_k
    elif params.typical_p < 1 or (params.top_p == 1 and params.min_p == 0):
        first = 0  # the entropy, or a temperature over all tokens, needs the whole row
    else:
        first = FIRST_CANDIDATES
    return Sampler(params, filters, first)
