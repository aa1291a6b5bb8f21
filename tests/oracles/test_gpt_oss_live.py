# SPDX-License-Identifier: MIT
"""The MXFP4 weights of gpt-oss: converted as they are, against transformers, which expands them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_tiny import CASES, COUNT, convert_folder, save_checkpoint
from test_parity_goldens import recorded
from tiny_models import kl_divergence

from gristmill import Model
from gristmill.gguf import File

torch = pytest.importorskip("torch", reason="pip install '.[oracles]' for live comparisons")
transformers = pytest.importorskip("transformers", reason="pip install '.[oracles]'")
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("default")]

from parity import TOKENS, hf_logits, our_logits  # noqa: E402
from transformers.integrations.mxfp4 import convert_moe_packed_tensors  # noqa: E402


def quantized(weights: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Random blocks in place of the experts' matrices, and those expanded by transformers."""
    rng = np.random.default_rng(5)
    blocks, floats = dict(weights), dict(weights)
    for name, matrix in weights.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            continue
        experts, columns, rows = matrix.shape
        codes = rng.integers(0, 256, (experts, rows, columns // 32, 16), dtype=np.uint8)
        scales = rng.integers(120, 124, codes.shape[:3], dtype=np.uint8)
        del blocks[name]
        blocks |= {name + "_blocks": codes, name + "_scales": scales}
        parts = (torch.from_numpy(part) for part in (codes, scales))
        floats[name] = convert_moe_packed_tensors(*parts, dtype=torch.float32).numpy()
        assert floats[name].shape == matrix.shape
    return blocks, floats


def test_mxfp4_checkpoint(data_dir: Path, tmp_path: Path) -> None:
    config, weights = recorded("gpt-oss", data_dir)
    blocks, floats = quantized(weights)
    for folder, part in (("mxfp4", blocks), ("float", floats)):
        (tmp_path / folder).mkdir()
        save_checkpoint(tmp_path / folder, config, part)
    stated = json.loads(config) | {"quantization_config": {"quant_method": "mxfp4"}}
    (tmp_path / "mxfp4" / "config.json").write_text(json.dumps(stated))
    path = convert_folder(tmp_path / "mxfp4")
    assert File(path).tensors["blk.0.ffn_up_exps.weight"].type == "MXFP4"
    model = transformers.GptOssForCausalLM.from_pretrained(
        tmp_path / "float", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    theirs = hf_logits(model, TOKENS)
    ours = our_logits(Model.load(path, threads=1), CASES["gpt-oss"].context, TOKENS, COUNT)
    assert theirs.std() > 0.3
    assert kl_divergence(theirs, ours) < 1e-3
