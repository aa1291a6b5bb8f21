# SPDX-License-Identifier: MIT
"""The tiny random models that goldens and live comparisons share.

Shapes are odd on purpose: head counts that are no power of two, heads of 12 or 24 values, row
counts that are no multiple of the panel height, tied and untied outputs, RoPE factors.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gristmill.gguf import File
from make_model import random_model
from shapes import Shape

# F32 weights: any row length goes.
TINY: dict[str, Shape] = {
    "mha": Shape(dim=64, ffn=160, layers=2, heads=4, kv_heads=4, vocab=403, context=256),
    "gqa": Shape(dim=72, ffn=200, layers=3, heads=6, kv_heads=2, vocab=397, context=256),
    "wide-heads": Shape(
        dim=80, ffn=120, layers=2, heads=5, kv_heads=1, vocab=360, context=256, head_dim=24,
        tied=True, eps=1e-6,
    ),
    "rope-factors": Shape(
        dim=64, ffn=96, layers=2, heads=4, kv_heads=2, vocab=390, context=512, rope_freqs=True,
        rope_base=500000.0, tied=True,
    ),
}  # fmt: skip

# Max |logit difference| with F32 weights: in all, where our F16 KV cache is most of it, and behind
# an oracle that rounds keys and values to F16 too, where a value on a tie may still round apart.
TOLERANCE = 2e-3
TOLERANCE_F16_CACHE = 1e-3

# Rows of 256 and 512 values: every block format fits.
BLOCKS = Shape(dim=256, ffn=512, layers=3, heads=8, kv_heads=2, vocab=421, context=256)

TOKENS = np.array(
    [1, 300, 17, 259, 260, 301, 3, 90, 258, 355, 1, 42, 299, 310, 311, 288, 77, 5, 280, 333, 262],
    dtype=np.int32,
)


def write_tiny(folder: Path, name: str) -> Path:
    """Writes TINY[name] with F32 weights; its logits have a deviation of a half."""
    path = folder / f"{name}.gguf"
    random_model(path, TINY[name], "F32", seed=11, name=name, gain=0.5)
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file's tensors, in hexadecimal."""
    file = File(path)
    sha = hashlib.sha256()
    for name in file.tensors:
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(file.data(name)))
    return sha.hexdigest()


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def kl_divergence(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """Mean KL(reference || logits) over rows [T, V], in nats."""
    p, q = _log_softmax(reference), _log_softmax(logits)
    return float((np.exp(p) * (p - q)).sum(-1).mean())
