# SPDX-License-Identifier: MIT
"""The searches: never worse than the plain encoders (which have ggml's bits), the same at every
level and for any number of threads, and sound for whatever a file may hold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gristmill import _core
from gristmill.errors import ShapeError, UnsupportedError
from gristmill.tensor_types import TENSOR_TYPES

Array = NDArray[np.float32]
ISAS = _core.available_isas()
COLUMNS = 512
SEARCHED = [
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0",
]  # fmt: skip


def matrix(kind: str, rows: int = 48) -> Array:
    rng = np.random.default_rng(7)
    shape = (rows, COLUMNS)
    values = {
        "normal": lambda: rng.standard_normal(shape),
        "laplace": lambda: rng.laplace(size=shape),
        "outliers": lambda: (
            rng.standard_normal(shape) * np.where(rng.random(COLUMNS) < 0.03, 15, 1)
        ),
        "heavy": lambda: rng.standard_t(3, shape),
        "positive": lambda: rng.uniform(1, 2, shape),
    }[kind]()
    return (values * 0.02).astype(np.float32)


def importance() -> Array:
    return np.random.default_rng(8).lognormal(0, 1.5, COLUMNS).astype(np.float32)


def error(
    kind: str, blocks: NDArray[np.uint8], values: Array, weights: Array | None = None
) -> float:
    back = _core.decode(kind, blocks, values.shape).astype(np.float64)
    scale = 1.0 if weights is None else weights.astype(np.float64)
    return float((np.square(back - values) * scale).sum())


@pytest.mark.parametrize("shape", ["normal", "laplace", "outliers", "heavy", "positive"])
@pytest.mark.parametrize("kind", SEARCHED)
def test_never_worse_than_the_plain_encoder(kind: str, shape: str) -> None:
    values = matrix(shape)
    plain, found = (f(kind, values) for f in (_core.encode, _core.quantize))
    assert len(plain) == len(found)
    assert error(kind, found, values) <= error(kind, plain, values) * 1.0001


@pytest.mark.parametrize("kind", SEARCHED)
def test_weights_say_where_the_error_goes(kind: str) -> None:
    values, weights = matrix("laplace"), importance()
    weighted = error(kind, _core.quantize(kind, values, weights), values, weights)
    alike = error(kind, _core.quantize(kind, values), values, weights)
    assert weighted <= alike * 1.0001


@pytest.mark.parametrize("kind", SEARCHED)
def test_same_bits_at_every_level_and_for_any_threads(kind: str) -> None:
    values, weights = matrix("heavy", 37), importance()
    first = _core.quantize(kind, values, weights, 1, "scalar")
    for isa in ISAS:
        for threads in (1, 2, 5):
            assert np.array_equal(_core.quantize(kind, values, weights, threads, isa), first)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K", "Q6_K"])
def test_a_row_does_not_depend_on_its_neighbours(kind: str, rows: int) -> None:
    values = matrix("normal")[:rows]
    whole = _core.quantize(kind, values).reshape(rows, -1)
    alone = [_core.quantize(kind, row[None]) for row in values]
    assert np.array_equal(whole, np.stack(alone))


ADVERSARIAL = {
    "zeros": lambda x: x * 0,
    "constant": lambda x: x * 0 + np.float32(0.37),
    "negative": lambda x: x * 0 - np.float32(0.37),
    "one spike": lambda x: np.where(np.arange(COLUMNS) == 5, np.float32(3), x * 0),
    "denormal": lambda x: x * np.float32(1e-38),
    "tiny": lambda x: x * np.float32(1e-20),
    "large": lambda x: x * np.float32(1e6),
    "huge": lambda x: x * np.float32(1e37),
}


@pytest.mark.parametrize("case", sorted(ADVERSARIAL))
@pytest.mark.parametrize("kind", SEARCHED)
def test_adversarial_values(kind: str, case: str) -> None:
    values = ADVERSARIAL[case](matrix("normal", 17)).astype(np.float32)
    first = _core.quantize(kind, values, None, 1, "scalar")
    back = _core.decode(kind, first, values.shape)
    assert np.isfinite(back).all()
    if case in {"zeros", "denormal"}:
        assert not back.any() or kind in {"Q1_0", "MXFP4"}
        assert np.abs(back).max() <= 1e-30
    if case != "huge":  # beyond what an f16 scale can say
        assert np.abs(back - values).max() <= np.abs(values).max() * 1.01
    for isa in ISAS:
        assert np.array_equal(_core.quantize(kind, values, None, 2, isa), first)


@pytest.mark.parametrize("weights", ["zero", "one column", "huge", "tiny"])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q2_K", "Q4_K", "Q6_K", "IQ4_XS"])
def test_odd_weights(kind: str, weights: str) -> None:
    values = matrix("normal", 16)
    given = {
        "zero": np.zeros(COLUMNS),
        "one column": np.arange(COLUMNS) == 3,
        "huge": np.full(COLUMNS, 1e30),
        "tiny": np.full(COLUMNS, 1e-30),
    }[weights].astype(np.float32)
    found = _core.quantize(kind, values, given)
    alike = error(kind, _core.quantize(kind, values), values)
    if weights == "one column":
        column = np.abs(_core.decode(kind, found, values.shape) - values)[:, 3]
        assert column.max() < np.abs(values).max() / 100  # the whole block serves it
    else:
        assert error(kind, found, values) <= alike * 1.01


def test_what_is_refused() -> None:
    values = matrix("normal", 2)
    with pytest.raises(UnsupportedError, match="no search"):
        _core.quantize("F16", values)
    with pytest.raises(UnsupportedError, match="no tensor type"):
        _core.quantize("Q9_Z", values)
    with pytest.raises(ShapeError, match="multiples of 256"):
        _core.quantize("Q4_K", values[:, :255])
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ShapeError, match="finite"):
            _core.quantize("Q4_0", np.full((1, 32), bad, np.float32))
        with pytest.raises(ShapeError, match="weights are finite"):
            _core.quantize("Q4_0", values, np.full(COLUMNS, bad, np.float32))
    with pytest.raises(ShapeError, match="weights are finite and at least 0"):
        _core.quantize("Q4_0", values, np.full(COLUMNS, -1, np.float32))
    with pytest.raises(ShapeError, match="one weight per column"):
        _core.quantize("Q4_0", values, np.ones(5, np.float32))


def test_every_type_that_is_written_has_a_search() -> None:
    blocks = {n for n, t in TENSOR_TYPES.items() if t.status == "supported" and t.values > 1}
    assert blocks - set(SEARCHED) == {n for n in blocks if n.startswith(("IQ1", "IQ2", "IQ3"))}
