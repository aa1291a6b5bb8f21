# SPDX-License-Identifier: MIT
"""Live comparisons with transformers (pip install ".[oracles]"): logits and KL divergence.

F32 weights agree to 2e-3. Quantized weights meet activations in INT8 here and F32 there, so those
rows bound the KL divergence, and print it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from stories260k import TEXT, convert
from tiny_models import BLOCKS, TINY, TOKENS, kl_divergence, write_tiny

import gristmill
from make_model import random_model

pytest.importorskip("torch", reason="pip install '.[oracles]' for live comparisons")
pytest.importorskip("transformers", reason="pip install '.[oracles]' for live comparisons")
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("default")]

from hf_llama import hf_logits, llama_from_gguf  # noqa: E402

# Mean KL divergence in nats, at most. Measured values are about half of these.
KL_BUDGETS = {
    "F16": 1e-5,
    "BF16": 1e-4,
    "Q8_0": 5e-4,
    "Q6_K": 5e-4,
    "Q5_0": 5e-4,
    "Q5_K_S": 5e-4,
    "Q4_0": 5e-4,
    "Q4_K_M": 5e-4,
}


def _ours(path: Path, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    session = gristmill.Model.load(path).session(all_logits=True)
    session.append(tokens.tolist())
    return np.array(session.logits())


@pytest.mark.parametrize("name", sorted(TINY))
def test_tiny_f32(name: str, tmp_path: Path) -> None:
    path = write_tiny(tmp_path, name)
    difference = np.abs(_ours(path, TOKENS) - hf_logits(llama_from_gguf(path), TOKENS)).max()
    assert difference <= 2e-3, float(difference)


@pytest.mark.parametrize("file_type", sorted(KL_BUDGETS))
def test_tiny_quantized(
    file_type: str, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    path = tmp_path / "blocks.gguf"
    random_model(path, BLOCKS, file_type, seed=5)
    reference = hf_logits(llama_from_gguf(path), TOKENS)
    divergence = kl_divergence(reference, _ours(path, TOKENS))
    record_property("kl_nats", divergence)
    print(f"{file_type}: KL {divergence:.2e} nats")
    assert divergence <= KL_BUDGETS[file_type]


def test_bundled_model(bundled_model: Path, record_property: pytest.RecordProperty) -> None:
    model = gristmill.Model.load(bundled_model)
    tokens = np.array(model.encode(TEXT), dtype=np.int32)
    reference = hf_logits(llama_from_gguf(bundled_model), tokens)
    divergence = kl_divergence(reference, _ours(bundled_model, tokens))
    record_property("kl_nats", divergence)
    print(f"bundled model: KL {divergence:.2e} nats")
    assert divergence <= 2e-3


def test_stories260k(external_data: Path, tmp_path: Path) -> None:
    path = convert(external_data / "weights/stories260K", tmp_path / "stories.gguf", "F32")
    tokens = np.array(gristmill.Model.load(path).encode(TEXT * 2), dtype=np.int32)
    reference = hf_logits(llama_from_gguf(path), tokens)
    assert np.abs(_ours(path, tokens) - reference).max() <= 2e-3
    # The oracle knows the text: a wrong conversion would not.
    loss = -np.mean([
        reference[i][t] - np.logaddexp.reduce(reference[i].astype(np.float64))
        for i, t in enumerate(tokens[1:60])
    ])  # fmt: skip
    assert loss < 1.5
