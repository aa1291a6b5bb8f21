# SPDX-License-Identifier: MIT
"""Checkpoints whose layers differ: names, orders and values as files of llama.cpp have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LLAMA, write_model

import gguf
from gristmill import FormatError, ShapeError, UnsupportedError
from gristmill.convert import convert
from gristmill.convert.config import Config
from gristmill.convert.schemes import BY_CLASS

KEY_HEADS, HEADS, KEY, VALUE = 2, 6, 4, 8
CONFIG: dict[str, Any] = {
    **LLAMA,
    "architectures": ["Qwen3_5ForConditionalGeneration"],
    "num_hidden_layers": 2,
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": KEY_HEADS,
    "linear_num_value_heads": HEADS,
    "linear_key_head_dim": KEY,
    "linear_value_head_dim": VALUE,
    "linear_conv_kernel_dim": 4,
    "tie_word_embeddings": True,
}
WIDTH, FFN, INNER = 64, 96, HEADS * VALUE
CHANNELS = 2 * KEY_HEADS * KEY + INNER


def checkpoint() -> dict[str, np.ndarray[Any, Any]]:
    """Random weights under the names of a multimodal checkpoint, with parts that are left out."""
    rng = np.random.default_rng(2)
    shapes = {
        "embed_tokens.weight": (520, WIDTH),
        "norm.weight": (WIDTH,),
        "layers.0.linear_attn.in_proj_qkv.weight": (CHANNELS, WIDTH),
        "layers.0.linear_attn.in_proj_z.weight": (INNER, WIDTH),
        "layers.0.linear_attn.in_proj_a.weight": (HEADS, WIDTH),
        "layers.0.linear_attn.in_proj_b.weight": (HEADS, WIDTH),
        "layers.0.linear_attn.conv1d.weight": (CHANNELS, 1, 4),
        "layers.0.linear_attn.A_log": (HEADS,),
        "layers.0.linear_attn.dt_bias": (HEADS,),
        "layers.0.linear_attn.norm.weight": (VALUE,),
        "layers.0.linear_attn.out_proj.weight": (WIDTH, INNER),
        "layers.1.self_attn.q_proj.weight": (128, WIDTH),
        "layers.1.self_attn.k_proj.weight": (32, WIDTH),
        "layers.1.self_attn.v_proj.weight": (32, WIDTH),
        "layers.1.self_attn.o_proj.weight": (WIDTH, 64),
        "layers.1.self_attn.q_norm.weight": (16,),
        "layers.1.self_attn.k_norm.weight": (16,),
    }
    for i in range(2):
        shapes |= {
            f"layers.{i}.input_layernorm.weight": (WIDTH,),
            f"layers.{i}.post_attention_layernorm.weight": (WIDTH,),
            f"layers.{i}.mlp.gate_proj.weight": (FFN, WIDTH),
            f"layers.{i}.mlp.up_proj.weight": (FFN, WIDTH),
            f"layers.{i}.mlp.down_proj.weight": (WIDTH, FFN),
        }
    named = {f"model.language_model.{name}": shape for name, shape in shapes.items()}
    named |= {"model.visual.patch_embed.weight": (4, 4), "mtp.norm.weight": (WIDTH,)}
    return {n: rng.standard_normal(shape, dtype=np.float32) for n, shape in named.items()}


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys, and tensors with their type."""
    reader = gguf.GGUFReader(path)
    keys = {key: field.contents() for key, field in reader.fields.items()}
    return keys, {tensor.name: tensor for tensor in reader.tensors}


def tiled(x: Any, width: int, axis: int) -> Any:
    """Value heads that share a key head follow each other: as the converter of others has them."""
    x = np.moveaxis(x, axis, 0)
    heads = x.reshape(KEY_HEADS, HEADS // KEY_HEADS, width, *x.shape[1:])
    return np.moveaxis(heads.swapaxes(0, 1).reshape(x.shape), 0, axis)


def test_the_delta_rule(tmp_path: Path) -> None:
    source = checkpoint()
    done = convert(write_model(tmp_path / "m", CONFIG, source), tmp_path / "o.gguf", "f16")
    keys, tensors = read(done.path)
    assert done.notes == ("2 tensors of other parts (images, audio, drafts) were left out",)
    assert {k.removeprefix("qwen35."): v for k, v in keys.items() if "ssm" in k} == {
        "ssm.conv_kernel": 4, "ssm.state_size": KEY, "ssm.group_count": KEY_HEADS,
        "ssm.time_step_rank": HEADS, "ssm.inner_size": INNER,
    }  # fmt: skip
    assert keys["qwen35.full_attention_interval"] == 2
    assert keys["qwen35.rope.dimension_count"] == 4
    assert keys["qwen35.rope.dimension_sections"] == [11, 11, 10, 0]
    of = {
        n.removeprefix("model.language_model.layers.0.linear_attn."): v for n, v in source.items()
    }
    keys_end = 2 * KEY_HEADS * KEY

    def parts(x: Any) -> Any:
        return np.concatenate([x[:keys_end], tiled(x[keys_end:], VALUE, 0)])

    expected = {
        "attn_qkv.weight": parts(of["in_proj_qkv.weight"]),
        "attn_gate.weight": tiled(of["in_proj_z.weight"], VALUE, 0),
        "ssm_alpha.weight": tiled(of["in_proj_a.weight"], 1, 0),
        "ssm_beta.weight": tiled(of["in_proj_b.weight"], 1, 0),
        "ssm_conv1d.weight": parts(of["conv1d.weight"][:, 0]),
        "ssm_a": -np.exp(tiled(of["A_log"], 1, 0)),
        "ssm_dt.bias": tiled(of["dt_bias"], 1, 0),
        "ssm_norm.weight": of["norm.weight"],
        "ssm_out.weight": tiled(of["out_proj.weight"], VALUE, 1),
        "attn_norm.weight": 1 + source["model.language_model.layers.0.input_layernorm.weight"],
    }
    for name, values in expected.items():
        tensor = tensors[f"blk.0.{name}"]
        plain = values.ndim == 1 or name == "ssm_conv1d.weight"
        assert tensor.tensor_type.name == ("F32" if plain else "F16"), name
        stored = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        wanted = values if plain else values.astype(np.float16).astype(np.float32)
        np.testing.assert_allclose(stored, wanted, rtol=1e-6, err_msg=name)
    assert "output.weight" not in tensors
    assert "blk.1.ssm_a" not in tensors


def test_layers_of_a_kind_have_the_same_tensors(tmp_path: Path) -> None:
    source = checkpoint()
    for old, new in (("layers.0", "layers.2"), ("layers.1", "layers.3")):
        source |= {n.replace(old, new): v for n, v in source.items()}
    del source["model.language_model.layers.1.self_attn.k_norm.weight"]
    config = {**CONFIG, "num_hidden_layers": 4, "layer_types": CONFIG["layer_types"] * 2}
    with pytest.raises(ShapeError, match=r"blk\.1\.attn_k_norm"):
        convert(write_model(tmp_path / "m", config, source), tmp_path / "o.gguf")


@pytest.mark.parametrize(
    ("changes", "error", "fragment"),
    [
        ({"layer_types": ["full_attention", "linear_attention"]}, UnsupportedError, "last of each"),
        ({"linear_num_key_heads": 4}, FormatError, "multiple of the key heads"),
        ({"linear_value_head_dim": 7}, ShapeError, "2 groups of 3 heads of 7"),
        ({"rope_parameters": {"mrope_section": [1] * 5}}, FormatError, "mrope_section"),
    ],
)
def test_what_is_refused(
    changes: dict[str, Any], error: type[Exception], fragment: str, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "m", CONFIG | changes, checkpoint())
    with pytest.raises(error, match=fragment):
        convert(folder, tmp_path / "o.gguf")
    assert not (tmp_path / "o.gguf").exists()


def keys_of(**config: Any) -> dict[str, Any]:
    scheme = BY_CLASS["Lfm2ForCausalLM"]
    usual = {
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_size": 64, "max_position_embeddings": 128, "norm_eps": 1e-5, "conv_L_cache": 3,
    }  # fmt: skip
    values = Config(usual | config).with_defaults(scheme.defaults)
    return {key: value for read in scheme.keys for key, value in read(values).items()}


def test_the_keys_of_short_convolutions() -> None:
    """Older configurations list the layers that attend; the width may be cut by a third."""
    keys = keys_of(full_attn_idxs=[1, 3], block_ff_dim=12288)
    assert keys["attention.head_count_kv"] == [0, 2, 0, 2]
    assert keys["feed_forward_length"] == 8192
    assert keys["shortconv.l_cache"] == 3
    assert keys["rope.freq_base"] == 1e6
    keys = keys_of(
        layer_types=["conv"] * 3 + ["full_attention"], intermediate_size=100,
        block_auto_adjust_ff_dim=False, rope_parameters={"rope_theta": 5e5},
    )  # fmt: skip
    assert keys["attention.head_count_kv"] == [0, 0, 0, 2]
    assert keys["feed_forward_length"] == 100
    assert keys["rope.freq_base"] == 5e5
    assert keys_of(intermediate_size=90, block_multiple_of=32)["feed_forward_length"] == 64
