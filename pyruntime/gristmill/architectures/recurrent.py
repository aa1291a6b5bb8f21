# SPDX-License-Identifier: MIT
"""Recurrent layers in the builder's words: short convolutions and the gated delta rule.

Their state lies beside the KV cache and has a size that does not depend on the context. Functions
append to a graph as its own methods do; `lowered` is the part of lower.py that belongs to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gristmill.architectures.graph import Graph
from gristmill.architectures.nodes import Node, Value
from gristmill.architectures.recurrent_plan import DeltaRule, ShortConv, SplitHeads
from gristmill.errors import ShapeError, UnsupportedError

MAX_TAPS = 16
COLUMNS = 16  # of a block of a head's matrix
LENGTH_EPS = 1e-6


@dataclass(frozen=True)
class DeltaHeads:
    """H value heads of length V over G key heads of length K; head h takes key head h mod G."""

    heads: int
    key_heads: int
    key_dim: int
    value_dim: int

    @property
    def width(self) -> int:
        """Of queries, keys and values side by side."""
        return 2 * self.key_heads * self.key_dim + self.heads * self.value_dim

    @property
    def state_values(self) -> int:
        """Numbers of the matrices of all heads, in whole blocks of columns."""
        return self.heads * -(-self.value_dim // COLUMNS) * self.key_dim * COLUMNS


@dataclass(frozen=True)
class ShortConvNode(Node):
    """Inputs are x and, if there is one, the gate."""

    weight: int
    bias: int | None
    state: int
    silu: bool


@dataclass(frozen=True)
class DeltaRuleNode(Node):
    """Inputs are qkv, alpha and beta."""

    rate: int
    shift: int
    state: int
    heads: DeltaHeads


@dataclass(frozen=True)
class SplitHeadsNode(Node):
    """One input, two outputs."""

    heads: int


def short_conv(
    g: Graph, x: Value, name: str, *, taps: int, gate: Value | None = None, silu: bool = False
) -> Value:
    """Causal convolution of each channel of x (* gate) over its last `taps` rows, with its bias.

    Args:
        g: The graph.
        x: [T, C].
        name: Of the weight [C, taps]; a bias [C] is used if the file has one.
        taps: Rows that a sum sees, the present one included.
        gate: [T, C]; None: x alone.
        silu: Whether the sums go through SiLU.
    """
    if gate is not None and gate.width != x.width:
        raise ShapeError(f"[graph] The gate has {gate.width} numbers, x has {x.width}.")
    weight = g.weight(f"{name}.weight", x.width, taps)
    bias = g.weight(f"{name}.bias", x.width) if f"{name}.bias" in g.tensors else None
    state = g.state((taps - 1) * x.width)
    inputs = (x,) if gate is None else (x, gate)
    out = g.value(x.width)
    g.nodes.append(ShortConvNode(inputs, (out,), weight, bias, state, silu))
    return out


def delta_rule(
    g: Graph, qkv: Value, alpha: Value, beta: Value, *, rate: str, shift: str, heads: DeltaHeads
) -> Value:
    """The gated delta rule; see csrc/plan/plan.h.

    Args:
        g: The graph.
        qkv: [T, heads.width]: queries, keys and values.
        alpha: [T, H]: what decays are made of.
        beta: [T, H]: what strengths are made of.
        rate: Name of the factors of the decays [H].
        shift: Name of what is added to alpha [H].
        heads: Their geometry.
    """
    expected = (heads.width, heads.heads, heads.heads)
    if (qkv.width, alpha.width, beta.width) != expected:
        raise ShapeError(
            f"[graph] The inputs of the delta rule must fit the heads. "
            f"Got widths {qkv.width}, {alpha.width}, {beta.width}, expected {expected}."
        )
    weights = (g.weight(rate, heads.heads), g.weight(shift, heads.heads))
    out = g.value(heads.heads * heads.value_dim)
    state = g.state(heads.state_values)
    g.nodes.append(DeltaRuleNode((qkv, alpha, beta), (out,), *weights, state, heads))
    return out


def split_heads(g: Graph, x: Value, heads: int) -> tuple[Value, Value]:
    """The first and the second halves of each of x's heads."""
    if x.width % (2 * heads) != 0:
        raise ShapeError(f"[graph] {x.width} numbers are not {heads} heads of two halves.")
    first, second = g.value(x.width // 2), g.value(x.width // 2)
    g.nodes.append(SplitHeadsNode((x,), (first, second), heads))
    return first, second


class Lowering(Protocol):
    """What `lowered` needs of the lowering."""

    def number(self, value: Value) -> int:
        """The f32 buffer of a value."""

    def new_f32(self, value: Value) -> int:
        """A new one."""

    def only_reader(self, value: Value) -> Node | None:
        """The node that reads a value, if there is one only."""


def lowered(
    node: ShortConvNode | DeltaRuleNode | SplitHeadsNode, to: Lowering
) -> ShortConv | DeltaRule | SplitHeads:
    """The operation of a node.

    Raises:
        UnsupportedError: Something else reads a value that is changed in place.
    """
    inputs = [to.number(value) for value in node.inputs]
    if isinstance(node, ShortConvNode):
        gate = inputs[1] if len(inputs) == 2 else None
        out = to.new_f32(node.outputs[0])
        return ShortConv(inputs[0], gate, out, node.weight, node.bias, node.state, node.silu)
    if isinstance(node, SplitHeadsNode):
        first, second = (to.new_f32(value) for value in node.outputs)
        return SplitHeads(inputs[0], first, second, node.heads)
    if any(to.only_reader(value) is not node for value in node.inputs):
        raise UnsupportedError("[graph] What the delta rule reads is read by nothing else.")
    heads = node.heads
    qkv, alpha, beta = inputs
    return DeltaRule(
        qkv,
        alpha,
        beta,
        to.new_f32(node.outputs[0]),
        node.rate,
        node.shift,
        node.state,
        heads.key_heads,
        heads.heads,
        heads.key_dim,
        heads.value_dim,
        LENGTH_EPS,
    )
