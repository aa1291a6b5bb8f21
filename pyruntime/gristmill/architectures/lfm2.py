# SPDX-License-Identifier: MIT
"""LFM 2: gated short convolutions, and attention in some layers."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.nodes import Value
from gristmill.architectures.recurrent import MAX_TAPS, short_conv


@register("lfm2")
class Lfm2(Decoder):
    """Layers without KV heads convolve instead of attending."""

    neox = True
    qk_norm = "heads"
    mixed = True

    def read(self, keys: Hyperparameters) -> None:
        """Which layers convolve, and over how many tokens."""
        self.convolves = keys.gaps("attention.head_count_kv", self.shape.layers)
        self.taps = keys.count("shortconv.l_cache", least=2, most=MAX_TAPS)

    def attention(self, g: Graph, h: Value, i: int) -> Value:
        """out(c * conv(b * x)), where b, c and x come from one matrix."""
        if not self.convolves[i]:
            return super().attention(g, h, i)
        name, width = f"blk.{i}.shortconv", self.shape.width
        b, c, x = g.split(h, f"{name}.in_proj", width, width, width)
        y = short_conv(g, x, f"{name}.conv", taps=self.taps, gate=b)
        (out,) = g.linear(g.glu(c, y, "none"), f"{name}.out_proj")
        return out

    def final_norm(self, g: Graph, x: Value) -> Value:
        """Under the name of a norm of embeddings."""
        return g.rms_norm(x, "token_embd_norm")

    def rows(self) -> dict[str, int]:
        """The output of a convolution, too."""
        return super().rows() | {"out_proj": self.shape.width}
