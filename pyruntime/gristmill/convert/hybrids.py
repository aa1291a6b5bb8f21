# SPDX-License-Identifier: MIT
"""Tables of models whose layers differ: attention in some, recurrence in the others.

As families.py, which has the tables of all others.
"""

from __future__ import annotations

from typing import Any

from gristmill.errors import FormatError

from .config import Config
from .families import ATTENTION, DECODER, DENSE, QK_NORM
from .rope import rope, rope_keys
from .scheme import Scheme, Tiling, block, count, merged, real, require, table

# -- LFM 2 ----------------------------------------------------------------------------------------

LFM2 = merged(
    {
        "model.embed_tokens": "token_embd",
        "model.embedding_norm": "token_embd_norm",
        "lm_head": "output",
    },
    ATTENTION,
    block(
        {
            "input_layernorm": None,
            "operator_norm": "attn_norm",
            "self_attn.o_proj": None,
            "self_attn.out_proj": "attn_output",
            "self_attn.q_layernorm": "attn_q_norm",
            "self_attn.k_layernorm": "attn_k_norm",
            "conv.in_proj": "shortconv.in_proj",
            "conv.conv": "shortconv.conv",
            "conv.out_proj": "shortconv.out_proj",
            "feed_forward.w1": "ffn_gate",
            "feed_forward.w2": "ffn_down",
            "feed_forward.w3": "ffn_up",
            "ffn_norm": "ffn_norm",
        }
    ),
)


def lfm2_layers(config: Config) -> tuple[str, ...]:
    """The kinds of the layers; older configurations list those that attend."""
    stated = config.layer_types()
    if stated:
        return stated
    attend = config.raw("full_attn_idxs")
    if attend is None:
        return ("full_attention",) * config.layers
    if not isinstance(attend, list):
        raise FormatError(f"[{config.where}] The key 'full_attn_idxs' must be a list of layers.")
    return tuple("full_attention" if i in attend else "conv" for i in range(config.layers))


def lfm2_ffn(config: Config) -> dict[str, int]:
    """Rows of a gate: as stated, or two thirds of that, rounded up."""
    width = config.count("block_ff_dim", "intermediate_size")
    if config.flag("block_auto_adjust_ff_dim", True):
        factor = config.real("block_ffn_dim_multiplier", default=1.0)
        multiple = max(config.count("block_multiple_of", default=256), 1)
        width = -(-int(factor * int(2 * width / 3)) // multiple) * multiple
    return {"feed_forward_length": width}


def lfm2_heads(config: Config) -> dict[str, Any]:
    """KV heads by layer: none where it convolves."""
    heads = config.kv_heads
    attends = (kind != "conv" for kind in lfm2_layers(config))
    return {"attention.head_count_kv": [heads if attend else 0 for attend in attends]}


LFM2_KEYS = table(
    {
        "context_length": count("max_position_embeddings"),
        "embedding_length": count("hidden_size"),
        "block_count": lambda config: config.layers,
        "attention.head_count": count("num_attention_heads"),
        "attention.layer_norm_rms_epsilon": real("norm_eps", "block_norm_eps"),
        "shortconv.l_cache": count("conv_L_cache"),
    }
)

# -- Qwen 3.5 -------------------------------------------------------------------------------------

QWEN35 = merged(
    DECODER,
    QK_NORM,
    block(
        {
            "post_attention_layernorm": "post_attention_norm",
            "linear_attn.in_proj_qkv": "attn_qkv",
            "linear_attn.in_proj_z": "attn_gate",
            "linear_attn.in_proj_a": "ssm_alpha",
            "linear_attn.in_proj_b": "ssm_beta",
            "linear_attn.conv1d": "ssm_conv1d",
            "linear_attn.A_log": "ssm_a",
            "linear_attn.dt_bias": "ssm_dt.bias",
            "linear_attn.norm": "ssm_norm",
            "linear_attn.out_proj": "ssm_out",
        }
    ),
)
QWEN35_ROTATED = 0.25  # of a head, where the configuration says nothing
QWEN35_SECTIONS = [11, 11, 10]


def delta_tilings(config: Config) -> dict[str, Tiling]:
    """Value heads that share a key head follow each other in a checkpoint, not in a file."""
    groups, heads = (
        config.count("linear_num_key_heads"),
        config.count("linear_num_value_heads"),
    )
    if groups == 0 or heads % groups != 0:
        raise FormatError(
            f"[{config.where}] Value heads must be a multiple of the key heads. "
            f"Got {heads} and {groups}."
        )
    if heads == groups:
        return {}
    width, each = config.count("linear_value_head_dim"), heads // groups
    keys = 2 * groups * config.count("linear_key_head_dim")
    one = Tiling(groups, each, 1)
    return {
        "attn_qkv": Tiling(groups, each, width, keys),
        "ssm_conv1d": Tiling(groups, each, width, keys),
        "attn_gate": Tiling(groups, each, width),
        "ssm_out": Tiling(groups, each, width, columns=True),
        "ssm_alpha": one,
        "ssm_beta": one,
        "ssm_a": one,
        "ssm_dt": one,
    }


def qwen35_layers(config: Config) -> tuple[str, ...]:
    """The kinds of the layers: all but each fourth, or as stated."""
    period = config.count("full_attention_interval", default=4)
    usual = (period and (i + 1) % period == 0 for i in range(config.layers))
    return config.layer_types() or tuple(
        "full_attention" if full else "linear_attention" for full in usual
    )


def attention_interval(config: Config) -> int:
    """One in so many layers attends, the last of each group."""
    kinds = qwen35_layers(config)
    return kinds.index("full_attention") + 1 if "full_attention" in kinds else len(kinds) + 1


def _regular(config: Config) -> bool:
    period = attention_interval(config)
    return all(
        (kind == "full_attention") == ((i + 1) % period == 0)
        for i, kind in enumerate(qwen35_layers(config))
    )


def qwen35_keys(config: Config) -> dict[str, Any]:
    """The linear layers in the words of state space models, as the file's other readers want."""
    sections = config.rope().get("mrope_section", QWEN35_SECTIONS)
    if not isinstance(sections, list) or len(sections) > 4:
        raise FormatError(f"[{config.where}] 'mrope_section' must be a list of up to 4 numbers.")
    numbers = [int(config.number("mrope_section", value)) for value in sections]
    heads = config.count("linear_num_value_heads")
    return {
        **rope_keys(config, share=QWEN35_ROTATED),
        "rope.dimension_sections": numbers + [0] * (4 - len(numbers)),
        "full_attention_interval": attention_interval(config),
        "ssm.conv_kernel": config.count("linear_conv_kernel_dim"),
        "ssm.state_size": config.count("linear_key_head_dim"),
        "ssm.group_count": config.count("linear_num_key_heads"),
        "ssm.time_step_rank": heads,
        "ssm.inner_size": heads * config.count("linear_value_head_dim"),
    }


REGULAR = require("Attention must be in the last of each group of layers: no key says which.",
                  _regular)  # fmt: skip

SCHEMES = (
    Scheme(
        "lfm2", ("Lfm2ForCausalLM", "LFM2ForCausalLM"),
        LFM2, (LFM2_KEYS, lfm2_ffn, lfm2_heads, rope), tied=True, kinds=lfm2_layers,
        defaults={"rope_theta": 1e6}, needed=("token_embd.weight", "token_embd_norm.weight"),
    ),
    Scheme(
        "qwen35", ("Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"),
        QWEN35, (DENSE, qwen35_keys), norm_shift=1.0, plain_norms=frozenset(("ssm_norm",)),
        bare=frozenset(("ssm_a", "ssm_dt.bias")), negative_exp=frozenset(("ssm_a",)),
        tilings=delta_tilings, kinds=qwen35_layers, checks=(REGULAR,),
    ),
)  # fmt: skip
