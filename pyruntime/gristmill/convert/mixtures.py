# SPDX-License-Identifier: MIT
"""What mixtures of experts add to the tables of families.py: names, keys, and what no key says."""

from __future__ import annotations

from .scheme import block, count, maybe_count, require, table

EXPERTS = block(
    {
        "mlp.gate": "ffn_gate_inp",
        "mlp.experts.{e}.gate_proj": "ffn_gate_exps",
        "mlp.experts.{e}.up_proj": "ffn_up_exps",
        "mlp.experts.{e}.down_proj": "ffn_down_exps",
        "mlp.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"),
        "mlp.experts.down_proj": "ffn_down_exps",
    }
)
SHARED_EXPERT = block(
    {
        "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
        "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
        "mlp.shared_expert.up_proj": "ffn_up_shexp",
        "mlp.shared_expert.down_proj": "ffn_down_shexp",
    }
)
GRANITE_MIXTURE = block(
    {
        "block_sparse_moe.router.layer": "ffn_gate_inp",
        "block_sparse_moe.input_linear": ("ffn_gate_exps", "ffn_up_exps"),
        "block_sparse_moe.output_linear": "ffn_down_exps",
        "shared_mlp.input_linear": ("ffn_gate_shexp", "ffn_up_shexp"),
        "shared_mlp.output_linear": "ffn_down_shexp",
    }
)
GPT_OSS = block(
    {
        "post_attention_layernorm": "post_attention_norm",
        "self_attn.sinks": "attn_sinks",
        "mlp.router": "ffn_gate_inp",
    }
)
MIXTRAL = block(
    {
        "block_sparse_moe.gate": "ffn_gate_inp",
        "block_sparse_moe.experts.{e}.w1": "ffn_gate_exps",
        "block_sparse_moe.experts.{e}.w2": "ffn_down_exps",
        "block_sparse_moe.experts.{e}.w3": "ffn_up_exps",
    }
)

MIXTURE = table(
    {
        "expert_count": count("num_local_experts"),
        "expert_used_count": count("num_experts_per_tok"),
    }
)
FINE_MIXTURE = table(
    {
        "expert_count": count("num_experts", "num_local_experts"),
        "expert_used_count": count("num_experts_per_tok"),
        "expert_feed_forward_length": count("moe_intermediate_size"),
        "expert_weights_norm": lambda config: config.flag("norm_topk_prob", False),
    }
)
PLAIN_MIXTURE = table(
    {
        "expert_count": count("num_experts"),
        "expert_used_count": count("num_experts_per_tok"),
        "expert_weights_norm": lambda config: config.flag("norm_topk_prob", False),
    }
)
EXPERT_LENGTH = table({"expert_feed_forward_length": count("intermediate_size")})
SHARED_MIXTURE = table(
    {"expert_shared_feed_forward_length": count("shared_expert_intermediate_size")}
)
GRANITE_SHARED = table(
    {"expert_shared_feed_forward_length": maybe_count("shared_intermediate_size")}
)

EVERY_LAYER = require(
    "Every layer must have experts (decoder_sparse_step, mlp_only_layers): no key says which have.",
    lambda config: (
        config.count("decoder_sparse_step", default=1) == 1 and not config.raw("mlp_only_layers")
    ),
)
NO_CLIP = require(
    "Queries, keys and values must not be clipped (clip_qkv): there is no operation for it.",
    lambda config: config.raw("clip_qkv") is None,
)
CLAMPS = require(
    "Gates must be clamped at 7 and go through 1.702 (swiglu_limit, swiglu_alpha): no key says so.",
    lambda config: (
        config.real("swiglu_limit", default=7.0) == 7.0
        and config.real("swiglu_alpha", default=1.702) == 1.702
    ),
)
YARN_BORDERS = require(
    "YaRN must not round its borders to pairs (truncate): no key says so.",
    lambda config: (
        config.rope().get("truncate", True) is False or config.rope().get("rope_type") != "yarn"
    ),
)
