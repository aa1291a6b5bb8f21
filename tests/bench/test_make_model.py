# SPDX-License-Identifier: MIT
"""The random-model writer: files that other readers accept, the type mixes that people download."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gguf
from blocks import FILLERS, GEOMETRY, random_blocks, row_bytes
from gristmill import Model, _core
from gristmill.gguf import File
from gristmill.quantize.recipe import FILE_TYPES, tensor_type, use_more_bits
from make_model import main, matrices, random_model, rope_factors, tensors
from shapes import SHAPES, Shape
from vocabulary import vocabulary

TINY = Shape(dim=256, ffn=512, layers=8, heads=4, kv_heads=2, vocab=500, context=128)


# What the gguf package can read: it lacks the decoders of the youngest types.
THEIRS = {t.name for t in gguf.quants._type_traits} | {"F32", "F16"}


@pytest.mark.parametrize("name", sorted(GEOMETRY))
def test_blocks_have_the_deviation_asked_for(name: str) -> None:
    rng = np.random.default_rng(1)
    raw = random_blocks(rng, name, 64, 1024, 0.05)
    if name in THEIRS:
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] == GEOMETRY[name]
        values = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name])
    else:
        values = _core.decode(name, raw, (64, 1024))
    assert values.shape == (64, 1024)
    assert np.isfinite(values).all()
    assert 0.045 < values.std() < 0.055
    assert abs(values.mean()) < 0.002


def test_every_block_type_has_a_filler() -> None:
    assert set(FILLERS) | {"F32", "F16", "BF16"} == set(GEOMETRY)


def test_rows_are_whole_blocks() -> None:
    assert row_bytes("Q4_K", 512) == 288
    with pytest.raises(ValueError, match="multiple of 256"):
        row_bytes("Q4_K", 896)


def test_use_more_bits() -> None:
    assert [i for i in range(22) if use_more_bits(i, 22)] == [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]


@pytest.mark.parametrize(
    ("file_type", "shape", "expected"),
    [
        # Published TinyLlama 1.1B files: 135 Q4_K + 21 Q6_K, 45 F32.
        ("Q4_K_M", "tinyllama-1.1b", {"Q4_K": 135, "Q6_K": 21}),
        ("Q5_K_M", "tinyllama-1.1b", {"Q5_K": 135, "Q6_K": 21}),
        ("Q4_0", "tinyllama-1.1b", {"Q4_0": 155, "Q6_K": 1}),
        ("Q8_0", "tinyllama-1.1b", {"Q8_0": 156}),
        ("Q3_K_M", "tinyllama-1.1b", {"Q3_K": 89, "Q4_K": 63, "Q5_K": 3, "Q6_K": 1}),
        # Rows of 896 are no whole super-blocks: Q5_0 and Q8_0 stand in, only ffn_down fits.
        ("Q4_K_M", "qwen2.5-0.5b", {"Q5_0": 132, "Q8_0": 13, "Q4_K": 12, "Q6_K": 12}),
    ],
)
def test_type_mix(file_type: str, shape: str, expected: dict[str, int]) -> None:
    s = SHAPES[shape]
    counts = Counter(
        tensor_type(
            file_type, name, columns,
            layers=s.layers, gqa=s.heads // s.kv_heads, tied=s.tied,
        )
        for name, _, columns, _ in matrices(s)
    )  # fmt: skip
    assert dict(counts) == expected


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ("tinyllama-1.1b", 1.100e9),
        ("llama3-8b", 8.030e9),
        ("llama3.2-1b", 1.236e9),
        ("qwen2.5-0.5b", 0.494e9),
        ("qwen2.5-7b", 7.616e9),
        ("mistral-7b", 7.242e9),
        ("llama2-13b", 13.016e9),
        ("smollm2-135m", 0.1345e9),
        ("moe-3b-a0.6b", 3.277e9),
    ],
)
def test_parameter_counts(shape: str, parameters: float) -> None:
    """As the model cards give them."""
    count = sum(int(np.prod(t.shape)) for t in tensors(SHAPES[shape], "F16", 0))
    assert count == pytest.approx(parameters, rel=1e-3)


@pytest.mark.parametrize("file_type", sorted(t for t, (_, b) in FILE_TYPES.items() if b in THEIRS))
def test_other_readers_accept_the_file(file_type: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    size = random_model(path, TINY, file_type, seed=3)
    theirs = gguf.GGUFReader(path)
    ours = File(path)
    assert {t.name: t.tensor_type.name for t in theirs.tensors} == {
        name: info.type for name, info in ours.tensors.items()
    }
    assert sum(int(t.n_bytes) for t in theirs.tensors) == size
    assert theirs.fields["general.file_type"].contents() == FILE_TYPES[file_type][0]
    for tensor in theirs.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.isfinite(values).all(), tensor.name


def test_the_seed_decides_the_bytes(tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate([1, 1, 2]):
        path = tmp_path / f"{number}.gguf"
        random_model(path, TINY, "Q4_K_M", seed=seed)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_types_by_tensor_name(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    random_model(path, TINY, {"default": "Q4_0", "attn_v": "F16", "blk.1.attn_v": "Q6_K"})
    types = {name: info.type for name, info in File(path).tensors.items()}
    assert types["blk.0.attn_v.weight"] == "F16"
    assert types["blk.1.attn_v.weight"] == "Q6_K"
    assert types["blk.1.attn_q.weight"] == "Q4_0"
    assert types["blk.1.attn_norm.weight"] == "F32"


def test_a_mixture_is_run(tmp_path: Path) -> None:
    shape = replace(SHAPES["moe-3b-a0.6b"], dim=256, layers=2, vocab=600, experts=5, expert_ffn=256)
    path = tmp_path / "m.gguf"
    random_model(path, replace(shape, experts_used=2), "Q4_K_M")
    types = {name: info.type for name, info in File(path).tensors.items()}
    assert types["blk.1.ffn_down_exps.weight"] == "Q6_K"
    assert types["blk.0.ffn_gate_inp.weight"] == "F32"
    session = Model.load(path, threads=1).session(context=32)
    session.append([1, 2, 3])
    assert np.isfinite(session.logits()).all()


@pytest.mark.parametrize(
    ("size", "kind"),
    [(32000, "llama"), (400, "llama"), (128256, "llama-bpe"), (151936, "qwen2"), (49152, "smollm")],
)
def test_vocabularies(size: int, kind: str) -> None:
    vocab = vocabulary(size, kind)
    assert len(vocab.tokens) == len(set(vocab.tokens)) == len(vocab.types) == size
    known = set(vocab.tokens)
    for merge in vocab.merges:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= known


def test_a_vocabulary_needs_room_for_the_bytes() -> None:
    with pytest.raises(ValueError, match="bytes and ASCII"):
        vocabulary(300, "llama")


def test_rope_factors_are_the_published_ones() -> None:
    """First and last of the 32 factors in LLaMA 3.2 1B files."""
    factors = rope_factors(SHAPES["llama3.2-1b"])
    assert factors.shape == (32,)
    assert factors[0] == 1.0
    assert factors[-1] == 32.0
    assert (np.diff(factors) >= 0).all()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.gguf"
    main(["--shape", "smollm2-135m", "--type", "Q4_0", "--layers", "1", "--out", str(path)])
    assert "GB of weights" in capsys.readouterr().out
    file = File(path)
    assert file.metadata["llama.block_count"] == 1
    assert len(file.metadata["tokenizer.ggml.tokens"]) == 49152


def test_command_line_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["--shape", "gpt-9", "--type", "Q4_0", "--out", str(tmp_path / "m.gguf")])
    assert error.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
