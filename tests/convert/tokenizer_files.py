# SPDX-License-Identifier: MIT
"""tokenizer.json files for tests, the texts that tokenizers are compared on, and what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checkpoints import DATA, write_json
from hypothesis import strategies as st

from gristmill.convert.pretokenizer import TEST_TEXT
from gristmill.convert.vocabulary import Vocabulary
from gristmill.tokenizer import Tokenizer, from_metadata

MIXED = [
    "", " ", "Hello world", "  two  spaces ", "tab\tand\nnew\r\nlines\n", "na\u00efve caf\u00e9",
    "\u4f60\u597d\u4e16\u754c", "\U0001f600\U0001f468\u200d\U0001f469", "don't I'LL we've",
    "3.14159 and 1000000", "\u0434\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c",
    "a\u0301\u0327", "\u2581x\u2581", "x = {'a': [1, 2]}\n    return x", "\u0000\u0001\u007f",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627", TEST_TEXT.lstrip(),
]  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def tokenizer_of(vocab: Vocabulary, **special: Any) -> Tokenizer:
    keys = vocab.keys() | special
    return from_metadata({f"tokenizer.ggml.{key}": value for key, value in keys.items()})


def added(token: int, text: str, special: bool) -> dict[str, Any]:
    """An entry of added_tokens."""
    switches = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": text, "special": special, **switches}


def bytelevel(folder: Path, **changes: Any) -> dict[str, Any]:
    """tests/data's tokenizer.json with changes, written to `folder`."""
    data: dict[str, Any] = json.loads((DATA / "bytelevel.json").read_text(encoding="utf-8"))
    data |= changes
    write_json(folder / "tokenizer.json", data)
    return data
