# SPDX-License-Identifier: MIT
"""Keys of models whose layers differ."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeFile, FakeTensor, llama_file

from gristmill.architectures import build_plan
from gristmill.architectures.operations import Attention
from gristmill.architectures.recurrent_plan import ShortConv
from gristmill.errors import FormatError, UnsupportedError


def lfm2_file(**changes: Any) -> FakeFile:
    """Three layers, of which the second attends."""
    plain = llama_file(3)
    keys = {key.replace("llama.", "lfm2."): value for key, value in plain.metadata.items()}
    keys |= {"general.architecture": "lfm2", "lfm2.shortconv.l_cache": 3}
    keys["lfm2.attention.head_count_kv"] = [0, 2, 0]
    tensors = {name.replace("output_norm", "token_embd_norm"): tensor
               for name, tensor in plain.tensors.items()}  # fmt: skip
    for part in "qk":
        tensors[f"blk.1.attn_{part}_norm.weight"] = FakeTensor((16,))
    for i in (0, 2):
        for name in [name for name in tensors if name.startswith(f"blk.{i}.attn_")]:
            del tensors[name]
        tensors[f"blk.{i}.attn_norm.weight"] = FakeTensor((64,))
        for part, shape in (("in_proj", (192, 64)), ("conv", (64, 3)), ("out_proj", (64, 64))):
            tensors[f"blk.{i}.shortconv.{part}.weight"] = FakeTensor(shape)
    return FakeFile(keys | {f"lfm2.{key}": value for key, value in changes.items()}, tensors)


def test_layers_without_kv_heads_convolve() -> None:
    plan = build_plan(lfm2_file())
    kinds = [op.op for op in plan.ops if isinstance(op, Attention | ShortConv)]
    assert kinds == ["short_conv", "attention", "short_conv"]
    assert len(plan.layers) == 1  # numbered without a gap
    assert [state.values for state in plan.states] == [128, 128]
    assert plan.unused == ()


@pytest.mark.parametrize(
    ("changes", "error", "fragment"),
    [
        ({"attention.head_count_kv": [0, 2]}, FormatError, "2 values for 3 layers"),
        ({"attention.head_count_kv": [1, 2, 0]}, UnsupportedError, "same for all layers"),
        ({"shortconv.l_cache": 1}, FormatError, "l_cache"),
        ({"shortconv.l_cache": 1000}, FormatError, "l_cache"),
        ({"shortconv.l_cache": "x"}, FormatError, "whole number"),
    ],
)
def test_absurd_keys(changes: dict[str, Any], error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        build_plan(lfm2_file(**changes))


def test_others_have_kv_heads_everywhere() -> None:
    file = llama_file()
    file.metadata["llama.attention.head_count_kv"] = [2, 0]
    with pytest.raises(UnsupportedError, match="same for all layers"):
        build_plan(file)


DELTA = {
    "ssm.conv_kernel": 4, "ssm.state_size": 8, "ssm.group_count": 2, "ssm.time_step_rank": 4,
    "ssm.inner_size": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"ssm.inner_size": 65}, "65 numbers over 4 value and 2 key heads"),
        ({"ssm.group_count": 3}, "over 4 value and 3 key heads"),
        ({"ssm.time_step_rank": 0}, "time_step_rank"),
        ({"ssm.conv_kernel": 0}, "conv_kernel"),
        ({"nextn_predict_layers": 2}, "layers for drafts"),
        ({"full_attention_interval": 0}, "full_attention_interval"),
        (dict.fromkeys(DELTA), "missing"),
    ],
)
def test_absurd_keys_of_the_delta_rule(changes: dict[str, Any], fragment: str) -> None:
    plain = llama_file(2)
    keys = {key.replace("llama.", "qwen35."): value for key, value in plain.metadata.items()}
    keys |= {f"qwen35.{key}": value for key, value in (DELTA | changes).items()}
    keys["general.architecture"] = "qwen35"
    keys = {key: value for key, value in keys.items() if value is not None}
    with pytest.raises(FormatError, match=fragment):
        build_plan(FakeFile(keys, plain.tensors))
