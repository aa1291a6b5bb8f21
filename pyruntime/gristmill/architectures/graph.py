# SPDX-License-Identifier: MIT
"""The builder in which an architecture writes down its forward pass.

Each call appends a node over values whose widths are known at once; nothing is computed. Lowering
(lower.py) then fuses the nodes into the plan's operations. Weights are named as in GGUF, without
".weight"; the rows that a linear layer must have come from its role, the last part of its name, so
that a misshaped tensor is found by comparing shapes and not by a failing product. A linear layer
has a bias if the file has one for it.

Example:
    >>> g = Graph(rows={"up": 8, "gate": 8, "down": 4}, eps=1e-5)
    >>> x = g.embed("token_embd", vocab_size=10, width=4)
    >>> h = g.rms_norm(x, "norm")
    >>> gate, up = g.linear(h, "gate", "up")
    >>> x = g.add(x, g.linear(g.glu(gate, up), "down")[0])
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from gristmill.architectures.nodes import (
    AddNode,
    AddRowsNode,
    AttentionNode,
    EmbedNode,
    ExpertsNode,
    GluNode,
    Heads,
    LayerNormNode,
    LinearNode,
    LogitsNode,
    Node,
    NormNode,
    OutputNode,
    RopeNode,
    RouteNode,
    Routing,
    Rows,
    SelectNode,
    Value,
)
from gristmill.architectures.operations import Activation, Pool
from gristmill.architectures.plan import Kv, Rope, Weight
from gristmill.architectures.recurrent_plan import State
from gristmill.errors import FormatError, ShapeError, UnsupportedError

EXPERT_ROWS = 16  # of a panel: the matrices of experts begin with whole ones


@dataclass
class Graph:
    """Collects nodes, weights, rope tables, KV geometry and states.

    Args:
        rows: Rows of linear weights by role, such as {"attn_q": 2048}.
        eps: Of all norms that do not give their own.
        tensors: Names in the file, among which biases and factors are looked for.
    """

    rows: Mapping[str, int]
    eps: float
    tensors: Container[str] = ()
    nodes: list[Node] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    ropes: list[Rope] = field(default_factory=list)
    layers: dict[int, Kv] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    _values: int = 0
    _weight_ids: dict[Weight, int] = field(default_factory=dict)

    def embed(self, name: str, *, vocab_size: int, width: int, scale: float = 1.0) -> Value:
        """Rows of the embedding table, by token id."""
        out = self._value(width)
        self.nodes.append(EmbedNode((), (out,), self._weight(name, (vocab_size, width)), scale))
        return out

    def add_rows(
        self, x: Value, name: str, *, rows: int, index: Literal["position", "type"]
    ) -> Value:
        """x + the rows of a table by the tokens' positions or types; nothing else reads x."""
        out = self._value(x.width)
        self.nodes.append(AddRowsNode((x,), (out,), self._weight(name, (rows, x.width)), index))
        return out

    def layer_norm(self, x: Value, name: str, *, eps: float | None = None) -> Value:
        """(x - mean) / sqrt(variance + eps) * weight, plus a bias if the file has one."""
        out = self._value(x.width, x.rows)
        weight, bias = self._weight(name, (x.width,)), self._optional(f"{name}.bias", x.width)
        eps = self.eps if eps is None else eps
        self.nodes.append(LayerNormNode((x,), (out,), weight, bias, eps))
        return out

    def rms_norm(self, x: Value, name: str, *, eps: float | None = None, heads: int = 1) -> Value:
        """x / sqrt(mean(x^2) + eps) * weight; of each of so many equal parts of x."""
        if x.width % heads != 0:
            raise ShapeError(f"[graph] {x.width} numbers cannot be split into {heads} heads.")
        out = self._value(x.width, x.rows)
        weight = self._weight(name, (x.width // heads,))
        self.nodes.append(NormNode((x,), (out,), weight, self.eps if eps is None else eps, heads))
        return out

    def linear(self, x: Value, *names: str, scale: float = 1.0) -> tuple[Value, ...]:
        """scale * (factor W x + bias) for weights that share x's quantized activations.

        Biases and factors of whole matrices (NVFP4) are those that the file has.
        """
        weights, biases, factors = [], [], []
        for name in names:
            role = name.rpartition(".")[2]
            if role not in self.rows:
                raise ShapeError(f"[graph] The rows of {name!r} are not known. Give them a role.")
            weights.append(self._weight(name, (self.rows[role], x.width)))
            biases.append(self._optional(f"{name}.bias", self.rows[role]))
            factors.append(self._optional(f"{name}.scale", 1))
            if None not in (biases[-1], factors[-1]):
                raise UnsupportedError(f"[graph] {name!r} has a bias and a factor: not run yet.")
        return self._products(x, weights, biases, factors, scale)

    def split(self, x: Value, name: str, *rows: int) -> tuple[Value, ...]:
        """The product of x with one fused matrix, cut into values of so many rows each."""
        firsts = accumulate(rows, initial=0)
        slices = [
            Weight(f"{name}.weight", (count, x.width), first, sum(rows))
            for count, first in zip(rows, firsts, strict=False)
        ]
        factors = [self._optional(f"{name}.scale", 1)] * len(rows)
        return self._products(x, [self._listed(part) for part in slices], [], factors, 1.0)

    def rope(self, q: Value, k: Value, rope: Rope, *, neox: bool = False) -> tuple[Value, Value]:
        """Rotary position embedding; pairs are neighbours, or half a head apart with `neox`."""
        if rope not in self.ropes:
            self.ropes.append(rope)
        outs = (self._value(q.width), self._value(k.width))
        self.nodes.append(RopeNode((q, k), outs, self.ropes.index(rope), neox))
        return outs

    def attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        *,
        layer: int,
        heads: Heads,
        scale: float | None = None,
        window: int = 0,
        softcap: float = 0.0,
        bidirectional: bool = False,
        sinks: str = "",
    ) -> Value:
        """Attention over the layer's cache, to which k and v are added first.

        Args:
            scale: Of the scores; None: 1 / sqrt(head_dim).
            window: Positions that a token sees, itself included; 0: all.
            softcap: c of c * tanh(score / c); 0: none.
            bidirectional: Over the batch, not only what came before; with a window, a token sees
                those at most window / 2 away. Layers of one geometry share their cache.
            sinks: Name of a vector [heads], if the layer has one.
        """
        expected = (heads.heads * heads.head_dim, *[heads.kv_heads * heads.head_dim] * 2)
        if (q.width, k.width, v.width) != expected:
            raise ShapeError(
                f"[graph, layer {layer}] q, k and v must fit the heads. "
                f"Got widths {q.width}, {k.width}, {v.width}, expected {expected}."
            )
        kv = Kv(heads.kv_heads, heads.head_dim)
        if bidirectional:
            alike = [i for i, known in self.layers.items() if known == kv]
            layer = alike[0] if alike else len(self.layers)
        elif layer in self.layers:
            raise FormatError(f"[graph] Layer {layer} has attention twice.")
        self.layers[layer] = kv
        out = self._value(q.width)
        factor = heads.head_dim**-0.5 if scale is None else scale
        sink = self.vector(sinks, heads.heads) if sinks else None
        self.nodes.append(
            AttentionNode(
                (q, k, v), (out,), layer, heads, factor, window, softcap, bidirectional, sink
            )
        )
        return out

    def glu(self, gate: Value, up: Value, activation: Activation = "silu") -> Value:
        """activation(gate) * up."""
        self._same(gate, up, "gate and up")
        out = self._value(gate.width, gate.rows)
        self.nodes.append(GluNode((gate, up), (out,), activation))
        return out

    def activate(self, x: Value, activation: Activation) -> Value:
        """activation(x)."""
        out = self._value(x.width, x.rows)
        self.nodes.append(GluNode((x,), (out,), activation))
        return out

    def route(self, scores: Value, routing: Routing, bias: str = "") -> Value:
        """What a token's scores [E] choose, for `experts`; the bias is added to what is compared.

        Args:
            bias: Name of a vector [E], without ".bias"; none if the file does not have it.
        """
        if not 1 <= routing.used <= scores.width:
            raise ShapeError(
                f"[graph] A token uses 1 to {scores.width} experts. Got {routing.used}."
            )
        out = self._value(2 * routing.used)
        self.nodes.append(
            RouteNode((scores,), (out,), self._optional(f"{bias}.bias", scores.width), routing)
        )
        return out

    def experts(
        self,
        x: Value,
        routes: Value,
        *names: str,
        count: int,
        ffn: int,
        activation: Activation = "silu",
    ) -> Value:
        """A mixture of gated feed-forward layers, of which each token uses those of its routes.

        Args:
            names: Of the gates, ups and downs of all `count` experts.
            ffn: Rows of a gate.
        """
        if count > 1 and (x.width % EXPERT_ROWS != 0 or ffn % EXPERT_ROWS != 0):
            raise UnsupportedError(
                f"[graph] Experts have matrices of a multiple of {EXPERT_ROWS} rows. "
                f"Got {x.width} and {ffn}."
            )
        weights, biases = [], []
        shapes = ((ffn, x.width), (ffn, x.width), (x.width, ffn))
        for name, (rows, columns) in zip(names, shapes, strict=True):
            matrix = Weight(f"{name}.weight", (count * rows, columns), experts=count)
            weights.append(self._listed(matrix))
            biases.append(self._optional(f"{name}.bias", count, rows))
        used = () if all(bias is None for bias in biases) else tuple(biases)
        out = self._value(x.width)
        self.nodes.append(
            ExpertsNode((x, routes), (out,), tuple(weights), used, count, ffn, activation)
        )
        return out

    def add(self, x: Value, y: Value) -> Value:
        """The residual: y comes from a linear layer, a norm or experts, which add to x in place."""
        self._same(x, y, "the terms")
        out = self._value(x.width, x.rows)
        self.nodes.append(AddNode((x, y), (out,)))
        return out

    def select_rows(self, x: Value, pool: Pool = "last") -> Value:
        """The rows whose logits are wanted: the last one, or all.

        Or one for the whole batch: that of the first token, or the mean of all.
        """
        out = self._value(x.width, "logits")
        self.nodes.append(SelectNode((x,), (out,), pool))
        return out

    def output(self, x: Value) -> None:
        """What a model without logits gives: rows of x; the last call."""
        self.nodes.append(OutputNode((x,), ()))

    def logits(
        self, x: Value, name: str, *, vocab_size: int, scale: float = 1.0, softcap: float = 0.0
    ) -> None:
        """The output layer, scaled, then capped (0: not); the last call."""
        weight = self._weight(name, (vocab_size, x.width))
        self.nodes.append(LogitsNode((x,), (), weight, scale, softcap))

    def vector(self, name: str, length: int) -> int:
        """The id of a plain vector in the file, such as rope factors."""
        return self._weight(name, (length,))

    # -- for modules that bring nodes of their own
    def weight(self, name: str, *shape: int) -> int:
        """The id of a tensor by its whole name."""
        return self._listed(Weight(name, shape))

    def state(self, values: int) -> int:
        """The id of a new state of so many numbers."""
        self.states.append(State(values))
        return len(self.states) - 1

    def value(self, width: int) -> Value:
        """A new value, one row per token."""
        return self._value(width)

    def _value(self, width: int, rows: Rows = "batch") -> Value:
        self._values += 1
        return Value(self._values - 1, width, rows)

    def _products(
        self,
        x: Value,
        weights: list[int],
        biases: list[int | None],
        factors: list[int | None],
        scale: float,
    ) -> tuple[Value, ...]:
        outs = tuple(self._value(self.weights[i].shape[0], x.rows) for i in weights)
        given, scaled = (
            () if all(i is None for i in ids) else tuple(ids) for ids in (biases, factors)
        )
        self.nodes.append(LinearNode((x,), outs, tuple(weights), given, scale, scaled))
        return outs

    def _optional(self, name: str, *shape: int) -> int | None:
        return self._listed(Weight(name, shape)) if name in self.tensors else None

    def _weight(self, name: str, shape: tuple[int, ...]) -> int:
        return self._listed(Weight(f"{name}.weight", shape))

    def _listed(self, weight: Weight) -> int:
        if weight not in self._weight_ids:
            self._weight_ids[weight] = len(self.weights)
            self.weights.append(weight)
        return self._weight_ids[weight]

    @staticmethod
    def _same(a: Value, b: Value, what: str) -> None:
        if (a.width, a.rows) != (b.width, b.rows):
            raise ShapeError(f"[graph] {what} must be alike. Got {a.width} and {b.width} numbers.")
