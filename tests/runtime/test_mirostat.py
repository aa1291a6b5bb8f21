# SPDX-License-Identifier: MIT
"""Mirostat against the algorithms of the paper, written down over the whole row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from array_row import ArrayRow
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gristmill.sampling import SamplingParams, make_sampler


def kept_by_version_1(p: NDArray[np.float64], mu: float) -> float:
    """k of the paper's algorithm 1 with m = 100, not rounded; `p` descends."""
    m = min(100, len(p))
    t = [math.log((i + 2) / (i + 1)) for i in range(m - 1)]
    b = [math.log(p[i] / p[i + 1]) for i in range(m - 1)]
    s = sum(x * y for x, y in zip(t, b, strict=True)) / sum(x * x for x in t)
    excess = s - 1
    return float(((excess * 2**mu) / (1 - len(p) ** -excess)) ** (1 / s))


@settings(max_examples=60)
@given(
    st.sampled_from([1, 2]),
    st.integers(0, 2**32),
    st.sampled_from([1.0, 0.7]),
    st.sampled_from([1.0, 3.0, 5.0]),
    st.sampled_from([1.5, 4.0]),
)
def test_a_text_is_the_papers(
    version: int, seed: int, temperature: float, tau: float, scale: float
) -> None:
    params = SamplingParams(
        seed=seed, mirostat=version, mirostat_tau=tau, mirostat_eta=0.2, temperature=temperature
    )
    sampler = make_sampler(params)
    random = np.random.Generator(np.random.PCG64(seed))
    rows = np.random.default_rng(seed)
    mu = 2 * tau
    for _ in range(15):
        x = (rows.standard_normal(500) * scale).astype(np.float32)
        order = np.argsort(-x, kind="stable")
        p = np.exp((x[order] - x.max()).astype(np.float64) / temperature)
        p /= p.sum()
        if version == 1:
            size = kept_by_version_1(p, mu)
            if abs(size - round(size)) < 1e-6:
                return
            k = max(1, int(min(size, 500)))
        else:
            if (np.abs(-np.log2(p) - mu) < 1e-9).any():
                return
            k = max(1, int((-np.log2(p) <= mu).sum()))
        mass = np.cumsum(p[:k]) / p[:k].sum()
        u = random.random()
        if (np.abs(mass - u) < 1e-7).any():
            return
        index = int(np.searchsorted(mass, u))
        assert sampler.sample(ArrayRow(x), []).token == order[index]
        mu -= 0.2 * (-math.log2(p[index] / p[:k].sum()) - tau)


def test_the_surprise_goes_to_the_target() -> None:
    rows = np.random.default_rng(3)
    for version in (1, 2):
        sampler = make_sampler(
            SamplingParams(seed=1, mirostat=version, mirostat_tau=3.0, temperature=1)
        )
        bits = []
        for _ in range(400):
            x = (rows.standard_normal(2000) * 2).astype(np.float32)
            bits.append(-sampler.sample(ArrayRow(x), []).logprob / math.log(2))
        # Under the model, not under what was kept: above the target by the mass that was cut.
        assert np.mean(bits[100:]) > 3.0
        assert np.mean(bits[100:]) < 6.5, version


def test_greedy_stays_greedy() -> None:
    row = ArrayRow(np.array([0.0, 3.0, 2.0], np.float32))
    params = SamplingParams(temperature=0, mirostat=2)
    assert make_sampler(params).sample(row, []).token == 1


@pytest.mark.parametrize("version", [1, 2])
def test_one_token_is_left(version: int) -> None:
    row = ArrayRow(np.array([0.0], np.float32))
    assert make_sampler(SamplingParams(mirostat=version)).sample(row, []).token == 0
