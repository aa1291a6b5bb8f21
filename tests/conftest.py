# SPDX-License-Identifier: MIT
"""Shared fixtures: where the larger data lie, and hypothesis profiles that fit a busy machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Two busy cores: a deadline per example would measure the neighbours, not the code.
settings.register_profile(
    "gristmill", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("gristmill")

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """tests/data: what the suite needs always."""
    return TESTS / "data"


@pytest.fixture(scope="session")
def external_data() -> Path:
    """The folder that GRISTMILL_DATA names: trained weights, vocabularies, templates, corpora."""
    folder = os.environ.get("GRISTMILL_DATA")
    if not folder:
        pytest.skip("GRISTMILL_DATA is not set: no external weights, vocabularies and templates")
    return Path(folder)


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    """The model that the wheel carries."""
    import gristmill

    path = Path(gristmill.__file__).parent / "data" / "gristmill-tales-q8_0.gguf"
    if not path.exists():
        pytest.skip("this build of gristmill carries no bundled model")
    return path
