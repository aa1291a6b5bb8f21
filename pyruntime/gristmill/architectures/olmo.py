# SPDX-License-Identifier: MIT
"""OLMo 2 and 3: norms only behind each half, and over all of q and of k. OLMoE: before each."""

from __future__ import annotations

from dataclasses import replace

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.nodes import Routing, Value
from gristmill.architectures.plan import Rope


@register("olmo2")
class Olmo2(Decoder):
    """OLMo 3 has the same name, and a window on three of four layers, which YaRN leaves alone."""

    neox = True
    qk_norm = "row"
    window_period = 4

    def block(self, g: Graph, x: Value, i: int) -> Value:
        """Both halves read the residual as it is."""
        x = g.add(x, g.rms_norm(self.attention(g, x, i), f"blk.{i}.post_attention_norm"))
        return g.add(x, g.rms_norm(self.feed_forward(g, x, i), f"blk.{i}.post_ffw_norm"))

    def rope(self, g: Graph, i: int) -> Rope | None:
        """Layers with a window turn as they did before the context was stretched."""
        if self.windows[i]:
            return replace(self.shape.rope, scale=1.0, scales=(), magnitude=1.0)
        return super().rope(g, i)


@register("olmoe")
class Olmoe(Decoder):
    """A mixture of experts, whose shares of the softmax stay as they are."""

    neox = True
    qk_norm = "row"
    usual_routing = Routing(1, normalise=False)
