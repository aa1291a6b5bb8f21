# SPDX-License-Identifier: MIT
"""DRY against its definition, word for word: try every length at every place."""

from __future__ import annotations

import numpy as np
import pytest
from array_row import ArrayRow
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import Model
from gristmill.sampling import SamplingParams, make_sampler
from gristmill.sampling.dry import Breakers, Dry, breakers_of


def reference(
    tokens: list[int], multiplier: float, base: float, allowed: int, broken: set[int]
) -> dict[int, float]:
    """Token -> penalty, with breakers of one token."""
    limit = next((i for i, t in enumerate(reversed(tokens)) if t in broken), len(tokens))
    lost: dict[int, float] = {}
    if limit < allowed or len(tokens) <= allowed:
        return lost
    for place in range(1, len(tokens)):  # the token that followed
        for size in range(allowed, min(place, limit) + 1):
            if tokens[place - size : place] == tokens[len(tokens) - size :]:
                penalty = multiplier * base ** (size - allowed)
                lost[tokens[place]] = max(lost.get(tokens[place], 0.0), penalty)
    return {token: penalty for token, penalty in lost.items() if token not in broken}


texts = st.integers(1, 4).flatmap(lambda n: st.lists(st.integers(0, n), max_size=40))


@settings(max_examples=500)
@given(texts, st.integers(1, 4), st.sampled_from([1.0, 1.2, 2.0]), st.sets(st.integers(0, 4)))
def test_it_is_the_definition(
    tokens: list[int], allowed: int, base: float, broken: set[int]
) -> None:
    params = SamplingParams(dry_multiplier=0.8, dry_base=base, dry_allowed_length=allowed)
    dry = Dry(params, {token: [()] for token in broken})
    for end in range(len(tokens) + 1):  # as a text grows
        less = dry.penalties(tokens[:end])
        got = {} if less is None else dict(zip(less[0].tolist(), less[1].tolist(), strict=True))
        assert got == pytest.approx(reference(tokens[:end], 0.8, base, allowed, broken))


@settings(max_examples=100)
@given(texts, st.integers(1, 30))
def test_only_the_last_n_tokens_are_searched(tokens: list[int], last: int) -> None:
    params = SamplingParams(dry_multiplier=1.0, dry_penalty_last_n=last)
    less = Dry(params, {}).penalties(tokens)
    got = {} if less is None else dict(zip(less[0].tolist(), less[1].tolist(), strict=True))
    assert got == pytest.approx(reference(tokens[-last:], 1.0, 1.75, 2, set()))


def test_a_long_repetition_costs_a_finite_penalty() -> None:
    less = Dry(SamplingParams(dry_multiplier=1.0, dry_base=1.75), {}).penalties([7] * 3000)
    assert less is not None
    assert less[0].tolist() == [7]
    assert 1e38 < less[1][0] < 3.5e38  # the largest float, as in llama.cpp


def test_a_breaker_may_take_several_tokens() -> None:
    """The repetition of 1 2 3 counts from the end of the breaker 8 9 on."""
    breakers: Breakers = {8: [(9,)]}
    params = SamplingParams(dry_multiplier=1.0, dry_base=2.0, dry_allowed_length=1)
    text = [5, 8, 9, 1, 2, 3, 6, 5, 8, 9, 1, 2, 3]
    less = Dry(params, breakers).penalties(text)
    assert less is not None
    assert (less[0].tolist(), less[1].tolist()) == ([6], [2.0 ** (3 - 1)])
    less = Dry(params, {}).penalties(text)
    assert less is not None
    assert less[1].tolist() == [2.0 ** (6 - 1)]


def test_breakers_are_found_in_the_vocabulary(model: Model) -> None:
    tokenizer = model.tokenizer
    found = breakers_of(tokenizer, ("\n", "once upon"))
    assert found is breakers_of(tokenizer, ("\n", "once upon"))
    for token in range(tokenizer.vocab_size):
        word = tokenizer.token_bytes(token)
        assert (() in found.get(token, ())) == (b"\n" in word or b"once upon" in word)
        for tail in found.get(token, ()):
            whole = word + b"".join(map(tokenizer.token_bytes, tail))
            assert not tail or b"onceupon" in whole.replace(
                b" ", b""
            )  # SentencePiece's prefix is a space


def test_the_sampler_subtracts_it() -> None:
    row = ArrayRow(np.array([1.0, 2.0, 3.0, 0.0], np.float32))
    params = SamplingParams(temperature=0, dry_multiplier=5.0)
    assert make_sampler(params).sample(row, [0, 1, 2, 0, 1]).token == 1
    assert make_sampler(params).sample(row, [0, 1, 3, 0, 1]).token == 2
