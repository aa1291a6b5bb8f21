# SPDX-License-Identifier: MIT
"""Plans of encoders: what is wrong with one is a typed error before anything is loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.errors import (
    ContextError,
    FormatError,
    GristmillError,
    ShapeError,
    UnsupportedError,
)
from gristmill.gguf import File, Writer

WIDTH, FFN, VOCAB, POSITIONS = 32, 48, 40, 24
Dict = dict[str, Any]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    """A BERT that ranks, of two layers."""
    path = tmp_path_factory.mktemp("encoder") / "bert.gguf"
    square, vector = (WIDTH, WIDTH), (WIDTH,)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCAB, WIDTH),
        "token_types.weight": (2, WIDTH),
        "position_embd.weight": (POSITIONS, WIDTH),
        "token_embd_norm.weight": vector,
        "token_embd_norm.bias": vector,
        "cls.weight": square,
        "cls.output.weight": (3, WIDTH),
    }
    for i in range(2):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{name}.weight"] = square
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes[f"blk.{i}.{name}.weight"] = shapes[f"blk.{i}.{name}.bias"] = vector
        shapes[f"blk.{i}.ffn_up.weight"] = (FFN, WIDTH)
        shapes[f"blk.{i}.ffn_up.bias"] = (FFN,)
        shapes[f"blk.{i}.ffn_down.weight"] = (WIDTH, FFN)
    keys = {
        "block_count": 2,
        "context_length": 64,
        "embedding_length": WIDTH,
        "feed_forward_length": FFN,
        "attention.head_count": 4,
        "attention.layer_norm_epsilon": 1e-12,
        "pooling_type": 4,
        "vocab_size": VOCAB,
    }
    rng = np.random.default_rng(3)
    with Writer(path) as writer:
        writer.add("general.architecture", "bert")
        for key, value in keys.items():
            writer.add(f"bert.{key}", value)
        for name, shape in shapes.items():
            writer.add_tensor(name, rng.standard_normal(shape, dtype=np.float32) / 4)
    return File(path)


@pytest.fixture(scope="module")
def good(file: File) -> Dict:
    return build_plan(file).to_dict()


def set_in(name: str, key: str, to: Any, nth: int = 0) -> Callable[[Dict], None]:
    """Sets a key of the nth operation of a name."""

    def apply(plan: Dict) -> None:
        [op for op in plan["ops"] if op["op"] == name][nth][key] = to

    return apply


DAMAGED = [
    (set_in("add_rows", "weight", 999), "Weight 999"),
    (set_in("add_rows", "weight", 3), "dimensions"),
    (set_in("add_rows", "out", 1), "read before|wrong kind"),
    (set_in("add_rows", "index", "token"), "One of 'type' and 'position'"),
    (set_in("layer_norm", "eps", -1.0), "eps"),
    (set_in("layer_norm", "eps", float("nan")), "eps"),
    (set_in("layer_norm", "weight", 0), "dimensions"),
    (set_in("layer_norm", "bias", 999), "Weight 999"),
    (set_in("layer_norm", "x", 999), "Buffer 999"),
    (set_in("layer_norm", "act", 0), "defined twice"),
    (set_in("attention", "bidirectional", 1), "True or False"),
    (set_in("attention", "bidirectional", to=False, nth=0), "stored twice"),
    (set_in("attention", "layer", 1), "Layer 1"),
    (set_in("glu", "activation", "relu"), "'silu', 'gelu_tanh', 'gelu', 'tanh'"),
    (set_in("glu", "up", 999), "Buffer 999"),
    (set_in("select_rows", "pool", "max"), "'last', 'first', 'mean'"),
    (set_in("output", "x", 0), "wrong rows"),
    (set_in("output", "x", 999), "Buffer 999"),
    (lambda plan: plan["ops"].pop(), "logits or output"),
    (lambda plan: plan["ops"].insert(9, plan["ops"][-1]), "last operation|read before"),
]


def test_the_good_plan_runs(file: File, good: Dict) -> None:
    model = _core.Model(file.core, good, 1)
    session = _core.Session(model, POSITIONS)
    session.forward(list(range(POSITIONS)), [0, 1] * (POSITIONS // 2))
    assert session.logits().shape == (1, 3)
    assert np.isfinite(session.logits()).all()
    with pytest.raises(UnsupportedError, match="no logits"):
        session.candidates(1)
    with pytest.raises(ContextError, match="types for 2 tokens"):
        session.forward([1, 2], [0])
    with pytest.raises(ContextError, match="0 to 1. Got 2"):
        session.forward([1, 2], [0, 2])
    with pytest.raises(ContextError, match="embeddings of 24 positions"):
        _core.Session(model, POSITIONS + 1)
    assert build_plan(file).context == POSITIONS


def test_one_layer_of_the_cache_serves_all(file: File, good: Dict) -> None:
    assert len(good["layers"]) == 1
    planned = _core.MemoryPlan(file.core, good, 1).bytes(POSITIONS)
    assert planned["kv_cache"] <= 2 * 64 * WIDTH * 2 + 64


@pytest.mark.parametrize(("damage", "fragment"), DAMAGED)
def test_what_is_wrong_is_told(
    file: File, good: Dict, damage: Callable[[Dict], None], fragment: str
) -> None:
    plan = copy.deepcopy(good)
    damage(plan)
    with pytest.raises((FormatError, ShapeError), match=fragment):
        _core.Model(file.core, plan, 1)


@settings(max_examples=150)
@given(st.data())
def test_random_damage_is_refused_or_runs(file: File, good: Dict, data: st.DataObject) -> None:
    plan = copy.deepcopy(good)
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(["ops", "buffers", "weights", "layers"]))
        record = data.draw(st.sampled_from(plan[section]))
        key = data.draw(st.sampled_from(sorted(record)))
        numbers = st.integers(0, 40) | st.sampled_from([0, 2**20, 2**31, 2**63, None])
        words = st.sampled_from(["mean", "first", "last", "type", "position", "gelu", "batch"])
        record[key] = data.draw(numbers | st.floats() | st.booleans() | words)
    try:
        session = _core.Session(_core.Model(file.core, plan, 1), 8)
    except GristmillError:
        return
    session.forward([1, 2, 3], [0, 1, 1])
    session.forward([3, 2])
    assert session.logits().ndim == 2
