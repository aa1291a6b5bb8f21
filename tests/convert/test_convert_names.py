# SPDX-License-Identifier: MIT
"""Names and keys of every scheme are those of the gguf package."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import gguf
from gristmill import FormatError, UnsupportedError
from gristmill.convert.config import Config
from gristmill.convert.rope import llama3_factors, long_factors
from gristmill.convert.scheme import Scheme
from gristmill.convert.schemes import BY_CLASS, SCHEMES

IDS = [scheme.classes[0] for scheme in SCHEMES]
ARCHITECTURES = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
CLASSIFIERS = ("pooler.dense", "classifier", "classifier.dense", "classifier.out_proj", "score")
# A configuration with everything that any scheme reads.
FULL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "layer_norm_eps": 1e-12,
    "local_attention": 16,
    "id2label": {"0": "LABEL_0"},
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 48,
    "shared_intermediate_size": 48,
    "sliding_window": 16,
    "use_sliding_window": True,
    "max_window_layers": 3,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "query_pre_attn_scalar": 144,
    "attention_multiplier": 0.5,
    "embedding_multiplier": 12,
    "residual_multiplier": 0.2,
    "logits_scaling": 8,
    "rope_local_base_freq": 1e4,
    "norm_eps": 1e-5,
    "conv_L_cache": 3,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"] * 3,
    "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "beta_fast": 32, "beta_slow": 1,
        "original_max_position_embeddings": 32, "attention_factor": 1.1, "mscale_all_dim": 1.0,
        "extrapolation_factor": 1.0, "llama_4_scaling_beta": 0.1, "long_factor": [2.0] * 8,
        "short_factor": [1.0] * 8,
    },
}  # fmt: skip


def known_keys() -> set[str]:
    """Every key of the package's table, without the architecture."""
    found: set[str] = set()

    def collect(table: Any) -> None:
        for name, value in vars(table).items():
            if isinstance(value, str) and not name.startswith("_"):
                found.add(value.removeprefix("{arch}."))
            elif isinstance(value, type):
                collect(value)

    collect(gguf.constants.Keys)
    return found


@pytest.mark.parametrize("scheme", SCHEMES, ids=IDS)
def test_tensor_names(scheme: Scheme) -> None:
    arch = ARCHITECTURES[scheme.architecture]
    names = gguf.TensorNameMap(arch, 2)
    allowed = {gguf.TENSOR_NAMES[kind].format(bid=1) for kind in gguf.MODEL_TENSORS[arch]}
    for source, target in scheme.tensors.items():
        stem = source.replace("{i}", "1").replace(".{e}", "")
        targets = (target,) if isinstance(target, str) else target
        ours = {name.replace("{i}", "1").removesuffix(".bias") for name in targets}
        stem = stem.replace(".dt_bias", ".dt_proj")  # the package renames it beforehand
        assert ours <= allowed | {"output", "cls.output"}
        if "experts." in source and ".w" in source:  # the package renames these beforehand
            kind = {"w1": "gate", "w2": "down", "w3": "up"}[source[-2:]]
            stem = f"model.layers.1.mlp.experts.{kind}_proj"
        if source.endswith(("experts.gate_up_proj", ".input_linear")):
            continue  # cut in two before it gets a name
        if stem == "lm_head" and "output" not in allowed:
            continue  # the package takes it for always tied
        if stem in CLASSIFIERS:
            continue  # the package knows them by the names of other classes
        assert {names.get_name(stem)} == ours, source


@pytest.mark.parametrize("scheme", SCHEMES, ids=IDS)
def test_keys(scheme: Scheme) -> None:
    config = Config({**scheme.defaults, **FULL})
    keys = {name: value for read in scheme.keys for name, value in read(config).items()}
    assert set(keys) <= known_keys()
    encoder = {"block_count", "attention.causal", "attention.layer_norm_epsilon"}
    decoder = {"block_count", "attention.head_count_kv", "rope.freq_base"}
    assert (encoder if "attention.causal" in keys else decoder) <= set(keys)
    tensors = {name for make in scheme.generated for name in make(config)}
    allowed = {gguf.TENSOR_NAMES[k] for k in gguf.MODEL_TENSORS[ARCHITECTURES[scheme.architecture]]}
    assert {name.removesuffix(".weight") for name in tensors} <= allowed


def keys_of(name: str, **changes: Any) -> dict[str, Any]:
    scheme = BY_CLASS[name]
    values = {k: v for k, v in ({**scheme.defaults, **FULL} | changes).items() if v is not None}
    return {k: v for read in scheme.keys for k, v in read(Config(values)).items()}


def test_windows_and_their_patterns() -> None:
    types = {"layer_types": None}
    gemma2 = keys_of("Gemma2ForCausalLM", **types)
    assert gemma2["attention.sliding_window"] == 16
    assert "attention.sliding_window_pattern" not in gemma2  # what its readers assume
    odd = keys_of("Gemma2ForCausalLM")["attention.sliding_window_pattern"]
    assert odd == [True, False, False] * 2 + [True, False]
    every = keys_of("Gemma3ForCausalLM", sliding_window_pattern=4, **types)
    assert every["attention.sliding_window_pattern"] == [True, True, True, False] * 2
    assert "attention.sliding_window_pattern" not in keys_of("Gemma3ForCausalLM", **types)
    olmo = keys_of("Olmo3ForCausalLM", **types)
    assert olmo["attention.sliding_window_pattern"] == [True, True, True, False] * 2
    assert "attention.sliding_window" not in keys_of("Olmo2ForCausalLM", sliding_window=None)
    assert "attention.sliding_window" not in keys_of("Qwen2ForCausalLM", use_sliding_window=False)
    qwen = keys_of("Qwen2ForCausalLM", **types)
    assert qwen["attention.sliding_window_pattern"] == [False] * 3 + [True] * 5
    assert keys_of("Phi3ForCausalLM", sliding_window=None)["attention.sliding_window"] == 0
    assert keys_of("MistralForCausalLM")["attention.sliding_window"] == 16


def test_gemma_scales_and_bases() -> None:
    keys = keys_of("Gemma3ForCausalLM", rope_parameters={
        "full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
    })  # fmt: skip
    assert (keys["rope.freq_base"], keys["rope.freq_base_swa"]) == (1e6, 2e4)
    assert (keys["rope.scaling.type"], keys["rope.scaling.factor"]) == ("linear", 8.0)
    old = {"rope_parameters": None, "rope_theta": 5e5, "rope_scaling": None}
    keys = keys_of("Gemma3ForCausalLM", **old)
    assert (keys["rope.freq_base"], keys["rope.freq_base_swa"]) == (5e5, 1e4)
    assert keys["attention.scale"] == 1 / 12
    same = keys_of("Gemma2ForCausalLM", query_pre_attn_scalar=16)
    assert "attention.scale" not in same  # one over the root of the head's length, 16


def test_smollm3_patterns_that_no_key_says() -> None:
    scheme = BY_CLASS["SmolLM3ForCausalLM"]
    usual = {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]}
    for check in scheme.checks:
        check(Config(usual))
    with pytest.raises(UnsupportedError, match="RoPE"):
        scheme.checks[0](Config(usual | {"no_rope_layers": [1, 1, 0, 1]}))
    with pytest.raises(UnsupportedError, match="use_sliding_window"):
        scheme.checks[1](Config(usual | {"use_sliding_window": True}))


def test_glm4_rotates_half_of_a_head() -> None:
    assert keys_of("Glm4ForCausalLM")["rope.dimension_count"] == 8
    part = {"rope_parameters": {"partial_rotary_factor": 0.25}}
    assert keys_of("Glm4ForCausalLM", **part)["rope.dimension_count"] == 4


def test_multimodal_configurations_keep_their_text_part() -> None:
    config = Config({
        "architectures": ["Gemma3ForConditionalGeneration"],
        "hidden_size": 1,
        "text_config": {"hidden_size": 64},
    })  # fmt: skip
    assert config.count("hidden_size") == 64
    assert config.architectures == ("Gemma3ForConditionalGeneration",)


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip


def test_llama3_factors_of_a_published_model() -> None:
    """Of Llama 3.1 8B: the first frequencies stay, the last are divided by 8."""
    config = Config(FULL | {"head_dim": 128, "rope_parameters": LLAMA3})
    factors = llama3_factors(config)["rope_freqs.weight"]
    assert factors.shape == (64,)
    assert (factors[:29] == 1).all()
    assert (factors[35:] == 8).all()
    assert (np.diff(factors) >= 0).all()
    assert llama3_factors(Config(FULL)) == {}
    for key in ("factor", "low_freq_factor"):
        broken = {name: value for name, value in LLAMA3.items() if name != key}
        with pytest.raises(FormatError, match=key):
            llama3_factors(Config(FULL | {"rope_parameters": broken}))


def test_long_factors_need_one_per_pair() -> None:
    rope = FULL["rope_parameters"] | {"rope_type": "longrope"}
    tensors = long_factors(Config(FULL | {"rope_parameters": rope}))
    assert set(tensors) == {"rope_factors_long.weight", "rope_factors_short.weight"}
    with pytest.raises(FormatError, match="8 of them"):
        long_factors(Config(FULL | {"rope_parameters": rope | {"short_factor": [1.0] * 7}}))
    keys = keys_of("Phi3ForCausalLM", rope_parameters={**rope, "attention_factor": None})
    assert keys["rope.scaling.original_context_length"] == 32
    assert keys["rope.scaling.attn_factor"] == pytest.approx((1 + np.log(4) / np.log(32)) ** 0.5)


def test_every_class_has_one_scheme() -> None:
    classes = [name for scheme in SCHEMES for name in scheme.classes]
    assert len(set(classes)) == len(classes) == len(BY_CLASS)
    for scheme in SCHEMES:
        heads = {re.sub(r"^blk\.\{i\}\.", "", str(t)) for t in scheme.tensors.values()}
        assert scheme.rotary <= heads
