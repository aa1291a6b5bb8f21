# SPDX-License-Identifier: MIT
"""Small random Llama files, written by the gguf package, and a forward pass in NumPy float64.

Neither shares a line with what it tests: the file comes from another writer, the products from
dequantized weights of another dequantizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gguf

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tiny:
    """Hyperparameters; the defaults make rows that are no multiple of 16 and odd sizes."""

    dim: int = 64
    ffn: int = 96
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    vocab: int = 70
    head_dim: int = 16
    context: int = 256
    freq_base: float = 10000.0
    rope_factor: float = 1.0
    n_rot: int | None = None
    window: int = 0
    tied: bool = False
    factors: bool = False
    weights: str = "F32"
    down: str | None = None  # type of ffn_down and attn_v, if another
    norms: str = "F32"
    scaled: bool = False  # matrices of the blocks have factors of their own, as NVFP4 files do
    seed: int = 1


def write(path: Path, shape: Tiny) -> Path:
    """Writes the file."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.freq_base)
    writer.add_rope_dimension_count(shape.n_rot or shape.head_dim)
    writer.add_vocab_size(shape.vocab)
    if shape.rope_factor != 1:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape.rope_factor)
    if shape.window:
        writer.add_sliding_window(shape.window)
    rng = np.random.default_rng(shape.seed)
    for name, dims in tensor_shapes(shape).items():
        values = rng.standard_normal(dims).astype(np.float32)
        norm = name.endswith("norm.weight")
        if norm:
            values = 1 + values / 4
        elif name == "rope_freqs.weight":
            values = np.linspace(1, 6, dims[0], dtype=np.float32)
        elif name != "token_embd.weight":
            values *= np.float32(dims[1] ** -0.5)
        kind = gguf.GGMLQuantizationType[_type_of(name, shape)]
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        if shape.scaled and name.startswith("blk.") and not norm:
            factor = rng.uniform(0.5, 2, 1).astype(np.float32)
            writer.add_tensor(name.replace(".weight", ".scale"), factor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensor_shapes(shape: Tiny) -> dict[str, tuple[int, ...]]:
    """Name -> dimensions, rows first."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    out: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.vocab, shape.dim)}
    for i in range(shape.layers):
        block = {
            "attn_norm": (shape.dim,),
            "attn_q": (q, shape.dim),
            "attn_k": (kv, shape.dim),
            "attn_v": (kv, shape.dim),
            "attn_output": (shape.dim, q),
            "ffn_norm": (shape.dim,),
            "ffn_gate": (shape.ffn, shape.dim),
            "ffn_up": (shape.ffn, shape.dim),
            "ffn_down": (shape.dim, shape.ffn),
        }
        out |= {f"blk.{i}.{name}.weight": dims for name, dims in block.items()}
    out["output_norm.weight"] = (shape.dim,)
    if not shape.tied:
        out["output.weight"] = (shape.vocab, shape.dim)
    if shape.factors:
        out["rope_freqs.weight"] = ((shape.n_rot or shape.head_dim) // 2,)
    return out


def _type_of(name: str, shape: Tiny) -> str:
    if name.endswith("norm.weight"):
        return shape.norms
    if name == "rope_freqs.weight":
        return "F32"
    other = "ffn_down" in name or "attn_v" in name
    return shape.down if other and shape.down else shape.weights


def read(path: Path) -> dict[str, Array]:
    """Dequantized weights by name, multiplied by their factors."""
    tensors = gguf.GGUFReader(path).tensors
    found = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
             for t in tensors}  # fmt: skip
    for name in [name for name in found if name.endswith(".scale")]:
        found[name.replace(".scale", ".weight")] *= found.pop(name)
    return found


def forward(weights: dict[str, Array], shape: Tiny, tokens: NDArray[np.int32]) -> Array:
    """Logits [T, V] of a whole sequence. Keys and values pass through f16, as in the cache."""
    x = weights["token_embd.weight"][tokens]
    for i in range(shape.layers):
        w = {n: weights.get(f"blk.{i}.{n}.weight") for n in _BLOCK}
        h = _norm(x, w["attn_norm"])
        q, k, v = (_split(h @ w[n].T, shape) for n in ("attn_q", "attn_k", "attn_v"))
        q, k = _rope(q, shape, weights), _rope(k, shape, weights)
        x = x + _attend(q, k, v, shape) @ w["attn_output"].T
        h = _norm(x, w["ffn_norm"])
        gate, up = h @ w["ffn_gate"].T, h @ w["ffn_up"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w["ffn_down"].T
    output = weights["token_embd.weight" if shape.tied else "output.weight"]
    return _norm(x, weights["output_norm.weight"]) @ output.T


_BLOCK = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
          "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")  # fmt: skip


def _norm(x: Array, weight: Array) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def _split(x: Array, shape: Tiny) -> Array:
    return x.reshape(len(x), -1, shape.head_dim).transpose(1, 0, 2)  # [heads, T, D]


def _rope(x: Array, shape: Tiny, weights: dict[str, Array]) -> Array:
    n_rot = shape.n_rot or shape.head_dim
    pairs = np.arange(n_rot // 2)
    frequency = shape.freq_base ** (-2.0 * pairs / n_rot) / shape.rope_factor
    frequency = frequency / weights.get("rope_freqs.weight", 1.0)
    angle = np.arange(x.shape[1])[:, None] * frequency
    a, b = x[..., 0:n_rot:2], x[..., 1:n_rot:2]
    out = x.copy()
    out[..., 0:n_rot:2] = a * np.cos(angle) - b * np.sin(angle)
    out[..., 1:n_rot:2] = a * np.sin(angle) + b * np.cos(angle)
    return out


def _attend(q: Array, k: Array, v: Array, shape: Tiny) -> Array:
    k, v = (np.repeat(m.astype(np.float16).astype(np.float64), len(q) // len(k), 0)
            for m in (k, v))  # fmt: skip
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(shape.head_dim)
    t = np.arange(q.shape[1])
    hidden = t[None, :] > t[:, None]
    if shape.window:
        hidden |= t[None, :] <= t[:, None] - shape.window
    scores = np.where(hidden, -np.inf, scores)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return (p @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)
