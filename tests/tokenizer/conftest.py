# SPDX-License-Identifier: MIT
"""Fixtures of the tokenizer tests: the small vocabularies that are always there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from vocabularies import bytelevel_metadata, sentencepiece_metadata

from gristmill.tokenizer import Tokenizer, from_metadata


@pytest.fixture(scope="session")
def spm_model(data_dir: Path) -> bytes:
    return (data_dir / "tokenizer" / "sentencepiece.model").read_bytes()


@pytest.fixture
def spm_metadata(spm_model: bytes) -> dict[str, Any]:
    return sentencepiece_metadata(spm_model)


@pytest.fixture
def bpe_metadata(data_dir: Path) -> dict[str, Any]:
    return bytelevel_metadata(data_dir / "tokenizer" / "bytelevel.json")


@pytest.fixture(scope="session")
def spm(spm_model: bytes) -> Tokenizer:
    return from_metadata(sentencepiece_metadata(spm_model))


@pytest.fixture(scope="session")
def bpe(data_dir: Path) -> Tokenizer:
    return from_metadata(bytelevel_metadata(data_dir / "tokenizer" / "bytelevel.json"))


@pytest.fixture(scope="session")
def make_tokenizer(data_dir: Path) -> ModuleType:
    """tests/data/make_tokenizer.py as a module."""
    spec = importlib.util.spec_from_file_location("make_tokenizer", data_dir / "make_tokenizer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
