# SPDX-License-Identifier: MIT
"""What is collected while a text runs, against the same text through public logits and NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gristmill import Model, _core
from gristmill.evaluate import Windows
from gristmill.quantize.calibrate import Moments, collect_imatrix, collect_moments, matrices
from gristmill.quantize.imatrix import read_imatrix

TEXT = "Once upon a time there was a little dog. It saw a big red ball and was happy. " * 20
FIRST = "blk.0.attn_q.weight"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(threads=2, cache=False)


@pytest.fixture(scope="module")
def windows(model: Model) -> Windows:
    return Windows.of(model.tokenizer, TEXT, 96, 2)


def inputs_of_the_first(model: Model, windows: Windows) -> NDArray[np.float64]:
    """What the first matrices get: normed rows of the embedding, by NumPy."""
    from gristmill.gguf import File

    file = File(model.report.path)
    ids = windows.tokens.copy()
    ids[:, 0] = windows.bos or 0
    x = file.dequantize("token_embd.weight")[ids.ravel()].astype(np.float64)
    eps = file.metadata["llama.attention.layer_norm_rms_epsilon"]
    x /= np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    normed: NDArray[np.float64] = x * file.dequantize("blk.0.attn_norm.weight")
    return normed


def test_sums_of_squares(model: Model, windows: Windows, tmp_path: Path) -> None:
    found = collect_imatrix(model, windows, "text")
    x = inputs_of_the_first(model, windows)
    sums = found.sums[FIRST]
    assert sums.counts.tolist() == [windows.tokens.size]
    expected = (x**2).sum(0)
    assert np.abs(sums.squares[0] - expected).max() < 0.02 * expected.max()  # inputs are INT8
    assert np.corrcoef(sums.squares[0], expected)[0, 1] > 0.9999
    assert set(found.sums) == set(matrices(model))
    found.write(tmp_path / "imatrix.gguf")
    again = read_imatrix(tmp_path / "imatrix.gguf")
    assert again.datasets == ["text"]
    assert np.array_equal(again.weights()[FIRST], found.weights()[FIRST])


def test_second_moments(model: Model, windows: Windows) -> None:
    wanted = {FIRST, "blk.0.attn_k.weight", "blk.3.ffn_down.weight"}
    found = collect_moments(model, windows, wanted.__contains__)
    assert set(found) == wanted
    assert found[FIRST] is found["blk.0.attn_k.weight"]  # the same inputs
    x = inputs_of_the_first(model, windows)
    expected = x.T @ x / len(x)
    assert np.abs(found[FIRST] - expected).max() < 0.02 * np.abs(expected).max()
    sums = collect_imatrix(model, windows).weights()
    assert np.allclose(np.diagonal(found["blk.3.ffn_down.weight"]),
                       sums["blk.3.ffn_down.weight"], rtol=1e-4)  # fmt: skip


def test_moments_come_within_a_budget(model: Model, windows: Windows) -> None:
    columns = matrices(model)
    small = Moments(model, windows, columns, budget=3 * 4 * 256**2)
    large = Moments(model, windows, columns)
    for name in list(columns)[:9]:
        one, other = small.of(name), large.of(name)
        assert one is not None
        assert other is not None
        assert np.allclose(one, other, rtol=1e-5)
    assert small.of("token_embd.weight") is None


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_level_has_the_same_inputs(isa: str, windows: Windows) -> None:
    """37 tokens: tiles of every width."""
    found = []
    for level in ("scalar", isa):
        core = Model.load(threads=2, cache=False, isa=level).core
        session = _core.Session(core, 64, 64, all_logits=True, taps=True)
        session.forward(windows.tokens[0][:37].tolist())
        found.append(session.taps())
    for (names, first), (others, second) in zip(*found, strict=True):
        assert names == others
        assert first.shape[0] == 37
        assert np.array_equal(first, second)


def test_sessions_that_were_not_asked_have_none(model: Model) -> None:
    assert _core.Session(model.core, 8).taps() == []
