# SPDX-License-Identifier: MIT
"""Qwen 3.5: the gated delta rule in most layers, attention with gated output in the others."""

from __future__ import annotations

from dataclasses import replace

from gristmill.architectures import register
from gristmill.architectures.decoder import MAX_HEAD_DIM, MAX_HEADS, MAX_LAYERS, MAX_WIDTH, Decoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.nodes import Value
from gristmill.architectures.recurrent import (
    MAX_TAPS,
    DeltaHeads,
    delta_rule,
    short_conv,
    split_heads,
)


@register("qwen35")
class Qwen35(Decoder):
    """The file's metadata describe the delta rule in the words of state space models."""

    neox = True
    mixed = True
    ffn_norm = "post_attention_norm"

    def read(self, keys: Hyperparameters) -> None:
        """The heads of the delta rule, and which layers attend; layers for drafts are not run."""
        layers = self.shape.layers - keys.count("nextn_predict_layers", 0, least=0, most=MAX_LAYERS)
        if layers < 1:
            keys.refuse("as many layers for drafts as there are in all")
        self.shape = replace(self.shape, layers=layers)
        self.period = keys.count("full_attention_interval", 4, most=MAX_LAYERS + 1)
        self.taps = keys.count("ssm.conv_kernel", least=2, most=MAX_TAPS)
        heads = keys.count("ssm.time_step_rank", most=MAX_HEADS)
        key_heads = keys.count("ssm.group_count", most=MAX_HEADS)
        key_dim = keys.count("ssm.state_size", most=MAX_HEAD_DIM)
        inner = keys.count("ssm.inner_size", most=MAX_WIDTH)
        if inner % heads != 0 or heads % key_heads != 0 or inner // heads > MAX_HEAD_DIM:
            keys.refuse(f"{inner} numbers over {heads} value and {key_heads} key heads")
        self.delta = DeltaHeads(heads, key_heads, key_dim, inner // heads)

    def attention(self, g: Graph, h: Value, i: int) -> Value:
        """Attention whose output goes through a gate, or the delta rule."""
        if (i + 1) % self.period != 0:
            return self.recall(g, h, i)
        heads = self.shape.heads
        both, k, v = g.linear(h, *(f"blk.{i}.attn_{part}" for part in ("q", "k", "v")))
        q, gate = split_heads(g, both, heads.heads)
        q = g.rms_norm(q, f"blk.{i}.attn_q_norm", heads=heads.heads)
        k = g.rms_norm(k, f"blk.{i}.attn_k_norm", heads=heads.kv_heads)
        a = g.glu(gate, self.attend(g, q, k, v, i), "sigmoid")
        (out,) = g.linear(a, f"blk.{i}.attn_output")
        return out

    def recall(self, g: Graph, h: Value, i: int) -> Value:
        """The delta rule over convolved queries, keys and values; normed by head, gated."""
        roles = ("attn_qkv", "attn_gate", "ssm_alpha", "ssm_beta")
        qkv, gate, alpha, beta = g.linear(h, *(f"blk.{i}.{role}" for role in roles))
        qkv = short_conv(g, qkv, f"blk.{i}.ssm_conv1d", taps=self.taps, silu=True)
        rate, shift = f"blk.{i}.ssm_a", f"blk.{i}.ssm_dt.bias"
        o = delta_rule(g, qkv, alpha, beta, rate=rate, shift=shift, heads=self.delta)
        o = g.glu(gate, g.rms_norm(o, f"blk.{i}.ssm_norm", heads=self.delta.heads))
        (out,) = g.linear(o, f"blk.{i}.ssm_out")
        return out

    def rows(self) -> dict[str, int]:
        """Queries with their gates, and what the delta rule has."""
        rows, delta = super().rows(), self.delta
        return rows | {
            "attn_q": 2 * rows["attn_q"], "attn_qkv": delta.width,
            "attn_gate": delta.heads * delta.value_dim, "ssm_alpha": delta.heads,
            "ssm_beta": delta.heads, "ssm_out": self.shape.width,
        }  # fmt: skip
