# SPDX-License-Identifier: MIT
"""The small files beside a checkpoint, with anything in them: one typed error or a conversion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkpoints import LLAMA, llama_tensors, write_json, write_model
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import GristmillError
from gristmill.convert import converter
from gristmill.convert.safetensors import Checkpoint

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70), st.integers(), st.floats(), st.text(max_size=5)
)
KEYED = st.sampled_from(["content", "type", "id", "name", "ids", "0"]) | st.text(max_size=3)
VALUES = st.one_of(
    SCALARS,
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(KEYED, SCALARS, max_size=3),
    st.lists(st.dictionaries(KEYED, SCALARS, max_size=3), max_size=2),
)
ROPE = {
    "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4,
    "long_factor": [1.0] * 8, "short_factor": [1.0] * 8,
}  # fmt: skip
CONFIGS = {
    "LlamaForCausalLM": LLAMA,
    "Phi3ForCausalLM": LLAMA,
    "Gemma3ForCausalLM": LLAMA | {"layer_types": ["full_attention"] * 2, "sliding_window": 8},
    "Qwen2ForCausalLM": LLAMA | {"use_sliding_window": True, "sliding_window": 8},
    "GraniteForCausalLM": LLAMA | {"logits_scaling": 8.0},
}
KEYS = [
    *LLAMA, "rope_scaling", "rope_parameters", "head_dim", "layer_types", "sliding_window",
    "text_config", "quantization_config", "hidden_activation", "eos_token_id", "logits_scaling",
    "use_sliding_window", "max_window_layers", "query_pre_attn_scalar", "tie_word_embeddings",
]  # fmt: skip
BESIDE = {
    "tokenizer_config.json": (
        "bos_token", "eos_token", "add_bos_token", "add_prefix_space", "chat_template",
        "added_tokens_decoder",
    ),
    "generation_config.json": ("eos_token_id", "temperature", "top_k", "do_sample"),
    "added_tokens.json": ("<x>",),
    "tokenizer.json": ("added_tokens", "pre_tokenizer", "post_processor", "normalizer", "decoder"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("fuzz") / "m", LLAMA, llama_tensors(LLAMA))


def prepare(folder: Path) -> None:
    """All of a conversion but the writing."""
    try:
        converter._contents(folder, Checkpoint(folder), "auto", None, None)
    except GristmillError as error:
        text = str(error)
        assert text.startswith("[")
        assert len(text) < 2000


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(CONFIGS)), key=st.sampled_from(KEYS), value=VALUES)
def test_config(folder: Path, name: str, key: str, value: Any) -> None:
    config = CONFIGS[name] | {"architectures": [name], "rope_parameters": ROPE, key: value}
    write_json(folder / "config.json", config)
    prepare(folder)


@settings(max_examples=200)
@given(key=st.sampled_from(sorted(ROPE)), value=VALUES, name=st.sampled_from(sorted(CONFIGS)))
def test_rope(folder: Path, key: str, value: Any, name: str) -> None:
    config = CONFIGS[name] | {"architectures": [name], "rope_parameters": ROPE | {key: value}}
    write_json(folder / "config.json", config)
    prepare(folder)


@settings(max_examples=300)
@given(
    target=st.sampled_from([(file, key) for file, keys in BESIDE.items() for key in keys]),
    value=VALUES,
)
def test_files_beside(folder: Path, target: tuple[str, str], value: Any) -> None:
    write_json(folder / "config.json", LLAMA)
    path = folder / target[0]
    before = path.read_bytes() if path.is_file() else None
    whole = json.loads(before) if before else {}
    write_json(path, whole | {target[1]: value})
    try:
        prepare(folder)
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


@given(at=st.integers(0, 4000), patch=st.binary(max_size=5))
def test_bytes_of_tokenizer_json(folder: Path, at: int, patch: bytes) -> None:
    write_json(folder / "config.json", LLAMA)
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    data = (folder / "tokenizer.json").read_bytes()
    (copy / "tokenizer.json").write_bytes(data[:at] + patch + data[at + len(patch) :])
    prepare(copy)
