# SPDX-License-Identifier: MIT
"""transformers models, converted and run: logits within 2e-3 (pip install ".[oracles]")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import TOLERANCE, kl_divergence

import gristmill
from gristmill.gguf import File

torch = pytest.importorskip("torch", reason="pip install '.[oracles]' for live comparisons")
pytest.importorskip("transformers", reason="pip install '.[oracles]' for live comparisons")
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("default")]

from converted import converted, save  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig  # noqa: E402
from transformers import MistralForCausalLM as Mistral  # noqa: E402

from gristmill.convert import convert  # noqa: E402

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 256,
    "initializer_range": 0.06,
    "attn_implementation": "eager",
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "mha": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 4}),
    "tied": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}),
    "wide heads": (LlamaForCausalLM, LlamaConfig, {"head_dim": 24}),
    "llama3 rope": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": LLAMA3}),
    "linear rope": (LlamaForCausalLM, LlamaConfig,
                    {"rope_parameters": LLAMA3 | {"rope_type": "linear", "factor": 4.0}}),
    "window": (Mistral, MistralConfig, {"sliding_window": 16}),
}  # fmt: skip
TOKENS = np.random.default_rng(7).integers(0, 319, 64)


def build(name: str) -> Any:
    torch.manual_seed(3)
    model, config, changes = MODELS[name]
    return model(config(**(SHAPE | changes))).eval()


def reference(model: Any) -> Any:
    with torch.no_grad():
        return model.float()(torch.from_numpy(TOKENS)[None]).logits[0].numpy()


def ours(path: Path) -> Any:
    session = gristmill.Model.load(path).session(all_logits=True)
    session.append(TOKENS.tolist())
    return np.array(session.logits())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_logits(name: str, tmp_path: Path) -> None:
    model = build(name)
    expected = reference(model)
    assert expected.std() > 0.2  # a model that says something
    assert np.abs(ours(converted(model, tmp_path)) - expected).max() <= TOLERANCE


def test_parts_give_the_same_file(tmp_path: Path) -> None:
    model = build("llama")
    one = convert(save(model, tmp_path / "one"), tmp_path / "1.gguf", "f32", name="x").path
    folder = save(model, tmp_path / "parts", max_shard_size="60KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    assert convert(folder, tmp_path / "2.gguf", "f32", name="x").path.read_bytes() == (
        one.read_bytes()
    )


@pytest.mark.parametrize(("kind", "budget"), [("f16", 1e-6), ("bf16", 2e-5), ("q8_0", 1e-3)])
def test_other_types(kind: str, budget: float, tmp_path: Path) -> None:
    model = build("llama")
    assert kl_divergence(reference(model), ours(converted(model, tmp_path, kind))) <= budget


def test_a_bf16_checkpoint_keeps_its_values(tmp_path: Path) -> None:
    model = build("llama").to(torch.bfloat16)
    path = converted(model, tmp_path, "auto")
    assert File(path).tensors["blk.0.attn_q.weight"].type == "BF16"
    assert np.abs(ours(path) - reference(model)).max() <= TOLERANCE
