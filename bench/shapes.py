# SPDX-License-Identifier: MIT
"""Public model shapes, as their published configurations give them.

A shape is everything that decides speed and memory: sizes, head counts, vocabulary, RoPE. Weights
are someone else's file or random (make_model.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recurrence:
    """Of layers that do not attend: short convolutions, or the gated delta rule if there are heads.

    Attributes:
        attends: numbers of the layers with attention; the delta rule wants the last of each group.
        taps: rows that a convolution sees.
        key_heads, heads, key_dim, value_dim: of the delta rule.
    """

    attends: tuple[int, ...]
    taps: int
    key_heads: int = 0
    heads: int = 0
    key_dim: int = 0
    value_dim: int = 0


@dataclass(frozen=True)
class Shape:
    """A decoder of the LLaMA family, or Qwen 2 (biases on q, k, v), or Qwen 3 MoE (norms on q, k).

    Attributes:
        dim, ffn, layers, heads, kv_heads: sizes; dim need not be heads * head_dim.
        vocab: number of tokens.
        context: trained context, in tokens.
        head_dim: values per head; 0 means dim / heads.
        rope_base: RoPE frequency base.
        rope_freqs: writes the LLaMA 3.1+ frequency factors.
        eps: RMSNorm epsilon.
        tied: the output matrix is the token embedding.
        experts: of a layer; 0: it is dense.
        experts_used: by a token.
        expert_ffn: rows of an expert's gate.
        architecture: `general.architecture`.
        tokenizer: "llama" (SentencePiece) or the pre-tokenizer of a byte-level BPE.
        recurrence: of a hybrid; None: all layers attend.
    """

    dim: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    context: int
    head_dim: int = 0
    rope_base: float = 10000.0
    rope_freqs: bool = False
    eps: float = 1e-5
    tied: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_ffn: int = 0
    architecture: str = "llama"
    tokenizer: str = "llama"
    recurrence: Recurrence | None = None

    @property
    def head_size(self) -> int:
        """Values per head."""
        return self.head_dim or self.dim // self.heads

    @property
    def qkv_bias(self) -> bool:
        """Whether q, k and v have biases."""
        return self.architecture == "qwen2"

    @property
    def qk_norm(self) -> bool:
        """Whether the heads of q and k are normed."""
        return self.architecture == "qwen3moe"


_LLAMA3 = Shape(
    dim=4096, ffn=14336, layers=32, heads=32, kv_heads=8, vocab=128256, context=8192,
    rope_base=500000.0, tokenizer="llama-bpe",
)  # fmt: skip
_LLAMA2 = Shape(
    dim=4096, ffn=11008, layers=32, heads=32, kv_heads=32, vocab=32000, context=4096
)  # fmt: skip
_QWEN25 = Shape(
    dim=896, ffn=4864, layers=24, heads=14, kv_heads=2, vocab=151936, context=32768,
    rope_base=1000000.0, eps=1e-6, tied=True, architecture="qwen2", tokenizer="qwen2",
)  # fmt: skip
_SMOLLM2 = Shape(
    dim=576, ffn=1536, layers=30, heads=9, kv_heads=3, vocab=49152, context=8192,
    rope_base=100000.0, tied=True, tokenizer="smollm",
)  # fmt: skip
# No published model: 3.3 billion weights, of which a token uses 0.6.
_MIXTURE = Shape(
    dim=1536, ffn=6144, layers=20, heads=16, kv_heads=4, vocab=65536, context=32768, head_dim=128,
    rope_base=1000000.0, eps=1e-6, tied=True, experts=64, experts_used=8, expert_ffn=512,
    architecture="qwen3moe", tokenizer="qwen2",
)  # fmt: skip
_LFM2 = Shape(
    dim=2048, ffn=8192, layers=16, heads=32, kv_heads=8, vocab=65536, context=128000,
    rope_base=1000000.0, tied=True, architecture="lfm2", tokenizer="llama-bpe",
    recurrence=Recurrence((2, 5, 8, 10, 12, 14), taps=3),
)  # fmt: skip
_QWEN35 = Shape(
    dim=1024, ffn=3584, layers=24, heads=8, kv_heads=2, vocab=248320, context=262144, head_dim=256,
    rope_base=1e7, eps=1e-6, tied=True, architecture="qwen35", tokenizer="qwen2",
    recurrence=Recurrence(
        tuple(range(3, 24, 4)), taps=4, key_heads=16, heads=16, key_dim=128, value_dim=128
    ),
)  # fmt: skip

SHAPES: dict[str, Shape] = {
    "tinyllama-1.1b": replace(_LLAMA2, dim=2048, ffn=5632, layers=22, kv_heads=4, context=2048),
    "llama2-7b": _LLAMA2,
    "llama2-13b": replace(_LLAMA2, dim=5120, ffn=13824, layers=40, heads=40, kv_heads=40),
    "llama3-8b": _LLAMA3,
    "llama3.1-8b": replace(_LLAMA3, context=131072, rope_freqs=True),
    "llama3.2-1b": replace(
        _LLAMA3, dim=2048, ffn=8192, layers=16, context=131072, rope_freqs=True, tied=True
    ),
    "llama3.2-3b": replace(
        _LLAMA3, dim=3072, ffn=8192, layers=28, heads=24, context=131072, rope_freqs=True, tied=True
    ),
    "mistral-7b": replace(_LLAMA2, ffn=14336, kv_heads=8, context=32768),
    "qwen2.5-0.5b": _QWEN25,
    "qwen2.5-1.5b": replace(_QWEN25, dim=1536, ffn=8960, layers=28, heads=12),
    "qwen2.5-3b": replace(_QWEN25, dim=2048, ffn=11008, layers=36, heads=16),
    "qwen2.5-7b": replace(
        _QWEN25, dim=3584, ffn=18944, layers=28, heads=28, kv_heads=4, vocab=152064, tied=False
    ),
    "moe-3b-a0.6b": _MIXTURE,
    "lfm2-1.2b": _LFM2,
    "qwen3.5-0.8b": _QWEN35,
    "smollm2-135m": _SMOLLM2,
    "smollm2-360m": replace(_SMOLLM2, dim=960, ffn=2560, layers=32, heads=15, kv_heads=5),
}
