# SPDX-License-Identifier: MIT
"""BERT and what is built like it (bge, e5, MiniLM, gte, arctic-embed); Nomic's; ModernBERT."""

from __future__ import annotations

from dataclasses import replace

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.encoder import Encoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.nodes import Value
from gristmill.architectures.plan import Rope
from gristmill.architectures.rope import MAX_BASE


@register("bert")
class Bert(Encoder):
    """Learned positions, token types, biases; a feed-forward layer without a gate."""

    def feed_forward(self, g: Graph, h: Value, i: int) -> Value:
        """GELU between two layers."""
        (up,) = g.linear(h, f"blk.{i}.ffn_up")
        (out,) = g.linear(g.activate(up, self.activation), f"blk.{i}.ffn_down")
        return out


@register("nomic-bert")
class NomicBert(Encoder):
    """Rotary positions, no biases, SwiGLU."""

    neox = True
    activation = "silu"

    def rope(self, g: Graph, i: int) -> Rope | None:
        """As in decoders."""
        return Decoder.rope(self, g, i)


@register("modern-bert")
class ModernBert(Encoder):
    """Norms before each half; windows, and a base of their own, in two of three layers."""

    neox = True
    fused_up = True
    window_period = 3

    def read(self, keys: Hyperparameters) -> None:
        """The base of layers with a window."""
        base = keys.real("rope.freq_base_swa", 10000.0, above=1.0, most=MAX_BASE)
        self.local = replace(self.shape.rope, freq_base=base)

    def read_windows(self, keys: Hyperparameters) -> tuple[int, ...]:
        """The first of each group of layers sees all positions, not the last."""
        key = "attention.sliding_window"
        window = keys.count(key, 0, least=0, most=1 << 31)
        period = keys.count(f"{key}_pattern", self.window_period, least=1, most=1 << 20)
        return tuple(window if i % period else 0 for i in range(self.shape.layers))

    def block(self, g: Graph, x: Value, i: int) -> Value:
        """The first block reads the embeddings as they are: they are normed."""
        name = f"blk.{i}.attn_norm"
        h = g.layer_norm(x, name) if i > 0 or self.has(name) else x
        x = g.add(x, self.attention(g, h, i))
        return g.add(x, self.feed_forward(g, g.layer_norm(x, f"blk.{i}.ffn_norm"), i))

    def rope(self, g: Graph, i: int) -> Rope | None:
        """By the kind of layer."""
        return self.local if self.windows[i] else self.shape.rope

    def final_norm(self, g: Graph, x: Value) -> Value:
        """As before each half."""
        return g.layer_norm(x, "output_norm")
