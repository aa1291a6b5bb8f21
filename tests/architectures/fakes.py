# SPDX-License-Identifier: MIT
"""A model file made of two dicts: what a plan is built from, with no bytes behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FakeTensor:
    """An entry of the tensor table."""

    shape: tuple[int, ...]
    type: str = "F32"


@dataclass(frozen=True)
class FakeFile:
    """Metadata and tensors."""

    metadata: dict[str, Any]
    tensors: dict[str, FakeTensor]


def llama_file(layers: int = 2, tied: bool = False) -> FakeFile:
    """Dim 64, 4 heads over 2 KV heads of 16, ffn 96, vocabulary 70."""
    keys = {
        "block_count": layers,
        "context_length": 256,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    metadata: dict[str, Any] = {"general.architecture": "llama"}
    metadata |= {f"llama.{key}": value for key, value in keys.items()}
    metadata["tokenizer.ggml.tokens"] = [str(i) for i in range(70)]
    shapes = {"token_embd": (70, 64), "output_norm": (64,)}
    for i in range(layers):
        block = {
            "attn_norm": (64,),
            "attn_q": (64, 64),
            "attn_k": (32, 64),
            "attn_v": (32, 64),
            "attn_output": (64, 64),
            "ffn_norm": (64,),
            "ffn_gate": (96, 64),
            "ffn_up": (96, 64),
            "ffn_down": (64, 96),
        }
        shapes |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    if not tied:
        shapes["output"] = (70, 64)
    return FakeFile(metadata, {f"{name}.weight": FakeTensor(s) for name, s in shapes.items()})
