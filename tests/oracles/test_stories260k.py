# SPDX-License-Identifier: MIT
"""A small trained model that everybody knows: greedy decoding gives the known text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stories260k import TEXT, convert

import gristmill
from gristmill.sampling import SamplingParams


@pytest.mark.parametrize("type_name", ["F32", "F16"])
def test_greedy_text(type_name: str, external_data: Path, tmp_path: Path) -> None:
    path = convert(external_data / "weights/stories260K", tmp_path / "stories.gguf", type_name)
    session = gristmill.Model.load(path).session()
    greedy = SamplingParams(temperature=0)
    pieces = session.generate([1], max_tokens=80, sampling=greedy)
    text = "".join(piece.text for piece in pieces)
    assert text.strip().startswith(TEXT)


def test_greedy_by_hand(external_data: Path, tmp_path: Path) -> None:
    """The same from logits alone, with no sampler and no prefix cache in between."""
    path = convert(external_data / "weights/stories260K", tmp_path / "stories.gguf", "F32")
    model = gristmill.Model.load(path)
    session, tokens = model.session(), [1]
    for _ in range(60):
        session.append(tokens[-1:])
        tokens.append(int(np.argmax(session.logits()[-1])))
    assert model.tokenizer.decode(tokens[1:]).strip().startswith(TEXT[:90])


def test_tokenizer_round_trip(external_data: Path, tmp_path: Path) -> None:
    path = convert(external_data / "weights/stories260K", tmp_path / "stories.gguf", "F32")
    model = gristmill.Model.load(path)
    tokens = model.encode(TEXT)
    assert tokens[0] == 1
    assert model.tokenizer.decode(tokens[1:]).strip() == TEXT
