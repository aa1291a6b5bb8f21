# SPDX-License-Identifier: MIT
"""DRY, "don't repeat yourself": a penalty on tokens that would continue a repetition.

By p-e-w (text-generation-webui#5677), in llama.cpp's form: a token that followed an earlier
occurrence of the last n tokens loses multiplier * base ** (n - allowed_length), for the largest n
of at least allowed_length. The n tokens do not reach across a sequence breaker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gristmill.tokenizer import Tokenizer

    from .params import SamplingParams

_LARGEST_LOG = 88.7228391  # of a float: the penalty of a long repetition stays finite
_BREAKER_CHARS, _BREAKER_TAIL = 40, 20  # of llama.cpp: longer ones are cut

Less = tuple[NDArray[np.int32], NDArray[np.float64]]  # ascending ids [m], what they lose [m]
# A token that ends, or holds, the beginning of a breaker -> the tokens that complete it.
Breakers = Mapping[int, Sequence[tuple[int, ...]]]

_found: WeakKeyDictionary[Tokenizer, dict[tuple[str, ...], Breakers]] = WeakKeyDictionary()


def breakers_of(tokenizer: Tokenizer, texts: Sequence[str]) -> Breakers:
    """The tokens that break a repetition; kept per tokenizer, because all tokens are read."""
    known = _found.setdefault(tokenizer, {})
    key = tuple(texts)
    if key not in known:
        known[key] = _read_breakers(tokenizer, key)
    return known[key]


def _read_breakers(tokenizer: Tokenizer, texts: tuple[str, ...]) -> Breakers:
    found: dict[int, list[tuple[int, ...]]] = {}
    cut = [text[:_BREAKER_CHARS].encode() for text in texts]
    for token in range(tokenizer.vocab_size):
        word = tokenizer.token_bytes(token)
        for text in cut:
            if text in word:
                found.setdefault(token, []).append(())
                continue
            for size in range(min(len(text) - 1, len(word)), 0, -1):
                if word.endswith(text[:size]):
                    rest = text[size:].decode("utf-8", "replace")
                    tail = tokenizer.encode(rest, add_special=False, parse_special=False)
                    found.setdefault(token, []).append(tuple(tail[:_BREAKER_TAIL]))
    return found


class Dry:
    """The search for repetitions in one text."""

    def __init__(self, params: SamplingParams, breakers: Breakers) -> None:
        self._params = params
        self._breakers = breakers
        self._tokens = np.zeros(1024, np.int32)
        self._count = 0
        base = params.dry_base
        self._most = int(_LARGEST_LOG / math.log(base)) if base > 1.000001 else 0

    def penalties(self, history: Sequence[int]) -> Less | None:
        """What tokens lose after this history, which continues the one of the call before."""
        tokens = self._recent(history)
        limit = self._limit(history, len(tokens))
        allowed = self._params.dry_allowed_length
        if len(tokens) <= allowed or limit < allowed:
            return None
        longest = self._longest(tokens, limit)
        if not longest:
            return None
        ids = np.array(sorted(longest), np.int32)
        powers = np.array([longest[token] - allowed for token in ids.tolist()], np.float64)
        if self._most > 0:
            powers = np.minimum(powers, self._most)
        return ids, self._params.dry_multiplier * self._params.dry_base**powers

    def _recent(self, history: Sequence[int]) -> NDArray[np.int32]:
        """The tokens to search, kept as an array from call to call."""
        count = len(history)
        if count < self._count:
            self._count = 0
        if count > len(self._tokens):
            self._tokens = np.concatenate((self._tokens, np.zeros(2 * count, np.int32)))
        self._tokens[self._count : count] = history[self._count :]
        self._count = count
        last = self._params.dry_penalty_last_n
        return self._tokens[max(0, count - last) if last > 0 else 0 : count]

    def _limit(self, history: Sequence[int], count: int) -> int:
        """How many of the last `count` tokens there are after the last breaker."""
        if not self._breakers:
            return count
        end = len(history)
        for back in range(count):
            tails = [
                len(tail)
                for tail in self._breakers.get(history[end - 1 - back], ())
                if len(tail) <= back and tuple(history[end - back : end - back + len(tail)]) == tail
            ]
            if tails:
                return back - max(tails)
        return count

    def _longest(self, tokens: NDArray[np.int32], limit: int) -> dict[int, int]:
        """Token -> the longest repetition that it would continue, if that is long enough."""
        allowed = self._params.dry_allowed_length
        if self._most > 0:  # longer ones cost no more
            limit = min(limit, allowed + self._most)
        last = len(tokens) - 1
        ends = np.flatnonzero(tokens[:last] == tokens[last]) if limit > 0 else np.arange(0)
        longest: dict[int, int] = {}
        if allowed == 0:  # every token that occurred continues a repetition of nothing
            longest = dict.fromkeys(tokens[1:].tolist(), 0)
        size = 1  # `ends`: where the last `size` tokens end, too
        while len(ends):
            if size >= allowed:
                longest.update(dict.fromkeys(tokens[ends + 1].tolist(), size))
            if size >= limit:
                break
            ends = ends[ends >= size]
            ends = ends[tokens[ends - size] == tokens[last - size]]
            size += 1
        single = [token for token in longest if () in self._breakers.get(token, ())]
        for token in single:
            del longest[token]
        return longest
