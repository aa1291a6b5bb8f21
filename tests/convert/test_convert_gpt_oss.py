# SPDX-License-Identifier: MIT
"""Experts of gpt-oss: MXFP4 stays MXFP4, bit by bit, and floats become the same tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LLAMA, Array, llama_tensors, write_model

import gguf
from gristmill.convert import convert
from gristmill.errors import ShapeError, UnsupportedError

EXPERTS, WIDTH, FFN = 3, 64, 96
CONFIG: dict[str, Any] = LLAMA | {
    "architectures": ["GptOssForCausalLM"],
    "num_local_experts": EXPERTS,
    "num_experts_per_tok": 2,
    "sliding_window": 16,
    "swiglu_limit": 7.0,
    "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
        "truncate": False,
    },
}  # fmt: skip
# The values of the codes of FP4 (E2M1), by the OCP specification of microscaling formats.
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def packed(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array, Array]:
    """Blocks, scales and the matrices [experts, rows, columns] that they say."""
    codes = rng.integers(0, 16, (EXPERTS, rows, columns // 32, 32), dtype=np.uint8)
    scales = rng.integers(115, 130, (EXPERTS, rows, columns // 32), dtype=np.uint8)
    values = FP4[codes] * np.exp2(scales.astype(np.float32) - 127)[..., None]
    blocks = codes[..., ::2] | codes[..., 1::2] << 4
    return blocks, scales, values.reshape(EXPERTS, rows, columns).astype(np.float32)


def checkpoints() -> tuple[dict[str, Array], dict[str, Array]]:
    """The same weights twice: in blocks, and as floats."""
    rng = np.random.default_rng(3)
    shared = {k: v for k, v in llama_tensors(CONFIG).items() if ".mlp." not in k}
    quantized, floats = {}, {}
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shared |= {
            layer + "self_attn.sinks": rng.standard_normal(4, np.float32),
            layer + "mlp.router.weight": rng.standard_normal((EXPERTS, WIDTH), np.float32),
            layer + "mlp.router.bias": rng.standard_normal(EXPERTS, np.float32),
        }
        for kind, rows, columns in (("gate_up", 2 * FFN, WIDTH), ("down", WIDTH, FFN)):
            name = f"{layer}mlp.experts.{kind}_proj"
            shared[name + "_bias"] = rng.standard_normal((EXPERTS, rows), np.float32)
            blocks, scales, values = packed(rng, rows, columns)
            quantized |= {name + "_blocks": blocks, name + "_scales": scales}
            floats[name] = np.ascontiguousarray(values.swapaxes(1, 2))
    return shared | quantized, shared | floats


def tensors(path: Path) -> dict[str, Array]:
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(path).tensors
    }


MXFP4 = {"quantization_config": {"quant_method": "mxfp4"}}


def test_blocks_and_floats_become_the_same_tensors(tmp_path: Path) -> None:
    quantized, floats = checkpoints()
    one = write_model(tmp_path / "q", CONFIG | MXFP4, quantized)
    two = write_model(tmp_path / "f", CONFIG, floats)
    first = convert(one, tmp_path / "q.gguf", "bf16").path
    second = convert(two, tmp_path / "f.gguf", "f32").path
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(first).tensors}
    assert {kinds[f"blk.1.ffn_{part}_exps.weight"] for part in ("gate", "up", "down")} == {"MXFP4"}
    assert kinds["blk.0.ffn_up_exps.bias"] == kinds["blk.0.ffn_gate_inp.weight"] == "F32"
    ours, plain = tensors(first), tensors(second)
    assert set(ours) == set(plain)
    for name in ours:
        if "_exps" in name or "sinks" in name:
            np.testing.assert_array_equal(ours[name], plain[name], err_msg=name)
    source = quantized["model.layers.1.mlp.experts.gate_up_proj_bias"]
    np.testing.assert_array_equal(ours["blk.1.ffn_gate_exps.bias"], source[:, ::2])
    np.testing.assert_array_equal(ours["blk.1.ffn_up_exps.bias"], source[:, 1::2])
    matrix = floats["model.layers.1.mlp.experts.gate_up_proj"][2]
    np.testing.assert_array_equal(plain["blk.1.ffn_up_exps.weight"][2], matrix[:, 1::2].T)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"gate_up_proj_scales": None}, "as many scales"),
        ({"gate_up_proj_blocks": np.zeros((3, 7, 2, 16), np.uint8)}, "as many scales"),
        ({"gate_up_proj_blocks": np.zeros((3, 192, 2, 8), np.uint8)}, "blocks, 16"),
        ({"down_proj_bias": np.zeros((3, 64, 1), np.float32)}, "biases"),
    ],
)
def test_misshaped_experts(tmp_path: Path, change: dict[str, Any], fragment: str) -> None:
    made = {f"model.layers.1.mlp.experts.{name}": value for name, value in change.items()}
    weights = {k: v for k, v in (checkpoints()[0] | made).items() if v is not None}
    with pytest.raises(ShapeError, match=fragment):
        convert(write_model(tmp_path / "m", CONFIG | MXFP4, weights), tmp_path / "o.gguf")


def test_floats_in_place_of_blocks(tmp_path: Path) -> None:
    name = "model.layers.1.mlp.experts.down_proj_blocks"
    weights = checkpoints()[0]
    weights[name] = weights[name].astype(np.float32)
    with pytest.raises(UnsupportedError, match="must be U8"):
        convert(write_model(tmp_path / "m", CONFIG | MXFP4, weights), tmp_path / "o.gguf")
    assert not (tmp_path / "o.gguf").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"swiglu_limit": 8.0},
        {"rope_scaling": CONFIG["rope_scaling"] | {"truncate": True}},
        {"quantization_config": {"quant_method": "awq"}},
    ],
)
def test_what_no_key_says_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_model(tmp_path / "m", CONFIG | change, checkpoints()[1])
    with pytest.raises(UnsupportedError, match=r"config\.json"):
        convert(folder, tmp_path / "o.gguf")
