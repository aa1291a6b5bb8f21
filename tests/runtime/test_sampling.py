# SPDX-License-Identifier: MIT
"""Sampling against a plain full-vocabulary reference, and statistically.

The reference sorts the whole row and applies each option in turn; the code under test sees the row
through `candidates(n)` only, so equality proves that short heads are exact.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from array_row import ArrayRow
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gristmill.errors import GristmillError
from gristmill.sampling import SamplingParams, make_sampler

EDGE = 1e-9  # cumulative masses this close to a threshold are a matter of rounding


def reference(
    row: NDArray[np.float32], history: list[int], p: SamplingParams
) -> tuple[NDArray[np.float64], bool]:
    """Probabilities [V] of the next token, and whether a threshold was too close to call."""
    x = row.astype(np.float64)
    for token, bias in p.logit_bias.items():
        if token < len(x):
            x[token] += bias
    window = history[-p.repeat_last_n :] if p.repeat_last_n > 0 else history
    for token in set(window) if p.penalises else ():
        x[token] = x[token] / p.repeat_penalty if x[token] > 0 else x[token] * p.repeat_penalty
        x[token] -= window.count(token) * p.frequency_penalty + p.presence_penalty
    order = np.lexsort((np.arange(len(x)), -x))
    if p.temperature == 0:
        return np.eye(len(x))[order[0]], False
    close = False
    if p.top_n_sigma > 0:
        limit = x[order[0]] - p.top_n_sigma * x[np.isfinite(x)].std()
        close |= bool((np.abs(x[order] - limit) < EDGE).any())
        order = order[x[order] >= limit]
    if p.top_k:
        order = order[: p.top_k]
    if p.typical_p < 1:
        probs = softmax(x[order])
        surprise = -np.log(np.maximum(probs, 1e-300))
        distance = np.abs(surprise - (probs * surprise).sum())
        close |= bool((np.diff(np.sort(distance)) < EDGE).any())
        best = np.argsort(distance, kind="stable")
        mass = np.cumsum(probs[best])
        close |= bool((np.abs(mass - p.typical_p) < EDGE).any())
        keep = best[: int((mass <= p.typical_p).sum()) + 1]
        order = order[np.sort(keep)]
    if p.top_p < 1:
        mass = np.cumsum(softmax(x[order]))
        close |= bool((np.abs(mass - p.top_p) < EDGE).any())
        order = order[: int((mass < p.top_p).sum()) + 1]
    if p.min_p > 0:
        limit = x[order[0]] + math.log(p.min_p)
        close |= bool((np.abs(x[order] - limit) < EDGE).any())
        order = order[x[order] >= limit]
    if p.xtc_probability == 1 and p.xtc_threshold <= 0.5:
        likely = softmax(x[order])
        close |= bool((np.abs(likely - p.xtc_threshold) < EDGE).any())
        order = order[max(0, int((likely >= p.xtc_threshold).sum()) - 1) :]
    t = p.temperature
    if p.dynatemp_range > 0 and len(order) > 1:
        q = softmax(x[order])
        entropy = -(q[q > 0] * np.log(q[q > 0])).sum() / math.log(len(order))
        low, high = max(0.0, t - p.dynatemp_range), t + p.dynatemp_range
        t = low + (high - low) * max(entropy, 0.0) ** p.dynatemp_exponent
        close |= t < 1e-6
    probs = np.zeros(len(x))
    probs[order] = softmax(x[order] / t) if t > 0 else np.eye(len(order))[0]
    return probs, close


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(x - x.max())
    return e / e.sum()


rows = st.tuples(
    st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 3.0, 12.0])
).map(lambda a: (np.random.default_rng(a[1]).standard_normal(a[0]) * a[2]).astype(np.float32))
params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.2, 0.8, 1.0, 1.7]),
    top_k=st.sampled_from([0, 0, 0, 1, 5, 40, 1000]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.0, 0.999]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0, 1e-6]),
    typical_p=st.sampled_from([1.0, 1.0, 0.9, 0.2]),
    top_n_sigma=st.sampled_from([-1.0, -1.0, 0.5, 1.5, 4.0]),
    xtc_probability=st.sampled_from([0.0, 0.0, 1.0]),
    xtc_threshold=st.sampled_from([0.0, 0.05, 0.3, 0.6]),
    dynatemp_range=st.sampled_from([0.0, 0.0, 0.5, 2.0]),
    dynatemp_exponent=st.sampled_from([1.0, 2.0, 0.5]),
    repeat_penalty=st.sampled_from([1.0, 1.3, 0.7]),
    repeat_last_n=st.sampled_from([-1, 0, 3, 64]),
    frequency_penalty=st.sampled_from([0.0, 0.5, -2.0]),
    presence_penalty=st.sampled_from([0.0, 1.0]),
    logit_bias=st.dictionaries(
        st.integers(0, 310), st.sampled_from([-math.inf, -5.0, 3.0, 100.0]), max_size=4
    ),
    seed=st.integers(0, 2**64 - 1),
)


@settings(max_examples=600, deadline=None)
@given(rows, params, st.lists(st.integers(0, 299), max_size=80))
def test_the_token_is_the_references_token(
    row: NDArray[np.float32], p: SamplingParams, history: list[int]
) -> None:
    history = [token % len(row) for token in history]
    biased = row + np.array([p.logit_bias.get(i, 0.0) for i in range(len(row))])
    if np.isneginf(biased).all():
        with pytest.raises(GristmillError, match="All are banned"):
            make_sampler(p).sample(ArrayRow(row), history)
        return
    choice = make_sampler(p).sample(ArrayRow(row), history)
    probs, close = reference(row, history, p)
    if close:
        return
    assert probs[choice.token] > 0
    random = np.random.Generator(np.random.PCG64(p.seed))
    u = random.random()
    if p.xtc_probability > 0:  # the first says whether XTC applies
        u = random.random()
    order = np.argsort(-probs, kind="stable")
    mass = np.cumsum(probs[order])
    index = int(np.flatnonzero(order == choice.token)[0])
    if p.temperature > 0:  # the inverse distribution function at the seed's first uniform
        assert mass[index] - probs[choice.token] - 1e-6 <= u <= mass[index] + 1e-6
    expected = math.log(softmax(row.astype(np.float64))[choice.token] or 1e-320)
    assert choice.logprob == pytest.approx(expected, abs=1e-4)


def test_penalties_are_llama_cpps_formula() -> None:
    """Divide positive, multiply negative logits; then count * frequency + presence."""
    row = ArrayRow(np.array([4.0, -4.0, 0.0, 1.0], np.float32))
    ids, logits, *_ = row.edited_candidates(4, [0, 1, 1, 2], 2, 0.5, 0.25)
    assert dict(zip(ids.tolist(), logits.tolist(), strict=True)) == {
        0: 4 / 2 - 0.75, 1: -4 * 2 - 1.25, 2: -0.75, 3: 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "p",
    [
        SamplingParams(seed=3),
        SamplingParams(seed=3, top_k=0, top_p=0.9, min_p=0),
        SamplingParams(seed=3, top_k=0, top_p=1, min_p=0, temperature=1),
        SamplingParams(seed=3, top_k=0, typical_p=0.5, top_p=1, min_p=0),
        SamplingParams(seed=3, top_k=12, repeat_penalty=1.5, presence_penalty=0.5),
    ],
)
def test_frequencies_are_the_probabilities(p: SamplingParams) -> None:
    """Chi-squared over 20,000 draws stays below its 1 - 1e-6 quantile (normal approximation)."""
    row = (np.random.default_rng(5).standard_normal(200) * 2).astype(np.float32)
    history = [1, 2, 3, int(row.argmax())]
    probs, close = reference(row, history, p)
    assert not close
    sampler, draws = make_sampler(p), 20_000
    counts = np.zeros(len(row))
    for _ in range(draws):
        counts[sampler.sample(ArrayRow(row), history).token] += 1
    assert counts[probs == 0].sum() == 0
    common = probs * draws >= 5
    chi = ((counts - probs * draws)[common] ** 2 / (probs * draws)[common]).sum()
    freedom = int(common.sum()) - 1
    assert chi < freedom + 4.75 * math.sqrt(2 * freedom) + 10


def test_the_usual_path_asks_for_top_k_candidates_once() -> None:
    row = ArrayRow(np.random.default_rng(0).standard_normal(5000))
    make_sampler(SamplingParams(seed=1)).sample(row, [])
    assert row.asked == [40]


def test_top_p_asks_for_more_until_the_mass_is_reached() -> None:
    row = ArrayRow(np.zeros(1000, np.float32))  # uniform: 0.95 of the mass is 950 tokens
    p = SamplingParams(seed=1, top_k=0, top_p=0.95, min_p=0)
    tokens = {make_sampler(p).sample(row, []).token}
    assert row.asked == [64, 512, 1000]
    sampler = make_sampler(p)
    tokens = {sampler.sample(ArrayRow(np.zeros(1000, np.float32)), []).token for _ in range(8000)}
    assert max(tokens) == 949
    assert len(tokens) > 900


def test_same_seed_same_tokens_and_the_fresh_seed_is_told() -> None:
    row = ArrayRow(np.random.default_rng(1).standard_normal(500))

    def tokens(seed: int | None) -> tuple[list[int], int]:
        sampler = make_sampler(SamplingParams(seed=seed))
        return [sampler.sample(row, []).token for _ in range(30)], sampler.seed

    assert tokens(7) == tokens(7)
    assert tokens(7)[0] != tokens(8)[0]
    first, seed = tokens(None)
    assert tokens(seed)[0] == first


def test_tiny_temperature_is_greedy_without_overflow() -> None:
    row = ArrayRow(np.array([1.0, 30.0, 29.999, -40.0], np.float32))
    p = SamplingParams(temperature=1e-300, top_k=0, top_p=1, min_p=0, seed=0)
    assert {make_sampler(p).sample(row, []).token for _ in range(5)} == {1}


def test_ties_go_to_the_lower_id() -> None:
    row = ArrayRow(np.array([0.0, 5.0, 5.0, 5.0], np.float32))
    assert make_sampler(SamplingParams(temperature=0)).sample(row, []).token == 1


def test_logits_that_are_not_numbers_are_an_error() -> None:
    row = ArrayRow(np.array([0.0, np.nan], np.float32))
    with pytest.raises(GristmillError, match="finite"):
        make_sampler(SamplingParams()).sample(row, [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", "hot"),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("typical_p", 0.0),
        ("repeat_penalty", 0.0),
        ("repeat_last_n", -2),
        ("frequency_penalty", math.inf),
        ("presence_penalty", math.nan),
        ("logit_bias", {-1: 0.5}),
        ("logit_bias", {1: math.nan}),
        ("logit_bias", {1: math.inf}),
        ("top_n_sigma", math.nan),
        ("xtc_probability", 1.5),
        ("xtc_threshold", -0.1),
        ("dynatemp_range", -1.0),
        ("dynatemp_exponent", math.inf),
        ("mirostat", 3),
        ("mirostat_tau", -1.0),
        ("mirostat_eta", math.nan),
        ("dry_multiplier", -1.0),
        ("dry_base", 0.5),
        ("dry_allowed_length", -1),
        ("dry_penalty_last_n", -2),
        ("dry_sequence_breakers", ("",)),
        ("dry_sequence_breakers", "ab"),
        ("seed", -1),
        ("seed", 2**64),
    ],
)
def test_values_out_of_range_name_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        SamplingParams(**{field: value})  # type: ignore[arg-type]
