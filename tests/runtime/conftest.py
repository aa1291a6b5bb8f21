# SPDX-License-Identifier: MIT
"""Shared fixtures of the runtime's tests: the bundled model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gristmill import Model, Session


@pytest.fixture(scope="session")
def model() -> Model:
    """The bundled model; these tests are nothing without it."""
    from gristmill import Model

    return Model.load(threads=2)


@pytest.fixture
def session(model: Model) -> Session:
    """A fresh session of the bundled model."""
    return model.session()
