# SPDX-License-Identifier: MIT
"""Every architecture against transformers: the same logits, from the same checkpoint.

With F32 weights to 2e-3, most of which is our F16 KV cache. With Q8_0 weights the KL divergence is
below 1e-3 nats. docs/models.md shows the same numbers (write_models.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hf_encoders import ENCODERS
from hf_tiny import CASES
from tiny_models import TOLERANCE, TOLERANCE_F16_CACHE

from gristmill.architectures import known

pytest.importorskip("torch", reason="pip install '.[oracles]' for live comparisons")
pytest.importorskip("transformers", reason="pip install '.[oracles]' for live comparisons")
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("default")]

from parity import measure  # noqa: E402

NO_CASE = {"mistral"}  # another name of llama


def test_every_architecture_has_a_case() -> None:
    cases = [*CASES.values(), *ENCODERS.values()]
    assert {case.architecture for case in cases} == set(known()) - NO_CASE


@pytest.mark.parametrize("name", sorted(CASES))
def test_parity(name: str, tmp_path: Path) -> None:
    result = measure(name, tmp_path)
    print(f"{name}: {result}")
    assert result.architecture == CASES[name].architecture
    assert 0.3 < result.deviation < 3, "the oracle's logits are not flat"
    assert result.error <= TOLERANCE
    assert result.error_f16 <= TOLERANCE_F16_CACHE
    assert result.same_bits
    assert result.same_greedy
    assert result.kl_q8_0 < 1e-3
