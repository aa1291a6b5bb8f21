# SPDX-License-Identifier: MIT
"""docs/adding-a-model.md shows code that exists: each block with a path is in that file."""

from __future__ import annotations

import re

from lint_sources import ROOT

BLOCK = re.compile(r"^```(?:python|text) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_shown_code_is_in_the_files() -> None:
    blocks = BLOCK.findall((ROOT / "docs/adding-a-model.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 4
    for path, code in blocks:
        assert code in (ROOT / path).read_text(encoding="utf-8"), f"{path} has not:\n{code}"
