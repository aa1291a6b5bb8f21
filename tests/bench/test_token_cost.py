# SPDX-License-Identifier: MIT
"""bench/token_cost.py: the parts add up, and the clock changes nothing."""

from __future__ import annotations

import pytest

import token_cost
from gristmill.model import Model
from make_model import random_model
from shapes import Shape

TINY = Shape(
    dim=256, ffn=256, layers=1, heads=4, kv_heads=4, vocab=600, context=128, tokenizer="llama-bpe"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    random_model(path, TINY, "Q8_0")
    return Model.load(path, threads=1)


def test_the_parts_add_up(model: Model) -> None:
    costs = token_cost.measure(model, 20, 1)
    assert set(costs) == set(token_cost.SAMPLERS)
    for part in costs.values():
        assert part["python"] > 0
        assert part["forward"] > 0
        assert part["candidates"] > 0
        assert part["cost"] == pytest.approx(part["python"] + part["candidates"], rel=0.5)


def test_the_clock_passes_everything_through() -> None:
    clock = token_cost.Clock("abc", ["upper"])
    assert clock.upper() == "ABC"
    assert clock.lower() == "abc"
    assert clock.nanoseconds["upper"] > 0


def test_the_table_names_the_worst(
    model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cost, "SHAPE", TINY)
    assert token_cost.main(["--tokens", "5", "--rounds", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "600 tokens" in out
    assert "| penalties |" in out
    assert "budget 160 us" in out
