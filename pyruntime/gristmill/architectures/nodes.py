# SPDX-License-Identifier: MIT
"""What a graph consists of: values, and the nodes that make them (graph.py adds them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gristmill.architectures.operations import Activation, Gating, Pool

Rows = Literal["batch", "logits"]


@dataclass(frozen=True)
class Value:
    """Rows of `width` numbers, one row per token (batch) or per row of logits."""

    id: int
    width: int
    rows: Rows = "batch"


@dataclass(frozen=True)
class Heads:
    """H query heads that share G = kv_heads key-value heads of head_dim numbers."""

    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class Routing:
    """How a token chooses experts by their scores.

    Attributes:
        used: Experts of a token.
        gating: What makes shares of scores: softmax, sigmoid, or softmax over the chosen ones.
        normalise: Whether the shares of a token are divided by their sum.
        scale: Of the shares, in the end.
    """

    used: int
    gating: Gating = "softmax"
    normalise: bool = True
    scale: float = 1.0


@dataclass(frozen=True)
class Node:
    """One call of the builder: values in, values out. Subclasses add what the call was given."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class EmbedNode(Node):
    weight: int
    scale: float


@dataclass(frozen=True)
class AddRowsNode(Node):
    weight: int
    index: Literal["position", "type"]


@dataclass(frozen=True)
class LayerNormNode(Node):
    weight: int
    bias: int | None
    eps: float


@dataclass(frozen=True)
class NormNode(Node):
    weight: int
    eps: float
    heads: int


@dataclass(frozen=True)
class LinearNode(Node):
    weights: tuple[int, ...]
    biases: tuple[int | None, ...]
    scale: float
    factors: tuple[int | None, ...]

    @property
    def details(self) -> tuple[tuple[int | None, ...], float, tuple[int | None, ...]]:
        """What of it the operation takes as it is."""
        return self.biases, self.scale, self.factors


@dataclass(frozen=True)
class RopeNode(Node):
    rope: int
    neox: bool


@dataclass(frozen=True)
class AttentionNode(Node):
    layer: int
    heads: Heads
    scale: float
    window: int
    softcap: float
    bidirectional: bool
    sinks: int | None


@dataclass(frozen=True)
class GluNode(Node):
    activation: Activation


@dataclass(frozen=True)
class RouteNode(Node):
    bias: int | None
    routing: Routing


@dataclass(frozen=True)
class ExpertsNode(Node):
    """Inputs are x and the routes."""

    weights: tuple[int, ...]
    biases: tuple[int | None, ...]
    count: int
    ffn: int
    activation: Activation


@dataclass(frozen=True)
class AddNode(Node):
    pass


@dataclass(frozen=True)
class SelectNode(Node):
    pool: Pool


@dataclass(frozen=True)
class OutputNode(Node):
    pass


@dataclass(frozen=True)
class LogitsNode(Node):
    weight: int
    scale: float
    softcap: float
