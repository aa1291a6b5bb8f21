# SPDX-License-Identifier: MIT
"""Phi-3, Phi-3.5 and Phi-4: fused matrices, LongRoPE."""

from __future__ import annotations

from dataclasses import replace

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.plan import Rope


@register("phi3")
class Phi3(Decoder):
    """q, k and v are rows of one matrix, gate and up of another; Phi-4-mini rotates part of a head.

    Factors of the frequencies come in two sets: the long one is for sessions of more positions than
    the model was first trained for.
    """

    neox = True
    fused_up = True

    def rope(self, g: Graph, i: int) -> Rope | None:
        """With both sets of factors, if the file has them."""
        rope = self.shape.rope
        if not self.has("rope_factors_short"):
            return rope
        short, long = (
            g.vector(f"rope_factors_{kind}", rope.n_rot // 2) for kind in ("short", "long")
        )
        return replace(rope, factors=short, long_factors=long)
