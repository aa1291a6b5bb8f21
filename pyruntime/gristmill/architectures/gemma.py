# SPDX-License-Identifier: MIT
"""Gemma 1 to 3: GELU gates and a scaled embedding; from 2 on norms on both sides of each half, and
windows on most layers.

The file's norm weights already hold the 1 that Gemma adds to them.
"""

from __future__ import annotations

from dataclasses import replace

from gristmill.architectures import register
from gristmill.architectures.decoder import MAX_SCALE, Decoder, SandwichDecoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.plan import Rope
from gristmill.architectures.rope import MAX_BASE


@register("gemma")
class Gemma(Decoder):
    """The usual block with GELU gates; the embedding is multiplied by the root of its width."""

    neox = True
    activation = "gelu_tanh"

    def read(self, keys: Hyperparameters) -> None:
        """No key says the scale."""
        self.embedding_scale = self.shape.width**0.5


class CappedGemma(SandwichDecoder):
    """Soft caps, and what the largest models do otherwise."""

    neox = True
    activation = "gelu_tanh"
    largest: int  # layers of the model that scales scores by the width per head

    def read(self, keys: Hyperparameters) -> None:
        """Soft caps and scales."""
        shape = self.shape
        self.embedding_scale = shape.width**0.5
        self.score_cap = keys.real("attn_logit_softcapping", 0.0, above=-1.0, most=MAX_SCALE)
        self.logit_cap = keys.real("final_logit_softcapping", 0.0, above=-1.0, most=MAX_SCALE)
        if self.score_scale is None and shape.layers == self.largest:
            self.score_scale = (shape.width // shape.heads.heads) ** -0.5


@register("gemma2")
class Gemma2(CappedGemma):
    """Soft caps of scores and logits; every second layer sees all positions."""

    window_period = 2
    usual_window = 4096
    largest = 46


@register("gemma3")
class Gemma3(CappedGemma):
    """Norms of q and k; layers with a window turn by a base of their own."""

    qk_norm = "heads"
    window_period = 6
    largest = 62

    def read(self, keys: Hyperparameters) -> None:
        """The base of layers with a window; linear scaling is for the others."""
        super().read(keys)
        base = keys.real("rope.freq_base_swa", 10000.0, above=1.0, most=MAX_BASE)
        self.local = replace(self.shape.rope, freq_base=base, scale=1.0, scales=(), magnitude=1.0)

    def rope(self, g: Graph, i: int) -> Rope | None:
        """By the kind of layer."""
        return self.local if self.windows[i] else super().rope(g, i)
