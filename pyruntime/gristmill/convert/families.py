# SPDX-License-Identifier: MIT
"""The architectures that can be converted: one table each, of what differs from the usual decoder.

Names and keys are those that llama.cpp's own files have; tests compare every one with the `gguf`
package. Where a file of llama.cpp leaves out what its loader assumes (Gemma's attention scale), the
key is written only if the model differs from that.
"""

from __future__ import annotations

import functools
import math

from .config import Config
from .encoders import ENCODERS, rank
from .gpt_oss import expert_tensors
from .mixtures import (
    CLAMPS,
    EVERY_LAYER,
    EXPERT_LENGTH,
    EXPERTS,
    FINE_MIXTURE,
    GPT_OSS,
    GRANITE_MIXTURE,
    GRANITE_SHARED,
    MIXTRAL,
    MIXTURE,
    NO_CLIP,
    PLAIN_MIXTURE,
    SHARED_EXPERT,
    SHARED_MIXTURE,
    YARN_BORDERS,
)
from .rope import half_rope, llama3_factors, long_factors, long_keys, rope, rope_keys, rope_real
from .scheme import (
    Keys,
    Scheme,
    block,
    count,
    maybe_count,
    maybe_real,
    merged,
    real,
    require,
    sliding,
    table,
)

# -- names --------------------------------------------------------------------------------------

ATTENTION = block(
    {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
    }
)
QK_NORM = block({"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"})
GATED = block({"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"})
NO_GATED = dict.fromkeys(GATED)
DECODER = merged(
    {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"},
    ATTENTION,
    GATED,
    block({"post_attention_layernorm": "ffn_norm"}),
)
SANDWICH = merged(  # a norm before and one behind each half
    DECODER,
    block(
        {
            "post_attention_layernorm": "post_attention_norm",
            "pre_feedforward_layernorm": "ffn_norm",
            "post_feedforward_layernorm": "post_ffw_norm",
        }
    ),
)
POST_NORM = merged(
    DECODER,
    QK_NORM,
    block(
        {
            "input_layernorm": None,
            "post_attention_layernorm": "post_attention_norm",
            "post_feedforward_layernorm": "post_ffw_norm",
        }
    ),
)
FUSED_UP = merged(
    DECODER, NO_GATED, block({"mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down"})
)
FUSED = merged(
    FUSED_UP,
    block(
        {
            "self_attn.q_proj": None,
            "self_attn.k_proj": None,
            "self_attn.v_proj": None,
            "self_attn.qkv_proj": "attn_qkv",
        }
    ),
)
GLM = merged(
    FUSED_UP,
    block(
        {
            "post_self_attn_layernorm": "post_attention_norm",
            "post_mlp_layernorm": "post_ffw_norm",
        }
    ),
)

# -- keys ---------------------------------------------------------------------------------------

DENSE = table(
    {
        "context_length": count("max_position_embeddings"),
        "embedding_length": count("hidden_size"),
        "block_count": lambda config: config.layers,
        "feed_forward_length": count("intermediate_size"),
        "attention.head_count": count("num_attention_heads"),
        "attention.head_count_kv": lambda config: config.kv_heads,
        "attention.key_length": lambda config: config.head_dim,
        "attention.value_length": lambda config: config.head_dim,
        "attention.layer_norm_rms_epsilon": real("rms_norm_eps"),
    }
)
WINDOW = table({"attention.sliding_window": maybe_count("sliding_window")})
MULTIPLIERS = table(
    {
        "attention.scale": maybe_real("attention_multiplier"),
        "embedding_scale": maybe_real("embedding_multiplier"),
        "residual_scale": maybe_real("residual_multiplier"),
        "logit_scale": maybe_real("logits_scaling"),
    }
)
SOFT_CAPS = table(
    {
        "attn_logit_softcapping": maybe_real("attn_logit_softcapping"),
        "final_logit_softcapping": maybe_real("final_logit_softcapping"),
    }
)
TEMPERATURE = table(
    {
        "attention.temperature_scale": rope_real("llama_4_scaling_beta"),
        "rope.scaling.yarn_log_multiplier": rope_real("mscale_all_dim"),
    }
)


def query_scale(config: Config) -> dict[str, float]:
    """attention.scale where it is not one over the root of a head's length."""
    scalar = config.real("query_pre_attn_scalar", default=float(config.head_dim))
    return {} if scalar == config.head_dim else {"attention.scale": 1.0 / math.sqrt(scalar)}


def two_bases(config: Config) -> dict[str, float]:
    """RoPE of Gemma 3: its base on global layers, and the one on layers with a window."""
    local = config.rope("sliding_attention")["rope_theta"]
    return rope_keys(config) | {"rope.freq_base_swa": config.number("rope_local_base_freq", local)}


def layer_windows(config: Config) -> dict[str, object]:
    """Windows of Qwen, if they are switched on: on the layers from max_window_layers."""
    if not config.flag("use_sliding_window", False):
        return {}
    layers = config.layers
    first = config.count("max_window_layers", default=0)
    stated = [kind == "sliding_attention" for kind in config.layer_types()]
    pattern = stated or [i >= first for i in range(layers)]
    if not any(pattern):
        return {}
    return {
        "attention.sliding_window": config.count("sliding_window"),
        "attention.sliding_window_pattern": pattern,
    }


def fused_window(config: Config) -> dict[str, int]:
    """The window of Phi-3; 0 tells a model without one from files that forgot it."""
    return {"attention.sliding_window": config.count("sliding_window", default=0)}


# -- what a file cannot say -----------------------------------------------------------------------


def _every_fourth_without_rope(config: Config) -> bool:
    stated = config.raw("no_rope_layers")
    layers = config.layers
    usual = [int((i + 1) % 4 != 0) for i in range(layers)]
    return stated is None or stated == usual


NOPE = require("Every fourth layer must go without RoPE: no key says another pattern.",
               _every_fourth_without_rope)  # fmt: skip
ONE_WINDOW = require(
    "Windows must be switched off (use_sliding_window): no key says which layers have one.",
    lambda config: not config.flag("use_sliding_window", False),
)

BOTH_WAYS = require(
    "Tokens must see each other both ways (use_bidirectional_attention).",
    lambda config: config.flag("use_bidirectional_attention", False),
)

PAIRS = frozenset(("attn_q", "attn_k"))
LLAMA_KEYS: tuple[Keys, ...] = (DENSE, rope, WINDOW)

Gemma = functools.partial(Scheme, norm_shift=1.0, activation="gelu_pytorch_tanh", tied=True)
# Published files of Gemma 3 leave out what is as in transformers' Gemma3TextConfig.
GEMMA3 = {
    "max_position_embeddings": 131072,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-6,
    "sliding_window": 4096,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
}

SCHEMES = (
    Scheme(
        "llama", ("LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM"),
        DECODER, LLAMA_KEYS, (llama3_factors,), PAIRS,
    ),
    Scheme(
        "llama", ("MixtralForCausalLM",),
        merged(DECODER, NO_GATED, MIXTRAL), (*LLAMA_KEYS, MIXTURE), (llama3_factors,), PAIRS,
    ),
    Scheme(
        "mistral3", ("Mistral3ForConditionalGeneration", "Ministral3ForCausalLM"),
        DECODER, (*LLAMA_KEYS, TEMPERATURE), (llama3_factors,), PAIRS,
    ),
    Scheme("qwen2", ("Qwen2ForCausalLM",), DECODER, (DENSE, rope, layer_windows)),
    Scheme(
        "qwen2moe", ("Qwen2MoeForCausalLM",),
        merged(DECODER, NO_GATED, EXPERTS, SHARED_EXPERT),
        (DENSE, rope, layer_windows, FINE_MIXTURE, SHARED_MIXTURE), checks=(EVERY_LAYER,),
    ),
    Scheme(
        "qwen3", ("Qwen3ForCausalLM", "Qwen3Model"),
        merged(DECODER, QK_NORM), (DENSE, rope, layer_windows), says_yes=True,
    ),
    Scheme(
        "qwen3", ("Qwen3ForSequenceClassification",),
        merged(DECODER, QK_NORM, {"score": "cls.output"}), (DENSE, rope, layer_windows, rank),
    ),
    Scheme(
        "qwen3moe", ("Qwen3MoeForCausalLM",),
        merged(DECODER, NO_GATED, QK_NORM, EXPERTS), (DENSE, rope, layer_windows, FINE_MIXTURE),
        checks=(EVERY_LAYER,),
    ),
    Gemma("gemma", ("GemmaForCausalLM",), DECODER, (DENSE, rope)),
    Gemma(
        "gemma2", ("Gemma2ForCausalLM",),
        SANDWICH, (DENSE, rope, sliding(2), SOFT_CAPS, query_scale),
    ),
    Gemma(
        "gemma3", ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        merged(SANDWICH, QK_NORM), (DENSE, two_bases, sliding(6), SOFT_CAPS, query_scale),
        defaults=GEMMA3,
    ),
    Gemma(
        "gemma-embedding", ("Gemma3TextModel",),
        merged(SANDWICH, QK_NORM), (DENSE, two_bases, sliding(6), query_scale), defaults=GEMMA3,
        checks=(BOTH_WAYS,),
    ),
    Scheme(
        "phi3", ("Phi3ForCausalLM",),
        FUSED, (DENSE, rope, long_keys, fused_window), (long_factors,),
    ),
    Scheme(
        "smollm3", ("SmolLM3ForCausalLM",),
        DECODER, (DENSE, rope), (llama3_factors,), PAIRS, tied=True, checks=(NOPE, ONE_WINDOW),
    ),
    Scheme(
        "granite", ("GraniteForCausalLM",),
        DECODER, (DENSE, rope, MULTIPLIERS), (llama3_factors,), PAIRS,
    ),
    Scheme(
        "granitemoe", ("GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"),
        merged(DECODER, NO_GATED, GRANITE_MIXTURE),
        (DENSE, rope, MULTIPLIERS, MIXTURE, GRANITE_SHARED), (llama3_factors,), PAIRS,
    ),
    Scheme(
        "olmoe", ("OlmoeForCausalLM",),
        merged(DECODER, NO_GATED, QK_NORM, EXPERTS), (DENSE, rope, PLAIN_MIXTURE),
        checks=(NO_CLIP,),
    ),
    Scheme(
        "gpt-oss", ("GptOssForCausalLM",),
        merged(DECODER, NO_GATED, GPT_OSS), (DENSE, rope, sliding(2), MIXTURE, EXPERT_LENGTH),
        checks=(CLAMPS, YARN_BORDERS), special=expert_tensors, quantized="mxfp4",
    ),
    Scheme(
        "olmo2", ("Olmo2ForCausalLM", "Olmo3ForCausalLM"),
        POST_NORM, (DENSE, rope, sliding(4, always=True)),
    ),
    Scheme("glm4", ("Glm4ForCausalLM",), GLM, (DENSE, half_rope)),
    *ENCODERS,
)  # fmt: skip
