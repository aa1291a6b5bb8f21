# SPDX-License-Identifier: MIT
"""Tiny checkpoints written by hand: safetensors, config.json and a tokenizer, without torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_NAMES = {
    "float32": "F32", "float16": "F16", "uint16": "BF16", "float64": "F64", "int32": "I32",
    "uint8": "U8",
}  # fmt: skip
DATA = Path(__file__).resolve().parents[1] / "data" / "tokenizer"

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000,
    "hidden_act": "silu",
    "vocab_size": 520,
    "tie_word_embeddings": False,
}


def header(tensors: Mapping[str, Array]) -> dict[str, Any]:
    """The header of these tensors, one behind the other."""
    entries, at = {}, 0
    for name, array in tensors.items():
        entries[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    return entries


def write_safetensors(path: Path, tensors: Mapping[str, Array]) -> Path:
    """One file. Arrays of uint16 are the bits of BF16."""
    text = json.dumps({"__metadata__": {"format": "pt"}, **header(tensors)}).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())
    return path


def bf16(values: Array) -> Array:
    """The upper halves of float32 values."""
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def from_bf16(bits: Array) -> Array:
    """Their values."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def llama_tensors(config: Mapping[str, Any], seed: int = 0) -> dict[str, Array]:
    """Random weights of a Llama."""
    rng = np.random.default_rng(seed)
    width, ffn = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", width // config["num_attention_heads"])
    q, kv = head * config["num_attention_heads"], head * config["num_key_value_heads"]

    def make(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32) / 8

    tensors = {"model.embed_tokens.weight": make(config["vocab_size"], width)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        tensors |= {
            layer + "input_layernorm.weight": make(width) + 1,
            layer + "self_attn.q_proj.weight": make(q, width),
            layer + "self_attn.k_proj.weight": make(kv, width),
            layer + "self_attn.v_proj.weight": make(kv, width),
            layer + "self_attn.o_proj.weight": make(width, q),
            layer + "post_attention_layernorm.weight": make(width) + 1,
            layer + "mlp.gate_proj.weight": make(ffn, width),
            layer + "mlp.up_proj.weight": make(ffn, width),
            layer + "mlp.down_proj.weight": make(width, ffn),
        }
    tensors["model.norm.weight"] = make(width) + 1
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = make(config["vocab_size"], width)
    return tensors


def write_model(
    folder: Path,
    config: Mapping[str, Any] = LLAMA,
    tensors: Mapping[str, Array] | None = None,
    tokenizer: str = "bytelevel.json",
) -> Path:
    """A model folder.

    Args:
        folder: made if it is missing.
        config: config.json.
        tensors: by name; None: those of a Llama.
        tokenizer: a file of tests/data/tokenizer, copied under the name it has in models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = llama_tensors(config) if tensors is None else tensors
    write_safetensors(folder / "model.safetensors", weights)
    name = "tokenizer.json" if tokenizer.endswith(".json") else "tokenizer.model"
    shutil.copyfile(DATA / tokenizer, folder / name)
    return folder


def write_json(path: Path, value: Any) -> None:
    """A JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
