# SPDX-License-Identifier: MIT
"""The builder and its fusions, on graphs that no architecture here makes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gristmill.architectures.graph import Graph
from gristmill.architectures.lower import lower
from gristmill.architectures.nodes import Heads, Routing, Value
from gristmill.architectures.operations import Experts, Linear, RmsNorm, RopeStore, Route
from gristmill.architectures.plan import Plan, Rope, Weight
from gristmill.errors import FormatError, ShapeError, UnsupportedError

HEADS = Heads(heads=2, kv_heads=1, head_dim=4)
ROWS = {"q": 8, "k": 4, "v": 4, "o": 8, "gate": 12, "up": 12, "down": 8}


def start() -> tuple[Graph, Value]:
    g = Graph(rows=ROWS, eps=1e-6)
    return g, g.embed("emb", vocab_size=9, width=8)


def finish(g: Graph, x: Value) -> Plan:
    g.logits(g.rms_norm(g.select_rows(x), "last"), "out", vocab_size=9)
    return lower(g, architecture="test", vocab_size=9, context=16)


def names(plan: Plan) -> list[str]:
    return [op.op for op in plan.ops]


def test_parallel_halves_share_a_norm_and_add_in_place() -> None:
    """Attention and feed-forward from one norm, both added to x."""
    g, x = start()
    h = g.rms_norm(x, "norm")
    q, k, v = g.linear(h, "q", "k", "v")
    a = g.attention(q, k, v, layer=0, heads=HEADS)
    gate, up = g.linear(h, "gate", "up")
    x = g.add(x, *g.linear(a, "o"))
    x = g.add(x, *g.linear(g.glu(gate, up), "down"))
    plan = finish(g, x)
    assert names(plan).count("rms_norm") == 2
    linears = [op for op in plan.ops if isinstance(op, Linear)]
    assert [op.accumulate for op in linears] == [False, False, True, True]
    assert linears[0].act == linears[1].act
    assert linears[2].outs == linears[3].outs == (0,)
    stores = [op for op in plan.ops if isinstance(op, RopeStore)]
    assert [op.rope for op in stores] == [None]


def test_a_norm_that_others_read_also_writes_numbers() -> None:
    g, x = start()
    h = g.rms_norm(x, "norm")
    h = g.add(h, *g.linear(h, "o"))
    plan = finish(g, h)
    norm = plan.ops[1]
    assert isinstance(norm, RmsNorm)
    assert norm.act is not None
    assert norm.out is not None


def test_buffers_that_live_together_have_slots_of_their_own() -> None:
    g, x = start()
    for i in range(3):
        gate, up = g.linear(g.rms_norm(x, f"norm{i}"), "gate", "up")
        x = g.add(x, *g.linear(g.glu(gate, up), "down"))
    plan = finish(g, x)
    lives: dict[int, list[int]] = {}
    for i, op in enumerate(plan.to_dict()["ops"]):
        for key in ("x", "act", "out", "outs", "gate", "up"):
            value = op.get(key)
            for buffer in value if isinstance(value, tuple) else (value,):
                if buffer is not None:
                    lives.setdefault(buffer, []).append(i)
    for a, b in itertools.combinations(lives, 2):
        if plan.buffers[a].slot == plan.buffers[b].slot:
            assert max(lives[a]) < min(lives[b]) or max(lives[b]) < min(lives[a]), (a, b)
    assert len({buffer.slot for buffer in plan.buffers}) < len(plan.buffers) / 2


def test_ropes_and_weights_are_listed_once() -> None:
    g, x = start()
    rope = Rope(10000.0, 4, 1.0, g.vector("factors", 2))
    for layer in range(2):
        q, k, v = g.linear(g.rms_norm(x, "norm"), "q", "k", "v")
        q, k = g.rope(q, k, rope, neox=True)
        x = g.add(x, *g.linear(g.attention(q, k, v, layer=layer, heads=HEADS, window=3), "o"))
    plan = finish(g, x)
    assert plan.ropes == (rope,)
    assert [w.name for w in plan.weights].count("q.weight") == 1
    assert all(op.neox for op in plan.ops if isinstance(op, RopeStore))


def test_sums_that_cannot_be_fused_are_refused() -> None:
    g, x = start()
    y = g.add(x, g.rms_norm(x, "norm"))
    with pytest.raises(UnsupportedError, match="linear layer"):
        finish(g, y)
    g, x = start()
    y = g.add(x, *g.linear(g.rms_norm(x, "norm"), "o"))
    z = g.add(y, *g.linear(g.rms_norm(x, "norm"), "o"))  # x is read after it was added to
    with pytest.raises(UnsupportedError, match="reads afterwards"):
        finish(g, z)


def test_rotated_values_are_not_read_twice() -> None:
    g, x = start()
    q, k, v = g.linear(g.rms_norm(x, "norm"), "q", "k", "v")
    turned, k = g.rope(q, k, Rope(10000.0, 4, 1.0, None))
    x = g.add(q, *g.linear(g.attention(turned, k, v, layer=0, heads=HEADS), "o"))
    with pytest.raises(UnsupportedError, match="rotated"):
        finish(g, x)


def test_widths_are_checked_at_once() -> None:
    g, x = start()
    q, k, v = g.linear(x, "q", "k", "v")
    with pytest.raises(ShapeError, match="fit the heads"):
        g.attention(k, q, v, layer=0, heads=HEADS)
    with pytest.raises(ShapeError, match="alike"):
        g.add(q, k)
    with pytest.raises(ShapeError, match="alike"):
        g.glu(q, k)
    with pytest.raises(ShapeError, match="role"):
        g.linear(x, "blk.0.mystery")
    g.attention(q, k, v, layer=0, heads=HEADS)
    with pytest.raises(FormatError, match="twice"):
        g.attention(q, k, v, layer=0, heads=HEADS)


def test_a_norm_that_is_only_added_adds_in_place() -> None:
    g, x = start()
    (h,) = g.linear(x, "o")
    plan = finish(g, g.add(x, g.rms_norm(h, "post")))
    norm = next(op for op in plan.ops if isinstance(op, RmsNorm))
    assert (norm.accumulate, norm.out, norm.act) == (True, 0, None)
    assert names(plan)[:4] == ["embed", "quantize", "linear", "rms_norm"]
    assert " += x0 [T, 8]" in plan.describe()


def test_norms_of_heads_have_weights_of_a_head() -> None:
    g, x = start()
    q, k, v = g.linear(g.rms_norm(x, "norm"), "q", "k", "v")
    q = g.rms_norm(q, "q_norm", heads=2)
    q, k = g.rope(q, k, Rope(10000.0, 4))
    x = g.add(x, *g.linear(g.attention(q, k, v, layer=0, heads=HEADS), "o"))
    plan = finish(g, x)
    assert Weight("q_norm.weight", (4,)) in plan.weights
    assert [op.heads for op in plan.ops if isinstance(op, RmsNorm)] == [1, 2, 1]
    with pytest.raises(ShapeError, match="3 heads"):
        g.rms_norm(v, "v_norm", heads=3)


def test_a_fused_matrix_is_cut_into_rows() -> None:
    g, x = start()
    gate, up = g.split(x, "both", 12, 12)
    plan = finish(g, g.add(x, *g.linear(g.glu(gate, up, "gelu_tanh"), "down")))
    slices = [weight for weight in plan.weights if weight.name == "both.weight"]
    assert slices == [Weight("both.weight", (12, 8), first, 24) for first in (0, 12)]
    assert {weight.tensor_shape for weight in slices} == {(24, 8)}
    assert "both.weight [12, 8] from row 12" in plan.describe()


def test_biases_are_those_that_the_file_has() -> None:
    g = Graph(rows=ROWS, eps=1e-6, tensors={"k.bias"})
    x = g.embed("emb", vocab_size=9, width=8)
    q, k, v = g.linear(x, "q", "k", "v")
    x = g.add(x, *g.linear(g.attention(q, k, v, layer=0, heads=HEADS), "o", scale=0.5))
    first, second = (op for op in finish(g, x).ops if isinstance(op, Linear))
    assert [bias is not None for bias in first.biases] == [False, True, False]
    assert (second.biases, second.scale) == ((), 0.5)


def mixture(ffn: int = 32, width: int = 16, tensors: tuple[str, ...] = ()) -> Plan:
    g = Graph(rows={"router": 5, "o": width}, eps=1e-6, tensors=tensors)
    x = g.embed("emb", vocab_size=9, width=width)
    h = g.rms_norm(x, "norm")
    (scores,) = g.linear(h, "router")
    routes = g.route(scores, Routing(2, "sigmoid"), "probs")
    return finish(g, g.add(x, g.experts(h, routes, "gates", "ups", "downs", count=5, ffn=ffn)))


def op_of(plan: Plan, kind: type[Any]) -> Any:
    (found,) = (op for op in plan.ops if isinstance(op, kind))
    return found


def test_experts_read_the_activations_of_the_norm() -> None:
    plan = mixture()
    assert names(plan)[:5] == ["embed", "rms_norm", "linear", "route", "experts"]
    route, experts = op_of(plan, Route), op_of(plan, Experts)
    assert (route.used, route.gating, route.bias) == (2, "sigmoid", None)
    assert (experts.act, experts.out, experts.accumulate) == (op_of(plan, Linear).act, 0, True)
    assert [weight.tensor_shape for weight in plan.weights if weight.experts == 5] == [
        (5, 32, 16), (5, 32, 16), (5, 16, 32),
    ]  # fmt: skip
    work = {experts.pairs, experts.sorted, experts.gates, experts.ups, experts.hidden, experts.rows}
    slots = {plan.buffers[i].slot for i in work | {experts.act, experts.routes, experts.out}}
    assert len(slots) == 9, "all are in use at once"
    assert plan.macs_per_token == 5 * 16 + 2 * 3 * 32 * 16
    line = next(line for line in plan.describe().splitlines() if " experts " in line)
    assert "a1 [T, 16], x3 [T, 4] += x0 [T, 16]; gates.weight [160, 16], ups.weight" in line
    assert line.endswith("used 2, activation silu, accumulate True")


def test_experts_whose_result_is_not_added_have_a_buffer() -> None:
    g = Graph(rows={"router": 5}, eps=1e-6)
    x = g.embed("emb", vocab_size=9, width=16)
    (scores,) = g.linear(x, "router")
    y = g.experts(x, g.route(scores, Routing(2)), "a", "b", "c", count=5, ffn=16)
    experts = op_of(finish(g, g.add(x, g.rms_norm(y, "norm"))), Experts)
    assert (experts.accumulate, experts.out) != (True, 0)


def test_biases_of_experts_are_those_that_the_file_has() -> None:
    plan = mixture(tensors=("ups.bias", "probs.bias"))
    _, up, _ = op_of(plan, Experts).biases
    assert plan.weights[up].shape == (5, 32)
    assert plan.weights[op_of(plan, Route).bias].shape == (5,)


def test_rows_of_work_space_do_not_meet_in_the_cache() -> None:
    experts = op_of(plan := mixture(ffn=1024, width=512), Experts)
    assert plan.buffers[experts.gates].width == 2 * 1040
    assert plan.buffers[experts.rows].width == 2 * 528


def test_what_experts_cannot_be() -> None:
    with pytest.raises(UnsupportedError, match="multiple of 16"):
        mixture(ffn=24)
    g, x = start()
    with pytest.raises(UnsupportedError, match="multiple of 16"):
        g.experts(x, x, "a", "b", "c", count=2, ffn=16)
    with pytest.raises(ShapeError, match="uses 1 to"):
        g.route(x, Routing(x.width + 1))
