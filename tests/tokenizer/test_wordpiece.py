# SPDX-License-Identifier: MIT
"""WordPiece against the tokenizers library, from the same vocabulary with BERT's own marks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import texts
from vocabularies import CONTROL, KEY, NORMAL, UNKNOWN

from gristmill.tokenizer import Tokenizer, from_metadata

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the cat sat on the mat",
    "Alice was here, caf\u00e9 no. 12!",
    "\u4e16 \u754c a-b",
    "THE END",
)
LETTERS = st.text(alphabet="thecasonmTHE \u00e9\u0301.,!12\u4e16-[]#", max_size=60)


@pytest.fixture(scope="module", params=["uncased", "cased", "lower with accents"])
def wordpiece(request: pytest.FixtureRequest) -> tuple[Any, Tokenizer]:
    """The library's tokenizer for BERT, and ours from what a converter writes of it."""
    from tokenizers import BertWordPieceTokenizer

    lowercase, strip = request.param != "cased", request.param == "uncased"
    trained = BertWordPieceTokenizer(lowercase=lowercase, strip_accents=strip)
    trained.train_from_iterator(WORDS, vocab_size=120, special_tokens=list(SPECIAL))
    ids = trained.get_vocab()
    library = BertWordPieceTokenizer(ids, lowercase=lowercase, strip_accents=strip)
    ordered = sorted(ids, key=ids.__getitem__)
    kinds = dict.fromkeys(SPECIAL, CONTROL) | {"[UNK]": UNKNOWN}

    def marked(text: str) -> str:
        if text in SPECIAL:
            return text
        return text[2:] if text.startswith("##") else "\u2581" + text

    metadata = {
        KEY + "model": "bert",
        KEY + "tokens": [marked(text) for text in ordered],
        KEY + "token_type": np.array([kinds.get(text, NORMAL) for text in ordered], "i4"),
        KEY + "cls_token_id": ids["[CLS]"],
        KEY + "seperator_token_id": ids["[SEP]"],
        KEY + "unknown_token_id": ids["[UNK]"],
        KEY + "normalizer.lowercase": lowercase,
        KEY + "normalizer.strip_accents": strip,
    }
    return library, from_metadata(metadata)


@given(st.one_of(texts(), LETTERS))
def test_ids_are_the_librarys(wordpiece: tuple[Any, Tokenizer], text: str) -> None:
    library, ours = wordpiece
    assert (
        ours.encode(text, add_special=False) == library.encode(text, add_special_tokens=False).ids
    )


def test_the_frame(wordpiece: tuple[Any, Tokenizer]) -> None:
    library, ours = wordpiece
    assert ours.encode("the cat") == library.encode("the cat").ids
    assert ours.encode("") == library.encode("").ids


def test_words_that_are_too_long_are_unknown(wordpiece: tuple[Any, Tokenizer]) -> None:
    library, ours = wordpiece
    for count in (100, 101):
        text = "t" * count
        assert ours.encode(text) == library.encode(text).ids
    assert ours.encode("t" * 101, add_special=False) == [ours.special.unk]
