# SPDX-License-Identifier: MIT
"""Logits of the tiny models against what transformers computed for them (recorded, no torch)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import TINY, TOKENS, TOLERANCE, TOLERANCE_F16_CACHE, digest, write_tiny

import gristmill


@pytest.mark.parametrize("batch", [1, 5, 512])
@pytest.mark.parametrize("name", sorted(TINY))
def test_tiny_logits(name: str, batch: int, data_dir: Path, tmp_path: Path) -> None:
    with np.load(data_dir / "goldens/tiny_llama.npz") as goldens:
        exact, rounded = goldens[f"{name}.exact"], goldens[f"{name}.f16_cache"]
        sha256 = str(goldens[f"{name}.sha256"])
    path = write_tiny(tmp_path, name)
    assert digest(path) == sha256, "random_model writes other files: record the goldens again"
    session = gristmill.Model.load(path).session(all_logits=True)
    rows = []
    for start in range(0, len(TOKENS), batch):
        session.append(TOKENS[start : start + batch].tolist())
        rows.append(np.array(session.logits()))
    logits = np.concatenate(rows)
    assert np.abs(logits - exact).max() <= TOLERANCE
    assert np.abs(logits - rounded).max() <= TOLERANCE_F16_CACHE
    assert 0.3 < exact.std() < 1.0, "the goldens are not flat"
