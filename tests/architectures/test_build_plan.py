# SPDX-License-Identifier: MIT
"""From metadata to a plan: what is read, what is refused, and that everything is told at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import FakeTensor, llama_file

from gristmill.architectures import build_plan, known
from gristmill.architectures.operations import Attention, Embed, Linear, Logits, RopeStore
from gristmill.architectures.plan import Kv, Weight
from gristmill.errors import FormatError, ShapeError, UnsupportedError


def test_the_plan_of_a_llama() -> None:
    plan = build_plan(llama_file())
    names = [op.op for op in plan.ops]
    block = ["rms_norm", "linear", "rope_store", "attention", "quantize", "linear",
             "rms_norm", "linear", "glu", "linear"]  # fmt: skip
    assert names == ["embed", *block, *block, "select_rows", "rms_norm", "logits"]
    assert plan.vocab_size == 70
    assert plan.context == 256
    assert plan.layers == (Kv(2, 16),) * 2
    assert len(plan.weights) == 2 * 9 + 3
    assert plan.unused == ()
    per_layer = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 96 * 64
    assert plan.macs_per_token == 2 * per_layer
    assert plan.macs_per_logits_row == 70 * 64
    assert plan.kv_bytes_per_position == 2 * 2 * 2 * 2 * 16
    assert plan.kv_bytes(65) == 128 * plan.kv_bytes_per_position
    (rope,) = plan.ropes
    assert (rope.freq_base, rope.n_rot, rope.scale, rope.factors) == (10000.0, 16, 1.0, None)
    store = next(op for op in plan.ops if isinstance(op, RopeStore))
    assert not store.neox
    assert store.heads == 4
    attention = next(op for op in plan.ops if isinstance(op, Attention))
    assert attention.scale == 0.25
    assert attention.window == 0


def test_five_slots_are_enough() -> None:
    """The residual, its activations, and three values besides; however many layers there are."""
    few, many = (build_plan(llama_file(layers)) for layers in (2, 30))
    slots = {buffer.slot for buffer in many.buffers}
    assert len(slots) == len({buffer.slot for buffer in few.buffers}) <= 5


def test_a_tied_output_reads_the_embedding() -> None:
    plan = build_plan(llama_file(tied=True))
    embed, logits = plan.ops[0], plan.ops[-1]
    assert isinstance(embed, Embed)
    assert isinstance(logits, Logits)
    assert embed.weight == logits.weight
    separate = build_plan(llama_file())
    assert len(separate.weights) == len(plan.weights) + 1


def test_context_is_what_was_asked_for() -> None:
    assert build_plan(llama_file(), context=77).context == 77


@pytest.mark.parametrize(
    ("keys", "field", "expected"),
    [
        ({"rope.freq_base": 500000.0}, "freq_base", 500000.0),
        ({"rope.dimension_count": 8}, "n_rot", 8),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, "scale", 0.25),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, "scale", 1.0),
        ({"rope.scale_linear": 2.0}, "scale", 0.5),
    ],
)
def test_rope_keys(keys: dict[str, Any], field: str, expected: float) -> None:
    file = llama_file()
    file.metadata.update({f"llama.{key}": value for key, value in keys.items()})
    assert getattr(build_plan(file).ropes[0], field) == expected


def test_rope_factors_window_and_head_size() -> None:
    file = llama_file(1)
    file.metadata["llama.attention.key_length"] = 24
    file.metadata["llama.attention.sliding_window"] = 99
    file.tensors["rope_freqs.weight"] = FakeTensor((12,))
    for name, shape in {"attn_q": (96, 64), "attn_k": (48, 64), "attn_v": (48, 64),
                        "attn_output": (64, 96)}.items():  # fmt: skip
        file.tensors[f"blk.0.{name}.weight"] = FakeTensor(shape)
    file.metadata["llama.attention.value_length"] = np.int32(24)
    plan = build_plan(file)
    factors = plan.ropes[0].factors
    assert factors is not None
    assert plan.weights[factors].name == "rope_freqs.weight"
    attention = next(op for op in plan.ops if isinstance(op, Attention))
    assert attention.window == 99
    assert attention.scale == 24**-0.5


def test_lists_of_equal_numbers_are_numbers() -> None:
    file = llama_file()
    file.metadata["llama.attention.head_count_kv"] = np.array([2, 2])
    assert build_plan(file).layers[0].kv_heads == 2
    file.metadata["llama.attention.head_count_kv"] = np.array([2, 1])
    with pytest.raises(UnsupportedError, match="same for all layers"):
        build_plan(file)


def test_unknown_architectures_list_the_known() -> None:
    file = llama_file()
    file.metadata["general.architecture"] = "abacus"
    with pytest.raises(UnsupportedError, match=r"llama, mistral.*'abacus'"):
        build_plan(file)
    assert "llama" in known()
    del file.metadata["general.architecture"]
    with pytest.raises(FormatError, match="general.architecture"):
        build_plan(file)


def test_missing_keys_are_listed_together() -> None:
    file = llama_file()
    for key in ("block_count", "attention.head_count", "attention.layer_norm_rms_epsilon"):
        del file.metadata[f"llama.{key}"]
    with pytest.raises(FormatError) as error:
        build_plan(file)
    for key in ("block_count", "attention.head_count", "attention.layer_norm_rms_epsilon"):
        assert f"llama.{key}" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("block_count", 0, "1 to 2048"),
        ("block_count", 2**40, "1 to 2048"),
        ("block_count", -1, "1 to 2048"),
        ("block_count", "two", "whole number"),
        ("block_count", True, "whole number"),
        ("embedding_length", 2.5, "whole number"),
        ("attention.head_count", 0, "head_count = '0'"),
        ("attention.head_count", 5, "5 query heads over 2"),
        ("attention.head_count_kv", 3, "4 query heads over 3"),
        ("attention.key_length", 10**9, "key_length"),
        ("rope.dimension_count", 15, "15 rotated of 16"),
        ("rope.dimension_count", 18, "18 rotated of 16"),
        ("rope.freq_base", float("nan"), "freq_base"),
        ("rope.freq_base", 1.0, "freq_base"),
        ("rope.scaling.factor", 0.0, "factor"),
        ("attention.layer_norm_rms_epsilon", -1.0, "epsilon"),
        ("attention.layer_norm_rms_epsilon", "x", "epsilon"),
        ("context_length", 0, "context_length"),
        ("expert_count", 5000, "expert_count"),
    ],
)
def test_absurd_values(key: str, value: object, fragment: str) -> None:
    file = llama_file()
    file.metadata[f"llama.{key}"] = value
    with pytest.raises(FormatError, match=fragment):
        build_plan(file)


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("rope.scaling.type", "dynamic", "'dynamic'"),
        ("attention.value_length", 8, "one length"),
    ],
)
def test_unsupported_values(key: str, value: object, fragment: str) -> None:
    file = llama_file()
    file.metadata[f"llama.{key}"] = value
    with pytest.raises(UnsupportedError, match=fragment):
        build_plan(file)


def test_missing_and_misshaped_tensors_are_listed_together() -> None:
    file = llama_file()
    del file.tensors["blk.0.attn_q.weight"]
    del file.tensors["output_norm.weight"]
    file.tensors["blk.1.ffn_up.weight"] = FakeTensor((64, 96))
    file.tensors["blk.1.attn_norm.weight"] = FakeTensor((1, 64))
    with pytest.raises(ShapeError) as error:
        build_plan(file)
    message = str(error.value)
    assert "'blk.0.attn_q.weight' is missing" in message
    assert "'output_norm.weight' is missing" in message
    assert "'blk.1.ffn_up.weight' has shape [64, 96], expected [96, 64]" in message
    assert "'blk.1.attn_norm.weight' has shape [1, 64], expected [64]" in message


def test_an_empty_file_does_not_flood_the_message() -> None:
    file = llama_file(layers=500)
    file.tensors.clear()
    with pytest.raises(ShapeError, match="more") as error:
        build_plan(file)
    assert len(str(error.value)) < 4000


def test_extra_tensors_are_noted_and_biases_refused() -> None:
    file = llama_file()
    file.tensors["blk.0.attn_rot_embd.weight"] = FakeTensor((16,))
    plan = build_plan(file)
    assert plan.unused == ("blk.0.attn_rot_embd.weight",)
    assert "blk.0.attn_rot_embd.weight" in plan.describe()
    file.tensors["blk.0.attn_norm.bias"] = FakeTensor((64,))
    with pytest.raises(UnsupportedError, match=r"blk.0.attn_norm.bias"):
        build_plan(file)


def test_linear_layers_have_the_biases_of_the_file() -> None:
    file = llama_file()
    file.tensors["blk.1.attn_k.bias"] = FakeTensor((32,))
    plan = build_plan(file)
    assert plan.unused == ()
    biases = [op.biases for op in plan.ops if isinstance(op, Linear) and op.biases]
    ((none_of_q, bias, none_of_v),) = biases
    assert (none_of_q, none_of_v) == (None, None)
    assert bias is not None
    assert plan.weights[bias] == Weight("blk.1.attn_k.bias", (32,))
    file.tensors["blk.1.attn_k.bias"] = FakeTensor((64,))
    with pytest.raises(ShapeError, match=r"blk.1.attn_k.bias.*expected \[32\]"):
        build_plan(file)


def test_factors_of_matrices_are_those_of_the_file() -> None:
    file = llama_file()
    file.tensors["blk.0.attn_q.scale"] = FakeTensor((1,))
    plan = build_plan(file)
    ((factor, *others),) = [op.factors for op in plan.ops if isinstance(op, Linear) and op.factors]
    assert plan.weights[factor or 0] == Weight("blk.0.attn_q.scale", (1,))
    assert others == [None, None]
    file.tensors["blk.0.attn_q.bias"] = FakeTensor((64,))
    with pytest.raises(UnsupportedError, match=r"attn_q' has a bias and a factor"):
        build_plan(file)


def test_other_factors_are_refused() -> None:
    file = llama_file()
    file.tensors["output.scale"] = FakeTensor((1,))
    with pytest.raises(UnsupportedError, match=r"matrices of blocks only.*output.scale"):
        build_plan(file)


def test_types_without_kernels_are_listed_together() -> None:
    file = llama_file()
    file.tensors["blk.0.attn_q.weight"] = FakeTensor((64, 64), "I8")
    file.tensors["blk.1.ffn_up.weight"] = FakeTensor((96, 64), "F64")
    with pytest.raises(UnsupportedError, match=r"2 without.*attn_q.*I8.*ffn_up.*F64"):
        build_plan(file)


@pytest.mark.parametrize(("tokens", "key", "expected"), [(70, None, 70), (None, 70, 70),
                                                         (None, None, 70)])  # fmt: skip
def test_vocabulary_size(tokens: int | None, key: int | None, expected: int) -> None:
    file = llama_file()
    if tokens is None:
        del file.metadata["tokenizer.ggml.tokens"]
    if key is not None:
        file.metadata["llama.vocab_size"] = key
    assert build_plan(file).vocab_size == expected


def test_describe_tells_shapes_and_fusions() -> None:
    text = build_plan(llama_file()).describe()
    assert "x0 [T, 64] -> a1 [T, 64]; blk.0.attn_norm.weight [64]" in text
    assert "a6 [T, 64] += x0 [T, 64]; blk.0.attn_output.weight [64, 64]" in text
    assert "blk.0.ffn_gate.weight [96, 64], blk.0.ffn_up.weight [96, 64]" in text
    assert "logits [L, 70]" in text
    assert max(map(len, text.splitlines())) < 240
