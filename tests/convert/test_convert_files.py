# SPDX-License-Identifier: MIT
"""Whole conversions of small checkpoints, read back with the gguf package."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LLAMA, bf16, from_bf16, llama_tensors, write_json, write_model
from numpy.typing import NDArray

import gguf
import gristmill
from gristmill import (
    FormatError,
    GristmillError,
    ResourceError,
    ShapeError,
    TokenizerError,
    UnsupportedError,
    disk,
)
from gristmill.convert import convert

GGUF = gguf.GGMLQuantizationType
Folder = Callable[..., Path]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys and tensors of a file, as the gguf package sees them."""
    reader = gguf.GGUFReader(path)
    keys = {key: field.contents() for key, field in reader.fields.items()}
    return keys, {tensor.name: tensor for tensor in reader.tensors}


def values(tensor: Any) -> NDArray[np.float32]:
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def test_a_llama_key_by_key(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "Tiny-Llama")
    done = convert(folder, tmp_path / "out.gguf", "f32")
    keys, tensors = read(done.path)
    prefix = {k.removeprefix("llama."): v for k, v in keys.items() if k.startswith("llama.")}
    eps = prefix.pop("attention.layer_norm_rms_epsilon")
    assert eps == np.float32(1e-5)
    assert prefix == {
        "vocab_size": 520,
        "context_length": 128,
        "embedding_length": 64,
        "block_count": 2,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
        "rope.dimension_count": 16,
        "rope.freq_base": 10000.0,
    }
    assert keys["general.architecture"] == "llama"
    assert keys["general.type"] == "model"
    assert keys["general.name"] == "Tiny-Llama"
    assert keys["general.file_type"] == gguf.LlamaFileType.ALL_F32
    assert keys["general.quantization_version"] == gguf.GGML_QUANT_VERSION
    assert keys["GGUF.version"] == 3
    assert len(tensors) == done.tensors == 21
    assert sum(tensor.n_bytes for tensor in tensors.values()) == done.nbytes
    assert done.notes == ()


def test_values_and_the_order_of_rows(tmp_path: Path) -> None:
    source = llama_tensors(LLAMA)
    path = convert(write_model(tmp_path / "m", tensors=source), tmp_path / "o.gguf", "f32").path
    _, tensors = read(path)
    for name, ours in (
        ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"),
        ("lm_head", "output"), ("model.layers.1.self_attn.v_proj", "blk.1.attn_v"),
        ("model.layers.1.self_attn.o_proj", "blk.1.attn_output"),
        ("model.layers.0.mlp.gate_proj", "blk.0.ffn_gate"),
        ("model.layers.0.mlp.up_proj", "blk.0.ffn_up"),
        ("model.layers.0.mlp.down_proj", "blk.0.ffn_down"),
        ("model.layers.0.input_layernorm", "blk.0.attn_norm"),
        ("model.layers.0.post_attention_layernorm", "blk.0.ffn_norm"),
    ):  # fmt: skip
        np.testing.assert_array_equal(values(tensors[f"{ours}.weight"]), source[f"{name}.weight"])
    for kind, heads in (("q", 4), ("k", 2)):
        rows = source[f"model.layers.1.self_attn.{kind}_proj.weight"]
        stored = values(tensors[f"blk.1.attn_{kind}.weight"])
        for head in range(heads):
            for j in range(8):  # pair (j, j + half) becomes (2j, 2j + 1)
                at = head * 16
                np.testing.assert_array_equal(stored[at + 2 * j], rows[at + j])
                np.testing.assert_array_equal(stored[at + 2 * j + 1], rows[at + j + 8])


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("source", ["F32", "F16", "BF16"])
def test_types_equal_the_gguf_package_bit_for_bit(tmp_path: Path, kind: str, source: str) -> None:
    weights = llama_tensors(LLAMA)
    stored = {
        "F32": weights,
        "F16": {name: value.astype(np.float16) for name, value in weights.items()},
        "BF16": {name: bf16(value) for name, value in weights.items()},
    }[source]
    folder = write_model(tmp_path / "m", tensors=stored)
    keys, tensors = read(convert(folder, tmp_path / "o.gguf", kind).path)
    wanted = GGUF[kind.upper()]
    assert gguf.LlamaFileType(keys["general.file_type"]).name.endswith(kind.upper())
    for name in ("blk.0.attn_v", "blk.1.ffn_down", "token_embd"):
        key = {
            "blk.0.attn_v": "model.layers.0.self_attn.v_proj",
            "blk.1.ffn_down": "model.layers.1.mlp.down_proj",
            "token_embd": "model.embed_tokens",
        }[name]
        array = stored[f"{key}.weight"]
        exact = from_bf16(array) if source == "BF16" else array.astype(np.float32)
        tensor = tensors[f"{name}.weight"]
        assert tensor.tensor_type == wanted
        expected = gguf.quants.quantize(exact, wanted)
        np.testing.assert_array_equal(tensor.data.view(np.uint8), expected.view(np.uint8))
    assert tensors["blk.0.attn_norm.weight"].tensor_type == GGUF.F32


@pytest.mark.parametrize(("source", "expected"), [("BF16", "BF16"), ("F16", "F16"), ("F32", "F16")])
def test_auto_keeps_bf16(tmp_path: Path, source: str, expected: str) -> None:
    weights = llama_tensors(LLAMA)
    if source != "F32":
        cast = bf16 if source == "BF16" else (lambda value: value.astype(np.float16))
        weights = {name: cast(value) for name, value in weights.items()}
    done = convert(write_model(tmp_path / "m", tensors=weights), tmp_path / "o.gguf")
    assert done.type == expected
    assert read(done.path)[1]["output.weight"].tensor_type == GGUF[expected]


def test_large_tensors_come_in_pieces_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gristmill.convert import encode

    folder = write_model(tmp_path / "m")
    whole = convert(folder, tmp_path / "whole.gguf", "q8_0").path.read_bytes()
    monkeypatch.setattr(encode, "CHUNK", 700)  # no multiple of a row or a head
    assert convert(folder, tmp_path / "cut.gguf", "q8_0").path.read_bytes() == whole


def test_rows_without_whole_blocks_stay_f16(tmp_path: Path) -> None:
    config = LLAMA | {"intermediate_size": 90}
    _, tensors = read(convert(write_model(tmp_path / "m", config), tmp_path / "o", "q8_0").path)
    assert tensors["blk.0.ffn_down.weight"].tensor_type == GGUF.F16
    assert tensors["blk.0.ffn_up.weight"].tensor_type == GGUF.Q8_0


def test_a_tied_output_is_left_out(tmp_path: Path) -> None:
    config = LLAMA | {"tie_word_embeddings": True}
    weights = llama_tensors(LLAMA)  # some files have it all the same
    _, tensors = read(convert(write_model(tmp_path / "m", config, weights), tmp_path / "o").path)
    assert "output.weight" not in tensors


def experts(weights: dict[str, Any], fused: bool) -> dict[str, Any]:
    """The same model with four experts, one tensor each or fused."""
    rng = np.random.default_rng(3)
    made = {name: value for name, value in weights.items() if ".mlp." not in name}
    for i in range(2):
        up, down = (rng.standard_normal(s, dtype=np.float32) for s in ((4, 48, 64), (4, 64, 24)))
        layer = f"model.layers.{i}.mlp."
        made[layer + "gate.weight"] = rng.standard_normal((4, 64), dtype=np.float32)
        for kind in ("q", "k"):
            made[f"model.layers.{i}.self_attn.{kind}_norm.weight"] = np.ones(16, np.float32)
        if fused:
            made |= {layer + "experts.gate_up_proj": up, layer + "experts.down_proj": down}
            continue
        for e in reversed(range(4)):
            made[f"{layer}experts.{e}.gate_proj.weight"] = up[e, :24]
            made[f"{layer}experts.{e}.up_proj.weight"] = up[e, 24:]
            made[f"{layer}experts.{e}.down_proj.weight"] = down[e]
    return made


MOE = LLAMA | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
}


def test_experts_are_stacked_and_fused_ones_cut(tmp_path: Path) -> None:
    one = write_model(tmp_path / "one", MOE, experts(llama_tensors(LLAMA), fused=False))
    fused = write_model(tmp_path / "fused", MOE, experts(llama_tensors(LLAMA), fused=True))
    first = convert(one, tmp_path / "a.gguf", "f32", name="x").path
    second = convert(fused, tmp_path / "b.gguf", "f32", name="x").path
    assert first.read_bytes() == second.read_bytes()
    keys, tensors = read(first)
    source = experts(llama_tensors(LLAMA), fused=True)["model.layers.1.mlp.experts.gate_up_proj"]
    np.testing.assert_array_equal(values(tensors["blk.1.ffn_up_exps.weight"]), source[:, 24:])
    np.testing.assert_array_equal(values(tensors["blk.1.ffn_gate_exps.weight"]), source[:, :24])
    assert keys["qwen3moe.expert_feed_forward_length"] == 24
    assert keys["qwen3moe.expert_weights_norm"] is True
    assert tensors["blk.0.ffn_gate_inp.weight"].tensor_type == GGUF.F32


def test_a_missing_expert_is_named(tmp_path: Path) -> None:
    weights = experts(llama_tensors(LLAMA), fused=False)
    del weights["model.layers.1.mlp.experts.2.up_proj.weight"]
    with pytest.raises(ShapeError, match=r"blk\.1\.ffn_up_exps.*gap"):
        convert(write_model(tmp_path / "m", MOE, weights), tmp_path / "o.gguf")


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in LLAMA.items() if name != key}


QUANTIZED = {"quantization_config": {"quant_method": "gptq"}}
BAD_CONFIGS = {
    "no layers": (without("num_hidden_layers"), FormatError, "'num_hidden_layers' is missing"),
    "no heads": (LLAMA | {"num_attention_heads": 0}, FormatError, "num_attention_heads"),
    "text": (LLAMA | {"hidden_size": "64"}, FormatError, "hidden_size"),
    "a fraction": (LLAMA | {"hidden_size": 64.5}, FormatError, "hidden_size"),
    "no eps": (without("rms_norm_eps"), FormatError, "rms_norm_eps"),
    "unknown": (LLAMA | {"architectures": ["Foo"]}, UnsupportedError, "'?Foo"),
    "none": (without("architectures"), UnsupportedError, "Got none"),
    "quantized": (LLAMA | QUANTIZED, UnsupportedError, "gptq"),
    "activation": (LLAMA | {"hidden_act": "gelu"}, UnsupportedError, "gelu"),
    "rope": (LLAMA | {"rope_scaling": {"type": "dynamic"}}, UnsupportedError, "dynamic"),
    "rope text": (LLAMA | {"rope_scaling": "linear"}, FormatError, "rope"),
    "yarn": (LLAMA | {"rope_scaling": {"type": "yarn"}}, FormatError, "'factor'"),
    "more layers": (LLAMA | {"num_hidden_layers": 3}, ShapeError, r"blk\.2"),
    "fewer layers": (LLAMA | {"num_hidden_layers": 1}, ShapeError, r"blk\.1"),
    "absurd layers": (LLAMA | {"num_hidden_layers": 1 << 31}, FormatError, "at most"),
    "absurd heads": (LLAMA | {"head_dim": 1 << 31}, FormatError, "at most"),
    "absurd rope": (LLAMA | {"partial_rotary_factor": 1e30}, FormatError, "at most 1"),
    "odd heads": (LLAMA | {"num_attention_heads": 5}, ShapeError, "heads of 12"),
}


@pytest.mark.parametrize("name", sorted(BAD_CONFIGS))
def test_bad_configurations(tmp_path: Path, name: str) -> None:
    config, error, message = BAD_CONFIGS[name]
    folder = write_model(tmp_path / "m", config, llama_tensors(LLAMA))
    with pytest.raises(error, match=message):
        convert(folder, tmp_path / "o.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_tensors_that_are_not_known_are_not_dropped(tmp_path: Path) -> None:
    weights = llama_tensors(LLAMA) | {"model.layers.0.extra.weight": np.ones(3, np.float32)}
    with pytest.raises(UnsupportedError, match=r"model\.layers\.0\.extra"):
        convert(write_model(tmp_path / "m", tensors=weights), tmp_path / "o.gguf")
    weights = llama_tensors(LLAMA) | {
        "vision_tower.x.weight": np.ones(3, np.float32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32),
    }
    done = convert(write_model(tmp_path / "m", tensors=weights), tmp_path / "o.gguf")
    assert done.notes == ("1 tensors of other parts (images, audio, drafts) were left out",)


@pytest.mark.parametrize("old", [True, False], ids=["language_model.model", "model.language_model"])
def test_the_text_part_of_a_multimodal_model(tmp_path: Path, old: bool) -> None:
    text = {name: value for name, value in LLAMA.items() if name != "architectures"}
    config = {"architectures": ["Mistral3ForConditionalGeneration"], "text_config": text}
    weights = {}
    for name, value in llama_tensors(LLAMA).items():
        wrapped = name.replace("model.", "model.language_model.", 1)
        weights[f"language_model.{name}" if old else wrapped] = value
    front = "" if old else "model."
    weights[front + "vision_tower.layers.0.w.weight"] = np.ones((2, 2), np.float32)
    weights[front + "multi_modal_projector.linear.weight"] = np.ones((2, 2), np.float32)
    done = convert(write_model(tmp_path / "m", config, weights), tmp_path / "o.gguf", "f32")
    plain = convert(write_model(tmp_path / "p"), tmp_path / "p.gguf", "f32")
    assert done.architecture == "mistral3"
    assert done.notes == ("2 tensors of other parts (images, audio, drafts) were left out",)
    ours, theirs = read(done.path)[1], read(plain.path)[1]
    assert list(ours) == list(theirs)
    assert all(np.array_equal(ours[name].data, theirs[name].data) for name in ours)


@pytest.mark.parametrize(
    ("value", "kind", "error"),
    [(7e4, "f16", FormatError), (7e4, "bf16", None), (7e4, "q8_0", None),
     (9e6, "q8_0", FormatError), (np.inf, "q8_0", FormatError), (np.nan, "f16", FormatError)],
)  # fmt: skip
def test_values_that_do_not_fit(
    tmp_path: Path, value: float, kind: str, error: type[Exception] | None
) -> None:
    weights = llama_tensors(LLAMA)
    weights["model.layers.1.mlp.down_proj.weight"][5, 7] = value
    folder = write_model(tmp_path / "m", tensors=weights)
    if error is None:
        convert(folder, tmp_path / "o.gguf", kind)
        return
    with pytest.raises(error, match=r"down_proj.*Got"):
        convert(folder, tmp_path / "o.gguf", kind)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_full_disk_is_said_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "m")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match=r"disk is too full.* GB"):
        convert(folder, tmp_path / "o.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path) -> None:
    import resource
    import signal

    folder = write_model(tmp_path / "m")
    out = tmp_path / "o.gguf"
    out.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        with pytest.raises(ResourceError):
            convert(folder, out, "f32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "o.gguf"]


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = convert(
        write_model(tmp_path / "m"), tmp_path / "o.gguf", progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (done.nbytes, done.nbytes)
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(seen))


def test_missing_pieces_of_a_model(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="folder"):
        convert(tmp_path / "nothing", tmp_path / "o.gguf")
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ResourceError, match=r"tokenizer\.json"):
        convert(folder, tmp_path / "o.gguf")
    (folder / "tokenizer.model").write_bytes(b"IQ== 0\n")  # tiktoken's ranks
    with pytest.raises(TokenizerError, match="SentencePiece"):
        convert(folder, tmp_path / "o.gguf")
    (folder / "config.json").write_bytes(b"\xff")
    with pytest.raises(FormatError, match="UTF-8"):
        convert(folder, tmp_path / "o.gguf")
    write_json(folder / "config.json", [])
    with pytest.raises(FormatError, match="JSON object"):
        convert(folder, tmp_path / "o.gguf")
    (folder / "config.json").unlink()
    with pytest.raises(ResourceError, match=r"config\.json"):
        convert(folder, tmp_path / "o.gguf")
    with pytest.raises(GristmillError, match="q5_9"):
        convert(write_model(tmp_path / "n"), tmp_path / "o.gguf", "q5_9")
    with pytest.raises(ResourceError, match="no folder"):
        convert(write_model(tmp_path / "n"), tmp_path / "absent" / "o.gguf")


def test_gristmill_runs_what_it_converted(tmp_path: Path) -> None:
    path = convert(write_model(tmp_path / "m"), tmp_path / "o.gguf").path
    model = gristmill.Model.load(path)
    assert model.vocab_size == 520
    assert len(list(model.generate("Hi", max_tokens=3))) <= 4
