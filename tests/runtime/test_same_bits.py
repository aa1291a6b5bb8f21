# SPDX-License-Identifier: MIT
"""The numerics contract, end to end: one hash of all logits.

Whatever the kernel level, the number of threads and the batch split, a model gives the same bits,
with every type of KV cache:
the bundled one, a random Q4_K_M model with odd head counts, rows that are no multiple of the
panel height, and columns that are no whole super-blocks, a tiny one of every file type, and one
that mixes all tensor types.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest

from gristmill import Model, _core
from gristmill.kv import KV_TYPES, KvType, checked
from gristmill.quantize.recipe import FILE_TYPES
from make_model import matrices, random_model
from shapes import Shape

# 15 heads of 64 values: attn_output has 960 columns, which falls back to Q5_0.
ODD = Shape(
    dim=1024, ffn=2816, layers=4, heads=15, kv_heads=5, vocab=1003, context=1024, head_dim=64
)
TINY = Shape(dim=256, ffn=512, layers=2, heads=4, kv_heads=2, vocab=403, context=128)
ISAS = _core.available_isas()
# Tokens. Small batches take long, so between SHORT and DEEP none is smaller than 64; after DEEP,
# where attention has three chunks, they are small again. The scalar level stops at SHORT.
SHORT, DEEP, LONG = 72, 570, 600
SPLITS = (1, 7, 64, 512)


@pytest.fixture(scope="module")
def odd_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model."""
    path = tmp_path_factory.mktemp("same_bits") / "odd.gguf"
    random_model(path, ODD, "Q4_K_M", seed=1)
    return path


def _digests(
    path: Path, isa: str, threads: int, split: int, count: int, *, kv: KvType = "f16"
) -> tuple[str, str]:
    """SHA-256 of the logits of the first SHORT tokens, and of all of them."""
    model = Model.load(path, isa=isa, threads=threads)
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, model.vocab_size, LONG).tolist()[:count]
    session = model.session(context=LONG, all_logits=True, kv=kv)
    sha, short, done = hashlib.sha256(), "", 0
    while done < count:
        # A cut at SHORT in every split, so that short and long runs can be compared.
        end = next(mark for mark in (SHORT, DEEP, LONG) if done < mark)
        size = min(max(split, 64) if end == DEEP else split, end - done, count - done)
        session.append(tokens[done : done + size])
        logits = np.array(session.logits())
        assert np.isfinite(logits).all()
        sha.update(logits.tobytes())
        done += size
        if done == SHORT:
            short = sha.hexdigest()
    return short, sha.hexdigest()


def _check(path: Path, kv: KvType) -> str:
    seen: dict[tuple[str, str, int, int], str] = {}
    for isa, threads, split in product(ISAS, (1, 2, 3), SPLITS):
        long = isa != "scalar"
        short, whole = _digests(path, isa, threads, split, LONG if long else SHORT, kv=kv)
        seen["short", isa, threads, split] = short
        if long:
            seen["long", isa, threads, split] = whole
    for length in ("short", "long"):
        found = {key: digest for key, digest in seen.items() if key[0] == length}
        assert len(set(found.values())) <= 1, found
    assert len({split for _, _, _, split in seen}) == len(SPLITS)
    return next(iter(seen.values()))


@pytest.mark.slow
@pytest.mark.parametrize("kv", KV_TYPES)
def test_random_model(odd_model: Path, kv: str) -> None:
    _check(odd_model, checked(kv))


@pytest.mark.slow
def test_bundled_model(bundled_model: Path) -> None:
    digests = {kv: _check(bundled_model, checked(kv)) for kv in KV_TYPES}
    assert len(set(digests.values())) == len(KV_TYPES), "the types differ from each other"


@pytest.mark.parametrize("file_type", sorted(FILE_TYPES))
def test_every_file_type(file_type: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    random_model(path, TINY, file_type, seed=4)
    found = {
        (isa, threads, split): _digests(path, isa, threads, split, SHORT)
        for isa, threads, split in product(ISAS, (1, 3), (1, 7, 64))
        if isa != "scalar" or (threads, split) == (1, 64)
    }
    assert len(set(found.values())) == 1, found


def test_every_tensor_type_in_one_file(tmp_path: Path) -> None:
    """As mixes that choose a type for each tensor: 28 matrices, the output and the embedding."""
    path = tmp_path / "mix.gguf"
    shape = replace(TINY, layers=4)
    weights = [name.removesuffix(".weight") for name, *_ in matrices(shape)]
    types = sorted(t for t, *_, status in _core.tensor_types() if status == "supported")
    assert len(types) <= len(weights)
    random_model(path, shape, dict(zip(weights, cycle(types), strict=False)), seed=5)
    found = {
        (isa, threads, split): _digests(path, isa, threads, split, SHORT)
        for isa, threads, split in product(ISAS, (1, 3), (1, 7, 64))
        if isa != "scalar" or (threads, split) == (1, 64)
    }
    assert len(set(found.values())) == 1, found


def test_the_hash_can_differ(odd_model: Path) -> None:
    """Another token, another hash: the comparison above compares something."""
    isa = ISAS[-1]
    assert _digests(odd_model, isa, 2, 64, SHORT) != _digests(odd_model, isa, 2, 64, SHORT - 1)
