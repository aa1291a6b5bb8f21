# SPDX-License-Identifier: MIT
"""The builder's words for encoders, what they become, and what a file asks of pooling."""

from __future__ import annotations

import pytest
from fakes import FakeFile, FakeTensor, llama_file

from gristmill.architectures import build_plan
from gristmill.architectures.graph import Graph
from gristmill.architectures.lower import lower
from gristmill.architectures.nodes import Heads
from gristmill.architectures.operations import AddRows, Attention, Glu, LayerNorm, SelectRows
from gristmill.architectures.plan import Plan
from gristmill.errors import FormatError, UnsupportedError

HEADS = Heads(heads=2, kv_heads=2, head_dim=4)
ROWS = dict.fromkeys(("q", "k", "v", "o", "up", "down"), 8)


def encoder(biases: tuple[str, ...] = ()) -> Plan:
    g = Graph(rows=ROWS, eps=1e-6, tensors=biases)
    x = g.embed("emb", vocab_size=9, width=8)
    x = g.add_rows(x, "positions", rows=5, index="position")
    x = g.layer_norm(x, "first")
    for i in range(3):
        q, k, v = g.linear(x, "q", "k", "v")
        a = g.attention(q, k, v, layer=i, heads=HEADS, window=4, bidirectional=True)
        x = g.layer_norm(g.add(x, *g.linear(a, "o")), "norm")
    (up,) = g.linear(x, "up")
    x = g.add(x, *g.linear(g.activate(up, "gelu"), "down"))
    g.output(g.select_rows(x, "mean"))
    return lower(g, architecture="test", vocab_size=9, context=16, pooling="mean")


def test_layers_share_their_cache_and_rows_are_added_in_place() -> None:
    plan = encoder()
    assert len(plan.layers) == 1
    assert {op.layer for op in plan.ops if isinstance(op, Attention)} == {0}
    added = [op for op in plan.ops if isinstance(op, AddRows)]
    assert [op.out for op in added] == [0]
    norms = [op for op in plan.ops if isinstance(op, LayerNorm)]
    assert all(op.act is not None and op.out is not None and op.bias is None for op in norms)
    (glu,) = [op for op in plan.ops if isinstance(op, Glu)]
    assert (glu.up, glu.activation) == (None, "gelu")
    assert (plan.output_width, plan.types) == (8, 0)
    assert "-> embedding" in plan.describe()
    assert "bidirectional True" in plan.describe()


def test_a_norm_has_the_bias_of_the_file() -> None:
    plan = encoder(biases=("first.bias",))
    first = next(op for op in plan.ops if isinstance(op, LayerNorm))
    assert first.bias is not None
    assert plan.weights[first.bias].name == "first.bias"


def test_rows_are_added_to_what_nothing_else_reads() -> None:
    g = Graph(rows=ROWS, eps=1e-6)
    x = g.embed("emb", vocab_size=9, width=8)
    y = g.add_rows(x, "positions", rows=5, index="position")
    g.output(g.select_rows(g.add(y, *g.linear(x, "o"))))
    with pytest.raises(UnsupportedError, match="read by nothing else"):
        lower(g, architecture="test", vocab_size=9, context=16)


def _pooled(number: object) -> FakeFile:
    file = llama_file()
    return FakeFile({**file.metadata, "llama.pooling_type": number}, file.tensors)


@pytest.mark.parametrize(("number", "name"), [(0, ""), (1, "mean"), (2, "cls"), (3, "last")])
def test_the_file_says_how_texts_are_pooled(number: int, name: str) -> None:
    plan = build_plan(_pooled(number))
    assert plan.pooling == name
    if not name:
        assert plan.ops[-1].op == "logits"
        return
    (select,) = [op for op in plan.ops if isinstance(op, SelectRows)]
    assert select.pool == {"mean": "mean", "cls": "first", "last": "last"}[name]
    assert plan.output_width == 64
    assert build_plan(_pooled(number), pooling="").ops[-1].op == "logits"


@pytest.mark.parametrize("number", [5, -1, True, "mean", 1.5])
def test_a_pooling_that_means_nothing(number: object) -> None:
    with pytest.raises(FormatError, match="pooling_type must be 0 to 4"):
        build_plan(_pooled(number))


def test_a_ranking_model_needs_its_head() -> None:
    file = _pooled(4)
    with pytest.raises(UnsupportedError, match=r"cls\.output\.weight"):
        build_plan(file)
    head = {"cls.output.weight": FakeTensor((2, 64)), "cls.output.bias": FakeTensor((2,))}
    plan = build_plan(FakeFile(file.metadata, {**file.tensors, **head}))
    assert plan.output_width == 2
    # What nobody asks for is left alone.
    assert build_plan(FakeFile(file.metadata, {**file.tensors, **head}), pooling="last").pooling
