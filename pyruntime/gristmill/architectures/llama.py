# SPDX-License-Identifier: MIT
"""Llama 1 to 3.x, Mistral, TinyLlama and their relatives; Ministral 3; SmolLM3.

RMS norm before each half, grouped-query attention with rotary embeddings over neighbouring pairs,
SwiGLU: the usual block. Llama 3.1 and later bring frequency factors (rope_freqs); the output layer
may be tied.
"""

from __future__ import annotations

from dataclasses import replace

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.plan import Rope


@register("llama", "mistral")
class Llama(Decoder):
    """The block of the paper, twice residual."""


@register("mistral3")
class Mistral3(Decoder):
    """YaRN, and queries that grow with the logarithm of their position."""

    def read(self, keys: Hyperparameters) -> None:
        """The slope of queries, per length that the model was first trained for."""
        trained = self.shape.rope.long_from
        slope = keys.real("attention.temperature_scale", 0.0, above=-1.0, most=1.0)
        length = keys.count("attention.temperature_length", trained, most=1 << 31)
        if slope != 0:
            rope = replace(self.shape.rope, query_slope=slope, query_length=length)
            self.shape = replace(self.shape, rope=rope)


@register("smollm3")
class SmolLM3(Decoder):
    """Every fourth layer goes without rotary embeddings."""

    def rope(self, g: Graph, i: int) -> Rope | None:
        """None for every fourth layer."""
        return None if (i + 1) % 4 == 0 else super().rope(g, i)
