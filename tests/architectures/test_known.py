# SPDX-License-Identifier: MIT
"""Names that others run and this runtime does not: refused with what comes nearest."""

from __future__ import annotations

import pytest
from fakes import llama_file

import gguf
from gristmill.architectures import build_plan, known
from gristmill.architectures.known import ALONE, NEAREST
from gristmill.errors import UnsupportedError


def test_every_name_of_the_gguf_package_is_known() -> None:
    ours = {*known(), *NEAREST, *ALONE}
    assert set(gguf.MODEL_ARCH_NAMES.values()) <= ours


def test_the_tables_hold_what_is_true() -> None:
    running = set(known())
    assert set(NEAREST.values()) <= running
    assert not running & {*NEAREST, *ALONE}, "what runs leaves the table"
    assert not set(NEAREST) & set(ALONE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qwen3next", "'qwen3next' is known, but not supported yet.*nearest.*'qwen3'"),
        ("eurobert", "'eurobert' is known, but not supported yet.*vectors"),
        ("nonsense", "must be one of: bert, gemma, .*Got 'nonsense'"),
    ],
)
def test_messages(name: str, message: str) -> None:
    file = llama_file()
    file.metadata["general.architecture"] = name
    with pytest.raises(UnsupportedError, match=message):
        build_plan(file)
