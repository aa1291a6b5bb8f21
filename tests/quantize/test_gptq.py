# SPDX-License-Identifier: MIT
"""GPTQ: its blocks are true blocks, and what it leaves of the output error is less."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gristmill import _core
from gristmill.errors import ShapeError, UnsupportedError
from gristmill.quantize.gptq import gptq, inverse_factor
from gristmill.quantize.layouts import LAYOUTS, fit, pack

Array = NDArray[np.float32]
ROWS, COLUMNS = 40, 512


def weights() -> Array:
    return (np.random.default_rng(1).standard_normal((ROWS, COLUMNS)) * 0.02).astype(np.float32)


def moments(seed: int = 2) -> Array:
    """Of inputs that move together, some columns much more than others."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2000, 60)) @ rng.standard_normal((60, COLUMNS))
    x = (x + rng.standard_normal(x.shape)) * rng.lognormal(0, 1, COLUMNS)
    return (x.T @ x / len(x)).astype(np.float32)


def output_error(kind: str, blocks: NDArray[np.uint8], h: Array) -> float:
    e = _core.decode(kind, blocks, (ROWS, COLUMNS)).astype(np.float64) - weights()
    return float(np.einsum("rk,kl,rl->", e, h.astype(np.float64), e))


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_layouts_say_what_the_core_decodes(kind: str) -> None:
    layout, x = LAYOUTS[kind], weights()
    parts = fit(kind, x, None, 1)
    scale, low = layout.scales(parts)
    count = layout.block // layout.group
    codes = parts[4].reshape(-1, count, layout.group)
    mine = layout.decode(codes, scale[:, :, None], low[:, :, None]).reshape(x.shape)
    blocks = pack(kind, parts)
    assert np.array_equal(blocks, _core.quantize(kind, x))
    theirs = _core.decode(kind, blocks, x.shape)
    assert np.abs(mine - theirs).max() <= 1e-6 * np.abs(theirs).max()
    again = layout.codes(x.reshape(-1, count, layout.group), scale[:, :, None], low[:, :, None])
    assert (again == codes).mean() > 0.999  # but for ties


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_the_output_error_is_less(kind: str) -> None:
    h = moments()
    plain = output_error(kind, _core.quantize(kind, weights()), h)
    weighted = output_error(kind, _core.quantize(kind, weights(), np.diagonal(h).copy()), h)
    found = output_error(kind, gptq(kind, weights(), inverse_factor(h)), h)
    assert found < 0.7 * min(plain, weighted)


def test_inputs_that_do_not_move_together_change_nothing() -> None:
    """H a multiple of one: no error can be made up for."""
    factor = inverse_factor(np.eye(COLUMNS, dtype=np.float32) * 3)
    for kind in ("Q4_0", "Q4_K"):
        assert np.array_equal(gptq(kind, weights(), factor), _core.quantize(kind, weights()))


def test_columns_without_inputs() -> None:
    h = moments()
    h[7] = h[:, 7] = 0
    h[300:] = h[:, 300:] = 0
    back = _core.decode("Q4_K", gptq("Q4_K", weights(), inverse_factor(h)), (ROWS, COLUMNS))
    assert np.isfinite(back).all()
    assert np.abs(back - weights())[:, 300:].max() < 0.02


def test_moments_of_fewer_tokens_than_columns() -> None:
    x = np.random.default_rng(3).standard_normal((20, COLUMNS)).astype(np.float32)
    h = x.T @ x / 20
    found = gptq("Q4_0", weights(), inverse_factor(h))
    assert output_error("Q4_0", found, h) < output_error(
        "Q4_0", _core.quantize("Q4_0", weights()), h
    )


def test_what_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="Types are"):
        gptq("IQ2_XS", weights(), moments())
    with pytest.raises(ShapeError, match=r"must be \[512, 512\]"):
        gptq("Q4_0", weights(), moments()[:100, :100])
    with pytest.raises(ShapeError, match="square and finite"):
        inverse_factor(np.full((4, 4), np.nan, np.float32))
