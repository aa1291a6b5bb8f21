# SPDX-License-Identifier: MIT
"""Llama 1 to 3.x, Mistral, TinyLlama and their relatives.

RMS norm before each half, grouped-query attention with rotary embeddings over neighbouring pairs,
SwiGLU. Llama 3.1 and later bring frequency factors (rope_freqs); the output layer may be tied.
"""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.graph import Graph, Value


@register("llama", "mistral")
class Llama(Decoder):
    """The block of the paper, twice residual."""

    def block(self, g: Graph, x: Value, i: int) -> Value:
        """Attention, then the gated feed-forward layer."""
        shape = self.shape
        h = g.rms_norm(x, f"blk.{i}.attn_norm")
        q, k, v = g.linear(h, f"blk.{i}.attn_q", f"blk.{i}.attn_k", f"blk.{i}.attn_v")
        q, k = g.rope(q, k, self.rope(g))
        a = g.attention(q, k, v, layer=i, heads=shape.heads, window=shape.window)
        x = g.add(x, *g.linear(a, f"blk.{i}.attn_output"))
        h = g.rms_norm(x, f"blk.{i}.ffn_norm")
        gate, up = g.linear(h, f"blk.{i}.ffn_gate", f"blk.{i}.ffn_up")
        return g.add(x, *g.linear(g.swiglu(gate, up), f"blk.{i}.ffn_down"))
