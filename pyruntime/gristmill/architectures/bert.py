# SPDX-License-Identifier: MIT
"""BERT and what is built like it: bge, e5, MiniLM, gte, arctic-embed, XLM-RoBERTa."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.encoder import Encoder
from gristmill.architectures.graph import Graph, Value


@register("bert")
class Bert(Encoder):
    """Learned positions, token types, biases; a feed-forward layer without a gate."""

    def feed_forward(self, g: Graph, h: Value, i: int) -> Value:
        """GELU between two layers."""
        (up,) = g.linear(h, f"blk.{i}.ffn_up")
        (out,) = g.linear(g.activate(up, self.activation), f"blk.{i}.ffn_down")
        return out
