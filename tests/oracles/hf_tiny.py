# SPDX-License-Identifier: MIT
"""Tiny random models of transformers, one or more per architecture, converted to GGUF.

Shapes are odd where a GGUF file allows it, windows are shorter than the tests' sequences, caps are
low and scales far from 1, so that leaving any of them out shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.convert import convert

VOCAB = 317
COUNT = 64  # tokens of a comparison

_SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attn_implementation": "eager",
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
_LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + 0.1 * i for i in range(8)],
    "long_factor": [1.5 + 0.7 * i for i in range(8)],
}
WINDOW = 24


@dataclass(frozen=True)
class TinyCase:
    """A class of transformers and what its configuration says besides _SHAPE."""

    architecture: str  # in the file
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    context: int = 128  # of the session

    def config(self) -> Any:
        """The configuration."""
        import transformers

        cls = getattr(transformers, self.model).config_class
        return cls(**{**_SHAPE, **self.options})


CASES = {
    "llama-linear": TinyCase(
        "llama", "LlamaForCausalLM",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    ),
    "llama-llama3": TinyCase(
        "llama", "LlamaForCausalLM",
        {"rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        }},
    ),
    "llama-yarn": TinyCase("llama", "LlamaForCausalLM", {"rope_parameters": _YARN}),
    "mistral": TinyCase("llama", "MistralForCausalLM", {"sliding_window": WINDOW, "head_dim": 24}),
    "mistral3": TinyCase(
        "mistral3", "Ministral3ForCausalLM",
        {"head_dim": 32, "rope_parameters": {
            **_YARN, "original_max_position_embeddings": 16, "mscale": 1.0, "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.3,
        }},
    ),
    "mixtral": TinyCase(
        "llama", "MixtralForCausalLM", {"num_local_experts": 6, "num_experts_per_tok": 2},
    ),
    "qwen3moe": TinyCase("qwen3moe", "Qwen3MoeForCausalLM", {
        "head_dim": 24, "num_experts": 9, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
        "norm_topk_prob": True}),
    "qwen3moe-plain": TinyCase("qwen3moe", "Qwen3MoeForCausalLM", {
        "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
        "norm_topk_prob": False}),
    "qwen2moe": TinyCase("qwen2moe", "Qwen2MoeForCausalLM", {
        "num_experts": 6, "num_experts_per_tok": 4, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 40, "norm_topk_prob": False}),
    "granitemoe": TinyCase("granitemoe", "GraniteMoeForCausalLM", {
        "num_local_experts": 8, "num_experts_per_tok": 3, "embedding_multiplier": 3.0,
        "residual_multiplier": 0.4, "attention_multiplier": 0.1, "logits_scaling": 0.8}),
    "granitemoe-shared": TinyCase("granitemoe", "GraniteMoeSharedForCausalLM", {
        "num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 48,
        "embedding_multiplier": 2.0, "residual_multiplier": 0.6}),
    "olmoe": TinyCase("olmoe", "OlmoeForCausalLM", {
        "num_experts": 8, "num_experts_per_tok": 3, "intermediate_size": 48}),
    "gpt-oss": TinyCase("gpt-oss", "GptOssForCausalLM", {
        "num_local_experts": 6, "num_experts_per_tok": 3, "head_dim": 24, "sliding_window": WINDOW,
        "rope_parameters": {**_YARN, "truncate": False}}),
    "qwen2": TinyCase("qwen2", "Qwen2ForCausalLM", {"tie_word_embeddings": True}),
    "qwen2-window": TinyCase(
        "qwen2", "Qwen2ForCausalLM",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": TinyCase("qwen3", "Qwen3ForCausalLM", {"head_dim": 24}),
    "gemma": TinyCase("gemma", "GemmaForCausalLM", {"head_dim": 24}),
    "gemma2": TinyCase(
        "gemma2", "Gemma2ForCausalLM",
        {"head_dim": 24, "sliding_window": WINDOW, "attn_logit_softcapping": 1.5,
         "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 24},
    ),
    "gemma3": TinyCase(
        "gemma3", "Gemma3ForCausalLM",
        {"head_dim": 24, "sliding_window": WINDOW, "num_hidden_layers": 6,
         "query_pre_attn_scalar": 24,
         "rope_parameters": {
             "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
         }},
    ),
    "phi3": TinyCase("phi3", "Phi3ForCausalLM", {"sliding_window": WINDOW}),
    "phi3-short": TinyCase("phi3", "Phi3ForCausalLM", {
        "rope_parameters": _LONG, "original_max_position_embeddings": 128}),
    "phi3-long": TinyCase("phi3", "Phi3ForCausalLM", {
        "rope_parameters": _LONG, "original_max_position_embeddings": 48}),
    "phi3-partial": TinyCase("phi3", "Phi3ForCausalLM", {
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}}),
    "smollm3": TinyCase("smollm3", "SmolLM3ForCausalLM", {"num_hidden_layers": 4}),
    "granite": TinyCase(
        "granite", "GraniteForCausalLM",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.1,
         "logits_scaling": 0.8},
    ),
    "olmo2": TinyCase("olmo2", "Olmo2ForCausalLM"),
    "olmo3": TinyCase(
        "olmo2", "Olmo3ForCausalLM",
        {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW,
         "rope_parameters": {
            "full_attention": _YARN,
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        }},
    ),
    "lfm2": TinyCase("lfm2", "Lfm2ForCausalLM", {
        "num_hidden_layers": 4, "layer_types": ["conv", "full_attention", "conv", "conv"],
        "block_multiple_of": 32, "conv_L_cache": 3, "norm_eps": 1e-5}),
    "lfm2-wide": TinyCase("lfm2", "Lfm2ForCausalLM", {
        "num_hidden_layers": 3, "layer_types": ["full_attention", "conv", "full_attention"],
        "block_auto_adjust_ff_dim": False, "conv_L_cache": 4, "tie_word_embeddings": False}),
    "qwen35": TinyCase("qwen35", "Qwen3_5ForCausalLM", {
        "num_hidden_layers": 4, "head_dim": 32, "linear_key_head_dim": 20,
        "linear_value_head_dim": 24, "linear_num_key_heads": 2, "linear_num_value_heads": 4}),
    "glm4": TinyCase("glm4", "Glm4ForCausalLM", {"head_dim": 24, "attention_bias": True}),
}  # fmt: skip


def random_weights(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    tied: bool,
    gemma: bool,
    centred: bool = False,
    seed: int = 3,
) -> dict[str, NDArray[np.float32]]:
    """Weights of a checkpoint by name: norms and biases are random too.

    Norms lie around 1, or around 0 where the model adds 1 to them (`gemma`, `centred`). Scores
    spread by 2, so that positions, windows and caps matter; what the halves add is a little smaller
    than the residual; logits spread by a half. States of the delta rule last for dozens of tokens.
    """
    random = np.random.default_rng(seed)
    embedding = 0.5 * shapes["model.embed_tokens.weight"][1] ** -0.5 if tied else 0.5
    residual = 0.5 if gemma else embedding
    weights = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape)
        kind = name.split(".")[-2]
        if name.endswith("bias"):
            values *= 0.5
        elif kind == "embed_tokens":
            values *= embedding
        elif kind in {"q_proj", "k_proj", "qkv_proj"} and len(shape) == 2:
            values *= 1.4 * shape[1] ** -0.5
        elif kind in {"o_proj", "down_proj", "out_proj", "w2", "output_linear"}:
            values *= 0.7 * residual * shape[-1] ** -0.5
        elif len(shape) == 3 and shape[1] == 1:  # of a convolution
            values *= shape[2] ** -0.5
        elif name.endswith(("A_log", "dt_bias")):
            values = values * 0.5 - 2
        elif len(shape) > 1:
            values *= (0.5 if kind == "lm_head" else 1.0) * shape[-1] ** -0.5
        else:
            shifted = gemma or (centred and "linear_attn" not in name)
            low = kind.startswith("post_") and not centred
            values = values / 8 + (0.5 if low else 1.0) - shifted
        weights[name] = values.astype(np.float32)
    return weights


def tiny_model(name: str, folder: Path) -> Any:
    """The model of a case, loaded from a checkpoint with random weights that `folder` gets."""
    import torch
    import transformers

    case = CASES[name]
    cls = getattr(transformers, case.model)
    cls(case.config()).save_pretrained(folder)
    config = (folder / "config.json").read_text(encoding="utf-8")
    save_checkpoint(folder, config, weights_of(name, config, stored_shapes(folder)))
    return cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def weights_of(
    name: str, config: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[np.float32]]:
    """The weights of a case."""
    tied = json.loads(config).get("tie_word_embeddings", False)
    gemma = CASES[name].architecture.startswith("gemma")
    centred = CASES[name].architecture == "qwen35"
    return random_weights(shapes, tied=tied, gemma=gemma, centred=centred)


def convert_folder(folder: Path, kind: str = "f32") -> Path:
    """Converts a checkpoint, to which a little tokenizer is added."""
    texts = [*map(chr, range(33, 127)), "th"]
    bpe = {"type": "BPE", "vocab": {t: i for i, t in enumerate(texts)}, "merges": [["t", "h"]]}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False}
    tokenizer = {"model": bpe, "pre_tokenizer": byte_level, "decoder": byte_level}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    out = folder / f"{kind}.gguf"
    convert(folder, out, kind, pre="gpt-2")
    return out


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in model.safetensors."""
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    return {n: tuple(header[n]["shape"]) for n in sorted(header) if n != "__metadata__"}


def save_checkpoint(folder: Path, config: str, weights: Mapping[str, NDArray[Any]]) -> None:
    """A checkpoint without torch: config.json as given, and the weights."""
    header, end = {}, 0
    for name, values in weights.items():
        header[name] = {
            "dtype": "U8" if values.dtype == np.uint8 else "F32",
            "shape": values.shape,
            "data_offsets": [end, end := end + values.nbytes],
        }
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in weights.values():
            file.write(values.tobytes())
    (folder / "config.json").write_text(config)
