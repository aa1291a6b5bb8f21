# SPDX-License-Identifier: MIT
"""Fixtures: small random models, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from random_llama import Tiny, write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Tiny], Path]:
    """The file of a shape."""
    folder = tmp_path_factory.mktemp("tiny")
    made: dict[Tiny, Path] = {}

    def path_of(shape: Tiny) -> Path:
        if shape not in made:
            made[shape] = write(folder / f"{len(made)}.gguf", shape)
        return made[shape]

    return path_of
