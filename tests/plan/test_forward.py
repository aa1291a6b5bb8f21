# SPDX-License-Identifier: MIT
"""Logits: against float64, and the same bits for any threads, batch split and kernel level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_llama import Tiny, forward, read

from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.gguf import File
from gristmill.quantize.recipe import FILE_TYPES
from make_model import random_model
from shapes import Shape

MakeFile = Callable[[Tiny], Path]
BIG = Tiny(dim=256, ffn=512, heads=6, kv_heads=3, head_dim=32, vocab=333, layers=2, context=1024,
           weights="Q8_0")  # fmt: skip


def load(path: Path, threads: int = 2, isa: str = "") -> _core.Model:
    file = File(path)
    return _core.Model(file.core, build_plan(file).to_dict(), threads, isa)


def tokens_of(shape: Tiny, count: int) -> NDArray[np.int32]:
    return np.random.default_rng(5).integers(0, shape.vocab, count).astype(np.int32)


def all_logits(
    model: _core.Model, tokens: NDArray[np.int32], splits: Sequence[int]
) -> NDArray[np.float32]:
    """Logits [T, V] of every token, fed in batches of the given sizes."""
    session = _core.Session(model, len(tokens), max(splits), all_logits=True)
    rows = []
    start = 0
    for size in splits:
        session.forward(tokens[start : start + size])
        rows.append(session.logits().copy())
        start += size
    assert start == session.position == len(tokens)
    return np.concatenate(rows)


def splits_of(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


@pytest.mark.parametrize(
    "shape",
    [
        Tiny(),
        Tiny(tied=True, factors=True, freq_base=500000.0),
        Tiny(heads=6, kv_heads=2, head_dim=12, layers=3, n_rot=8),
        Tiny(heads=5, kv_heads=1, head_dim=8, rope_factor=4.0),
        Tiny(window=9),
        Tiny(norms="F16"),
        Tiny(head_dim=128, heads=2, kv_heads=2),
        Tiny(scaled=True),
    ],
    ids=[
        "plain",
        "tied-factors",
        "gqa-partial-rope",
        "mqa-linear",
        "window",
        "f16-norms",
        "wide",
        "scaled",
    ],
)
def test_f32_weights_agree_with_float64(tiny: MakeFile, shape: Tiny) -> None:
    path = tiny(shape)
    tokens = tokens_of(shape, 40)
    got = all_logits(load(path), tokens, [40])
    expected = forward(read(path), shape, tokens)
    assert np.abs(got - expected).max() < 2e-3


def test_more_than_one_attention_chunk(tiny: MakeFile) -> None:
    """Positions beyond 256 are reduced in chunks, beyond 64 in pages."""
    shape = Tiny(context=1024)
    tokens = tokens_of(shape, 600)
    got = all_logits(load(tiny(shape)), tokens, splits_of(600, 128))
    expected = forward(read(tiny(shape)), shape, tokens)
    assert np.abs(got - expected).max() < 2e-3


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q4_0", "Q5_1", "Q4_1"])
def test_quantized_weights_agree_loosely(tiny: MakeFile, kind: str) -> None:
    """Activations are INT8 (or exact for F16, BF16): errors are a small part of the logits."""
    shape = Tiny(dim=256, ffn=512, head_dim=32, heads=8, kv_heads=4, vocab=500, weights=kind)
    path = tiny(shape)
    tokens = tokens_of(shape, 33)
    got = all_logits(load(path), tokens, [33])
    expected = forward(read(path), shape, tokens)
    error = np.sqrt(((got - expected) ** 2).mean()) / expected.std()
    assert error < (1e-3 if kind in {"F16", "BF16"} else 0.03)


# The gguf package cannot read the two youngest; kernels_test looks at each of their weights.
@pytest.mark.parametrize("file_type", sorted(set(FILE_TYPES) - {"Q1_0", "Q2_0"}))
def test_every_file_type_agrees_loosely(tmp_path: Path, file_type: str) -> None:
    """Every block format in every place, without an encoder: the blocks are random."""
    shape = Tiny(dim=256, ffn=512, head_dim=32, heads=8, kv_heads=2, vocab=403)
    path = tmp_path / "blocks.gguf"
    sizes = Shape(dim=256, ffn=512, layers=2, heads=8, kv_heads=2, vocab=403, context=256)
    random_model(path, sizes, file_type, seed=6)
    tokens = tokens_of(shape, 25)
    got = all_logits(load(path), tokens, [25])
    expected = forward(read(path), shape, tokens)
    error = np.sqrt(((got - expected) ** 2).mean()) / expected.std()
    assert error < (1e-3 if file_type in {"F32", "F16", "BF16"} else 0.05)


def test_a_group_of_mixed_formats(tiny: MakeFile) -> None:
    """q and k are Q8_0, v is F16: one norm writes two kinds of activations."""
    shape = Tiny(dim=256, ffn=512, head_dim=32, heads=8, weights="Q8_0", down="F16")
    path = tiny(shape)
    tokens = tokens_of(shape, 20)
    got = all_logits(load(path), tokens, [20])
    expected = forward(read(path), shape, tokens)
    assert np.sqrt(((got - expected) ** 2).mean()) / expected.std() < 0.03


@pytest.mark.parametrize("shape", [Tiny(), BIG, Tiny(window=20, context=1024)])
def test_same_bits_for_any_threads_split_and_level(tiny: MakeFile, shape: Tiny) -> None:
    tokens = tokens_of(shape, 150)
    path = tiny(shape)
    reference = all_logits(load(path, 1), tokens, [150])
    assert np.isfinite(reference).all()
    for isa in _core.available_isas():
        for threads in (1, 2, 3):
            model = load(path, threads, isa)
            for size in (1, 7, 64, 150):
                got = all_logits(model, tokens, splits_of(150, size))
                assert got.tobytes() == reference.tobytes(), (isa, threads, size)


def test_truncate_and_continue_gives_the_same_bits(tiny: MakeFile) -> None:
    tokens = tokens_of(BIG, 100)
    model = load(tiny(BIG))
    session = _core.Session(model, 128)
    session.forward(tokens[:60])
    session.forward(np.full(40, 3, np.int32))
    session.truncate(60)
    assert session.position == 60
    session.forward(tokens[60:])
    fresh = _core.Session(model, 128)
    fresh.forward(tokens)
    assert session.logits().tobytes() == fresh.logits().tobytes()


def test_only_the_last_row_without_all_logits(tiny: MakeFile) -> None:
    tokens = tokens_of(BIG, 70)
    model = load(tiny(BIG))
    session = _core.Session(model, 100)
    session.forward(tokens)
    assert session.logits().shape == (1, BIG.vocab)
    every = all_logits(model, tokens, [70])
    assert session.logits().tobytes() == every[-1:].tobytes()
