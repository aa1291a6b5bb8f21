# SPDX-License-Identifier: MIT
"""The sampler of one text: what the options turn on, over the best candidates of a row of logits.

The core hands out the best n tokens after bias, penalties and mask, with the logsumexp of the whole
row, so nothing here is as long as the vocabulary. The order is llama.cpp's default chain: bias,
penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p, XTC, temperature.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import GristmillError

from . import filters as f
from .dry import Breakers, Dry, Less, breakers_of
from .filters import Candidates, Filter
from .mirostat import Mirostat
from .params import SamplingParams

if TYPE_CHECKING:
    from gristmill.tokenizer import Tokenizer

FIRST_CANDIDATES = 64  # asked for first without top-k; holds top-p 0.95 of most rows
Mask = NDArray[np.uint32]  # [ceil(V / 32)]: bit i % 32 of word i // 32 allows token i
_Bias = tuple[NDArray[np.int32], NDArray[np.float64]]


class Row(Protocol):
    """One row of logits, as a Session offers it."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens V."""

    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]:
        """Best n ids [n], their logits [n] descending (ties: lower id first), logsumexp of all."""

    def edited_candidates(  # noqa: PLR0917
        self,
        n: int,
        recent: Sequence[int] | NDArray[np.int32],
        repeat: float,
        frequency: float,
        presence: float,
        bias: _Bias | None,
        less: Less | None,
        mask: Mask | None,
        mass: bool,
        deviation: bool,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float32], float, float, float]:
        """The same after bias, penalties and mask.

        Returns:
            Ids [n], edited logits [n], logits as computed [n], logsumexp and standard deviation of
            the edited row (NaN where not asked for), logsumexp as computed. With a mask only the
            allowed tokens, which may be fewer than n.
        """


class Choice(NamedTuple):
    """A chosen token and its log-probability under the model, before any sampling option."""

    token: int
    logprob: float


class Sampler:
    """The composed filters, a random generator and what a text needs to be remembered of it.

    Args:
        params: The options.
        chain: The filters in order.
        first: Candidates to ask for at first; 0 means the whole vocabulary.
        breakers: What breaks a repetition for DRY.
    """

    def __init__(
        self,
        params: SamplingParams,
        chain: Sequence[Filter],
        first: int,
        breakers: Breakers | None = None,
    ) -> None:
        self.params = params
        self.seed = secrets.randbits(32) if params.seed is None else int(params.seed)
        self._filters = tuple(chain)
        self._first = first
        self._bias = _arrays(params)
        self._dry = Dry(params, breakers or {}) if params.avoids_repetitions else None
        self._sums = params.temperature > 0 and (params.top_k == 0 or params.mirostat > 0)
        self._sigma = params.temperature > 0 and params.top_n_sigma > 0 and not params.mirostat
        self._mirostat = (
            Mirostat(params.mirostat, params.mirostat_tau, params.mirostat_eta)
            if params.mirostat and params.temperature > 0
            else None
        )
        self._plain = not (params.penalises or params.logit_bias or self._sigma or self._dry)
        self._random = np.random.Generator(np.random.PCG64(self.seed))

    def sample(self, row: Row, history: Sequence[int], mask: Mask | None = None) -> Choice:
        """Chooses from the last row of logits.

        Args:
            row: The logits of the step.
            history: All tokens so far, prompt included; from call to call it only grows.
            mask: The tokens that are allowed; None allows all.

        Raises:
            GristmillError: The logits are not finite, or every token is banned.
        """
        less = None if self._dry is None else self._dry.penalties(history)
        u, skips_xtc = 0.0, True
        if self.params.temperature > 0:
            if self.params.xtc_probability > 0:
                skips_xtc = self._random.random() > self.params.xtc_probability
            u = self._random.random()
        n = self._first or row.vocab_size
        while True:
            head, raw, mass = self._head(row, min(n, row.vocab_size), history, less, mask)
            token = self._choose(head, u, skips_xtc, row.vocab_size)
            if token is not None:
                break
            n = min(8 * n, row.vocab_size)
        return Choice(token, float(raw[(head.ids == token).argmax()]) - mass)

    def _head(
        self,
        row: Row,
        n: int,
        history: Sequence[int],
        less: Less | None,
        mask: Mask | None,
    ) -> tuple[Candidates, NDArray[np.float32], float]:
        """The best n, their logits as the model gave them, and the logsumexp of those of all."""
        whole = n >= row.vocab_size
        if self._plain and mask is None:
            ids, raw, mass = row.candidates(n)
            head = Candidates(ids, raw.astype(np.float64), mass, whole)
        else:
            p = self.params
            if self._bias is not None and self._bias[0][-1] >= row.vocab_size:
                known = self._bias[0] < row.vocab_size
                self._bias = (self._bias[0][known], self._bias[1][known]) if known.any() else None
            recent: Sequence[int] = ()
            if p.penalises:
                recent = history[-p.repeat_last_n :] if p.repeat_last_n > 0 else history
            ids, logits, raw, new_mass, deviation, mass = row.edited_candidates(
                n, recent, p.repeat_penalty, p.frequency_penalty, p.presence_penalty,
                self._bias, less, mask, self._sums, self._sigma,
            )  # fmt: skip
            whole = whole or len(ids) < n  # those that the mask allows
            head = Candidates(ids, logits, new_mass, whole, deviation)
        if not math.isfinite(mass):
            raise GristmillError(
                "[sampling] The logits must be finite. Got NaN or infinity: the model file is "
                "damaged."
            )
        if not len(head.ids) or head.logits[0] == -math.inf:
            raise GristmillError("[sampling] At least one token must be allowed. All are banned.")
        return head, raw, mass

    def _choose(self, head: Candidates, u: float, skips_xtc: bool, total: int) -> int | None:
        """A token from the head of the distribution, or None if it is too short to say."""
        if self.params.temperature == 0:
            return int(head.ids[0])
        kept = head
        for step in self._filters:
            if skips_xtc and isinstance(step, partial) and step.func is f.xtc:
                continue
            shorter = step(kept)
            if shorter is None:
                return None
            kept = shorter
        if self._mirostat is not None:
            return self._mirostat.choose(kept, u, total)
        return f.draw(kept, u)


def _arrays(params: SamplingParams) -> _Bias | None:
    """The bias as ascending ids and values."""
    if not params.logit_bias:
        return None
    ids = sorted(params.logit_bias)
    return np.array(ids, np.int32), np.array([params.logit_bias[i] for i in ids], np.float64)


def make_sampler(params: SamplingParams, tokenizer: Tokenizer | None = None) -> Sampler:
    """Composes the filters that `params` turn on.

    Args:
        params: The options.
        tokenizer: Whose tokens DRY's sequence breakers are looked up in; None: there are none.
    """
    breakers = None
    if params.avoids_repetitions and tokenizer is not None:
        breakers = breakers_of(tokenizer, params.dry_sequence_breakers)
    if params.temperature == 0:
        return Sampler(params, (), 1, breakers)
    if params.mirostat:
        first = 4 * FIRST_CANDIDATES if params.temperature == 1 else 0
        return Sampler(params, [partial(f.temperature, t=params.temperature)], first, breakers)
    return Sampler(params, _chain(params), _first(params), breakers)


def _chain(params: SamplingParams) -> list[Filter]:
    chain: list[Filter] = []
    if params.top_n_sigma > 0:
        chain.append(partial(f.top_n_sigma, n=params.top_n_sigma))
    if params.top_k > 0:
        chain.append(partial(f.top_k, k=params.top_k))
    if params.typical_p < 1:
        chain.append(partial(f.typical, p=params.typical_p))
    if params.top_p < 1:
        chain.append(partial(f.top_p, p=params.top_p))
    if params.min_p > 0:
        chain.append(partial(f.min_p, p=params.min_p))
    if params.xtc_probability > 0 and params.xtc_threshold <= 0.5:
        chain.append(partial(f.xtc, threshold=params.xtc_threshold))
    if params.dynatemp_range > 0:
        delta, power = params.dynatemp_range, params.dynatemp_exponent
        chain.append(partial(f.dynamic_temperature, t=params.temperature, delta=delta, power=power))
    else:
        chain.append(partial(f.temperature, t=params.temperature))
    return chain


def _first(params: SamplingParams) -> int:
    """How many candidates will do for most tokens; 0: only the whole vocabulary will."""
    if params.top_k > 0:
        return params.top_k
    if params.top_n_sigma > 0:
        return FIRST_CANDIDATES
    if params.typical_p < 1 or (params.top_p == 1 and params.min_p == 0):
        return 0  # the entropy, or a temperature over all tokens, needs the whole row
    return FIRST_CANDIDATES
