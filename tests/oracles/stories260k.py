# SPDX-License-Identifier: MIT
"""Converts the stories260K checkpoint (llama2.c legacy format) to GGUF.

The checkpoint is seven int32 (dim, hidden, layers, heads, kv heads, vocabulary, context) and the
weights layer by layer within each kind. Its q and k rows already turn neighbouring pairs, as GGUF
wants them. The tokenizer file is a maximum length, then (score, length, bytes) per token.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gristmill.gguf import Writer
from shapes import Shape
from vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, Vocabulary

TEXT = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball."
)


def _read_tokenizer(path: Path, size: int) -> Vocabulary:
    data = path.read_bytes()
    offset, tokens, scores = 4, [], []
    for _ in range(size):
        score, length = struct.unpack_from("<fi", data, offset)
        offset += 8
        tokens.append(data[offset : offset + length].decode().replace(" ", "\u2581"))
        scores.append(score)
        offset += length
    tokens[:3] = ["<unk>", "<s>", "</s>"]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (size - 259)
    assert tokens[3] == "<0x00>"
    assert tokens[258] == "<0xFF>"
    special = {"bos": 1, "eos": 2, "unknown": 0}
    return Vocabulary("llama", "", tokens, types, scores=scores, special=special)


def _weights(shape: Shape, data: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Tensors by GGUF name; reads the file front to back."""
    position = 0

    def take(*dims: int) -> NDArray[np.float32]:
        nonlocal position
        count = int(np.prod(dims))
        position += count
        return data[position - count : position].reshape(dims)

    kv = shape.kv_heads * shape.head_size
    found = {"token_embd.weight": take(shape.vocab, shape.dim)}
    per_layer = [
        ("attn_norm", (shape.dim,)),
        ("attn_q", (shape.dim, shape.dim)),
        ("attn_k", (kv, shape.dim)),
        ("attn_v", (kv, shape.dim)),
        ("attn_output", (shape.dim, shape.dim)),
        ("ffn_norm", (shape.dim,)),
        ("ffn_gate", (shape.ffn, shape.dim)),
        ("ffn_down", (shape.dim, shape.ffn)),
        ("ffn_up", (shape.ffn, shape.dim)),
    ]
    for kind, dims in per_layer:
        for i, layer in enumerate(take(shape.layers, *dims)):
            found[f"blk.{i}.{kind}.weight"] = layer
    found["output_norm.weight"] = take(shape.dim)
    take(2, shape.context, shape.head_size // 2)  # RoPE tables, which we compute
    assert position == data.size
    return found


def convert(folder: Path, target: Path, type_name: str) -> Path:
    """Writes the model with F32 or F16 matrices.

    Args:
        folder: holds stories260K.bin and tok512.bin.
        target: the GGUF file to write.
        type_name: "F32" or "F16".
    """
    from make_model import add_metadata, add_vocabulary

    raw = (folder / "stories260K.bin").read_bytes()
    dim, ffn, layers, heads, kv_heads, vocab, context = struct.unpack_from("<7i", raw)
    shape = Shape(dim, ffn, layers, heads, kv_heads, vocab, context, tied=True)
    weights = _weights(shape, np.frombuffer(raw, dtype=np.float32, offset=28))
    with Writer(target) as writer:
        add_metadata(writer, shape, "stories260K", {"F32": 0, "F16": 1}[type_name])
        add_vocabulary(writer, _read_tokenizer(folder / "tok512.bin", vocab))
        for name, weight in weights.items():
            writer.add_tensor(name, weight, type_name if weight.ndim == 2 else "F32")
    return target
