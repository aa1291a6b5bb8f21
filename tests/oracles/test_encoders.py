# SPDX-License-Identifier: MIT
"""Every architecture that gives embeddings or scores, against transformers.

With F32 weights hidden states to 2e-3 (most of which is F16 keys and values) and pooled embeddings
to a cosine distance of 1e-4; with Q8_0 weights their cosine is above 0.999.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hf_encoders import ENCODERS
from tiny_models import TOLERANCE, TOLERANCE_F16_CACHE

pytest.importorskip("torch", reason="pip install '.[oracles]' for live comparisons")
pytest.importorskip("transformers", reason="pip install '.[oracles]' for live comparisons")
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("default")]

from hf_encoders import measure_encoder  # noqa: E402


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_parity(name: str, tmp_path: Path) -> None:
    result = measure_encoder(name, tmp_path)
    print(f"{name}: {result}")
    assert 0.3 < result.deviation < 3, "the oracle's numbers are not flat"
    assert result.error <= TOLERANCE
    assert result.error_f16 <= TOLERANCE_F16_CACHE
    assert result.distance <= 1e-4
    assert result.cosine_q8_0 > 0.999
