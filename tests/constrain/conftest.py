# SPDX-License-Identifier: MIT
"""The bundled model's vocabulary."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from gristmill import Model

pytest.importorskip("llguidance", reason="structured output needs llguidance")

if TYPE_CHECKING:
    from accepting import Accepts

    from gristmill.constrain import Vocabulary


@pytest.fixture(scope="session")
def model() -> Model:
    return Model.load(threads=2)


@pytest.fixture(scope="session")
def vocabulary(model: Model) -> Vocabulary:
    return model.constrainer


@pytest.fixture(scope="session")
def accepts(vocabulary: Vocabulary) -> Accepts:
    """Whether a constraint allows exactly this text."""
    from accepting import accepts_text

    return partial(accepts_text, vocabulary)
