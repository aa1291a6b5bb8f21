# SPDX-License-Identifier: MIT
"""The core's edited candidates against a sort of the whole edited row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from array_row import ArrayRow
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gristmill.errors import ContextError
from gristmill.sampling import SamplingParams, make_sampler

if TYPE_CHECKING:
    from gristmill import Model, Session


@pytest.fixture(scope="module")
def asked(model: Model) -> Session:
    """A session with logits."""
    session = model.session()
    session.evaluate(model.encode("Once upon a time there was a"))
    return session


def ids_of(seed: int, count: int, V: int) -> NDArray[np.int32]:
    ids = np.random.default_rng(seed).choice(V, size=min(count, V), replace=False)
    return np.sort(ids).astype(np.int32)


def bits(allowed: NDArray[np.bool_]) -> NDArray[np.uint32]:
    padded = np.zeros((len(allowed) + 31) // 32 * 32, bool)
    padded[: len(allowed)] = allowed
    return np.packbits(padded, bitorder="little").view(np.uint32)


@settings(max_examples=150)
@given(
    st.sampled_from([1, 7, 40, 300, 10**6]),
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 20, 200]),
    st.sampled_from([0, 3, 64, 3000]),
    st.sampled_from([None, 0.001, 0.3, 1.0]),
    st.booleans(),
)
def test_the_core_sorts_the_edited_row(  # noqa: PLR0917
    asked: Session, n: int, seed: int, changed: int, recent: int, share: float | None, sums: bool
) -> None:
    V = asked.vocab_size
    n = min(n, V)
    random = np.random.default_rng(seed)
    logits = asked.logits()[-1]
    best = np.argsort(-logits)[:200]
    history = np.concatenate([best[random.integers(0, 200, recent)], random.integers(0, V, recent)])
    bias: Any = None
    less: Any = None
    if changed:
        values = random.choice([-math.inf, -3.0, 0.5, 30.0], changed)
        bias = (ids_of(seed, changed, V), values)
        less = (ids_of(seed + 1, changed, V), random.random(changed) * 9)
    mask = None
    if share is not None:
        mask = bits(random.random(V) < share)
        mask[int(best[0]) // 32] |= np.uint32(1 << int(best[0]) % 32)
    arguments = (n, history.tolist(), 1.3, 0.5, 0.25, bias, less, mask, sums, sums)
    got = asked.edited_candidates(*arguments)
    want = ArrayRow(logits).edited_candidates(*arguments)
    for mine, other in zip(got[:3], want[:3], strict=True):
        assert mine.tolist() == other.tolist()
    # The core sums a row in f32 blocks; NaN where nothing was asked for.
    np.testing.assert_allclose(got[3:], want[3:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("banned", [1, 50, 1000, 4000])
def test_mass_left_by_banned_favourites_is_summed_again(asked: Session, banned: int) -> None:
    """Subtracting theirs from the row's logsumexp would leave few digits, or none."""
    logits = asked.logits()[-1].astype(np.float64)
    best = np.sort(np.argsort(-logits)[:banned]).astype(np.int32)
    bias = (best, np.full(banned, -math.inf))
    mass = asked.edited_candidates(5, bias=bias, mass=True)[3]
    rest = np.delete(logits, best)
    # The logsumexp of the row, summed in f32, is good to 1e-7; a tenth of it may be left.
    assert mass == pytest.approx(math.log(np.exp(rest - rest.max()).sum()) + rest.max(), abs=1e-6)


def test_a_masked_token_never_appears(asked: Session) -> None:
    """Not greedily, not with top-k 1, not if only the least likely token is left."""
    logits = asked.logits()[-1]
    worst = int(logits.argmin())
    only = bits(np.arange(len(logits)) == worst)
    for params in (
        SamplingParams(temperature=0),
        SamplingParams(top_k=1, seed=1),
        SamplingParams(seed=1),
        SamplingParams(seed=1, top_k=0),
        SamplingParams(seed=1, mirostat=2),
        SamplingParams(seed=1, top_k=0, logit_bias={int(logits.argmax()): 100.0}),
    ):
        choice = make_sampler(params).sample(asked, [], only)
        assert choice.token == worst
        assert choice.logprob == pytest.approx(float(logits[worst]) - asked.candidates(0)[2])


def test_bad_requests_are_refused(asked: Session) -> None:
    V = asked.vocab_size
    ones = np.ones(2)
    for bad in (
        {"recent": [V]},
        {"recent": [-1]},
        {"bias": (np.array([5, 5], np.int32), ones)},
        {"bias": (np.array([5, V], np.int32), ones)},
        {"less": (np.array([-1, 3], np.int32), ones)},
        {"less": (np.array([1, 3], np.int32), np.ones(3))},
        {"mask": np.zeros((V + 31) // 32 + 1, np.uint32)},
    ):
        with pytest.raises(ContextError):
            asked.edited_candidates(3, **bad)  # type: ignore[arg-type]
