# SPDX-License-Identifier: MIT
"""Plans with states are refused for whatever does not fit; graphs with recurrent layers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.architectures.graph import Graph
from gristmill.architectures.lower import lower
from gristmill.architectures.nodes import Value
from gristmill.architectures.recurrent import DeltaHeads, delta_rule, short_conv, split_heads
from gristmill.architectures.recurrent_plan import DeltaRule, ShortConv
from gristmill.errors import FormatError, GristmillError, ShapeError, UnsupportedError
from gristmill.gguf import File
from make_model import random_model
from shapes import Recurrence, Shape

Dict = dict[str, Any]
SHAPE = Shape(
    dim=64, ffn=96, layers=2, heads=4, kv_heads=2, head_dim=32, vocab=403, context=64,
    architecture="qwen35",
    recurrence=Recurrence((1,), taps=4, key_heads=2, heads=4, key_dim=20, value_dim=24),
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    path = tmp_path_factory.mktemp("plan") / "hybrid.gguf"
    random_model(path, SHAPE, {"default": "Q8_0"})
    return File(path)


def op(plan: Dict, name: str) -> Dict:
    return next(o for o in plan["ops"] if o["op"] == name)


CONV, DELTA, SPLIT = "short_conv", "delta_rule", "split_heads"


@pytest.mark.parametrize(
    ("where", "key", "value", "error", "fragment"),
    [
        (CONV, "x", 0, ShapeError, "width of the output"),
        (CONV, "gate", 0, ShapeError, "width of the gate"),
        (CONV, "out", 0, FormatError, "defined twice"),
        (CONV, "weight", 0, ShapeError, "number of rows"),
        (CONV, "weight", 1, ShapeError, "dimensions"),
        (CONV, "weight", 999, FormatError, "Weight 999"),
        (CONV, "bias", 1, ShapeError, "length of the bias"),
        (CONV, "state", 1, ShapeError, "size of the state"),
        (CONV, "state", 7, FormatError, "State 7 does not exist"),
        (CONV, "silu", 1, FormatError, "True or False"),
        (DELTA, "qkv", 0, ShapeError, "queries, keys and values"),
        (DELTA, "alpha", 0, ShapeError, "width of alpha"),
        (DELTA, "beta", 0, ShapeError, "width of beta"),
        (DELTA, "rate", 0, ShapeError, "dimensions"),
        (DELTA, "shift", 1, ShapeError, "length of"),
        (DELTA, "state", 0, ShapeError, "size of the state"),
        (DELTA, "heads", 0, FormatError, "value heads is 1 to"),
        (DELTA, "heads", 2**40, FormatError, "value heads is 1 to"),
        (DELTA, "heads", 3, FormatError, "multiple of the key heads"),
        (DELTA, "key_heads", 0, FormatError, "key heads is 1 to"),
        (DELTA, "key_dim", 2**62, FormatError, "size of a key"),
        (DELTA, "value_dim", 0, FormatError, "size of a value"),
        (DELTA, "value_dim", 25, ShapeError, "queries, keys and values"),
        (DELTA, "eps", float("nan"), FormatError, "eps"),
        (SPLIT, "heads", 0, FormatError, "one length"),
        (SPLIT, "heads", 7, FormatError, "one length"),
        (SPLIT, "x", 0, ShapeError, "both halves"),
        ("glu", "activation", "relu", FormatError, "'none'. Got 'relu'"),
    ],
)
def test_what_does_not_fit(  # noqa: PLR0917
    file: File, where: str, key: str, value: Any, error: type[GristmillError], fragment: str
) -> None:
    plan = build_plan(file).to_dict()
    op(plan, where)[key] = value
    with pytest.raises(error, match=fragment):
        _core.MemoryPlan(file.core, plan)


def test_states_belong_to_one_operation(file: File) -> None:
    good = build_plan(file).to_dict()
    assert [state["values"] for state in good["states"]] == [3 * 176, 4 * 2 * 20 * 16]
    _core.MemoryPlan(file.core, good)
    for change, fragment in (
        (lambda plan: plan["states"].append({"values": 5}), "kept by no operation"),
        (lambda plan: plan.pop("states"), "'states' is missing"),
        (lambda plan: plan["states"].__setitem__(0, {"values": -1}), "0 to"),
        (lambda plan: plan["states"][0].update(values=0), "size of the state"),
    ):
        plan = copy.deepcopy(good)
        change(plan)
        with pytest.raises(GristmillError, match=fragment):
            _core.MemoryPlan(file.core, plan)
    twice = copy.deepcopy(good)
    at = next(i for i, o in enumerate(twice["ops"]) if o["op"] == CONV)
    again = {**twice["ops"][at], "out": len(twice["buffers"])}
    twice["buffers"].append({**twice["buffers"][again["x"]], "slot": len(twice["buffers"])})
    twice["ops"].insert(at + 1, again)
    with pytest.raises(FormatError, match="kept by two operations"):
        _core.MemoryPlan(file.core, twice)


def test_a_damaged_plan_is_refused_or_runs(file: File) -> None:
    """Single numbers changed at random: an error with a type, or logits."""
    good = build_plan(file).to_dict()
    random = np.random.default_rng(3)
    outcomes = set()
    for _ in range(400):
        plan = copy.deepcopy(good)
        target = op(plan, [CONV, DELTA, SPLIT][random.integers(3)])
        key = [k for k in target if k != "op"][random.integers(len(target) - 1)]
        target[key] = int(random.choice([0, 1, 2, 3, 4, 5, 20, 24, 2**31, 2**62]))
        try:
            session = _core.Session(_core.Model(file.core, plan, 1), 16)
            session.forward([1, 2, 3])
            outcomes.add("ran")
        except GristmillError:
            outcomes.add("refused")
    assert outcomes == {"ran", "refused"}


def start(width: int = 8) -> tuple[Graph, Value]:
    g = Graph(rows={"in": 8, "a": 2, "b": 2, "out": 8}, eps=1e-6, tensors={"conv.bias"})
    return g, g.embed("emb", vocab_size=9, width=width)


HEADS = DeltaHeads(heads=2, key_heads=1, key_dim=2, value_dim=2)


def test_a_graph_of_recurrent_layers() -> None:
    g, x = start()
    h = g.rms_norm(x, "norm")
    qkv, alpha, beta = g.linear(h, "in", "a", "b")
    y = short_conv(g, qkv, "conv", taps=3, silu=True)
    y = delta_rule(g, y, alpha, beta, rate="rate", shift="dt.bias", heads=HEADS)
    x = g.add(x, *g.linear(y, "out"))
    g.logits(g.rms_norm(g.select_rows(x), "last"), "head", vocab_size=9)
    plan = lower(g, architecture="test", vocab_size=9, context=16)
    conv = next(o for o in plan.ops if isinstance(o, ShortConv))
    delta = next(o for o in plan.ops if isinstance(o, DeltaRule))
    names = [weight.name for weight in plan.weights]
    assert names[conv.weight] == "conv.weight"
    assert conv.bias is not None
    assert names[conv.bias] == "conv.bias"
    assert (names[delta.rate], names[delta.shift]) == ("rate", "dt.bias")
    assert [state.values for state in plan.states] == [16, 2 * 1 * 2 * 16]
    assert plan.state_bytes == 4 * (16 + 64)
    assert delta.qkv == conv.out
    assert "short_conv" in plan.describe()


def test_what_a_graph_refuses() -> None:
    g, x = start()
    qkv, alpha, beta = g.linear(x, "in", "a", "b")
    with pytest.raises(ShapeError, match="fit the heads"):
        delta_rule(g, alpha, alpha, beta, rate="r", shift="s", heads=HEADS)
    with pytest.raises(ShapeError, match="gate has 2"):
        short_conv(g, qkv, "conv", taps=3, gate=alpha)
    with pytest.raises(ShapeError, match="3 heads of two halves"):
        split_heads(g, qkv, 3)
    delta_rule(g, qkv, alpha, beta, rate="r", shift="s", heads=HEADS)
    g.glu(alpha, beta)  # another reader
    with pytest.raises(UnsupportedError, match="read by nothing else"):
        lower(g, architecture="test", vocab_size=9, context=16)
