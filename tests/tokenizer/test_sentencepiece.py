# SPDX-License-Identifier: MIT
"""SentencePiece vocabularies against the sentencepiece library on its own model."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import texts
from vocabularies import (
    KEY,
    load_sentencepiece,
    normalization_table,
    sentencepiece_metadata,
)

from gristmill.errors import TokenizerError
from gristmill.tokenizer import Tokenizer, from_metadata

# U+2581 is how SentencePiece writes a space: the one letter it cannot tell apart.
TEXTS = texts(without="\u2581")
ENGLISH = st.text(alphabet="abdehilnorstw TBA,.'\n0", max_size=80)


def _plain(text: str) -> bool:
    return "\n\n" not in text and "<mark>" not in text


@given(st.one_of(TEXTS, ENGLISH).filter(_plain))
def test_same_ids_as_the_library(spm: Tokenizer, spm_model: bytes, text: str) -> None:
    ids = spm.encode(text, add_special=False, parse_special=False)
    assert ids == load_sentencepiece(spm_model).encode(text)


@given(st.one_of(TEXTS, ENGLISH))
def test_round_trip(spm: Tokenizer, text: str) -> None:
    assert spm.decode(spm.encode(text, add_special=False, parse_special=False)) == text


@given(st.lists(st.sampled_from(["<|im_start|>", "<mark>", "\n\n", "<s>", " a", "b ", "\u00e9"])))
def test_round_trip_with_special_tokens(spm: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    assert spm.decode(spm.encode(text, add_special=False)) == text


def test_text_after_a_special_token_begins_afresh(spm: Tokenizer) -> None:
    alone = spm.encode("Alice", add_special=False)
    start = spm.encode("<|im_start|>", add_special=False)
    assert len(start) == 1
    assert spm.encode("<|im_start|>Alice<|im_start|>Alice", add_special=False) == (
        start + alone + start + alone
    )
    assert spm.token_text(alone[0]).startswith("\u2581")


def test_no_space_prefix_when_the_file_says_so(spm_metadata: dict[str, Any]) -> None:
    tokenizer = from_metadata(spm_metadata | {KEY + "add_space_prefix": False})
    ids = tokenizer.encode("Alice", add_special=False)
    assert not tokenizer.token_text(ids[0]).startswith("\u2581")
    assert tokenizer.decode(ids) == "Alice"
    assert tokenizer.decode(tokenizer.encode(" Alice", add_special=False)) == " Alice"


def test_bos_and_eos_follow_the_file(spm_metadata: dict[str, Any]) -> None:
    tokenizer = from_metadata(spm_metadata)
    inner = tokenizer.encode("Alice", add_special=False)
    assert tokenizer.encode("Alice") == [1, *inner]
    assert tokenizer.encode("") == [1]
    assert tokenizer.encode("<s>Alice") == [1, *inner], "a template's own bos is not doubled"
    both = from_metadata(spm_metadata | {KEY + "add_bos_token": False, KEY + "add_eos_token": True})
    assert both.encode("Alice") == [*inner, 2]
    assert both.encode("") == [2]


def test_spaces_are_collapsed_only_on_request(spm_metadata: dict[str, Any]) -> None:
    kept = from_metadata(spm_metadata)
    collapsed = from_metadata(spm_metadata | {KEY + "remove_extra_whitespaces": True})
    assert kept.decode(kept.encode("a   b")) == "<s>a   b"
    assert collapsed.decode(collapsed.encode("a   b")) == "<s>a b"


@pytest.fixture(scope="module", params=["plain", "bytes", "no prefix", "spaces kept"])
def unigram(request: pytest.FixtureRequest, make_tokenizer: ModuleType) -> tuple[Any, Tokenizer]:
    """The library's processor of a unigram model with a normalization table, and ours."""
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "bytes": {"byte_fallback": True, "vocab_size": 512},
        "no prefix": {"add_dummy_prefix": False},
        "spaces kept": {"remove_extra_whitespaces": False, "vocab_size": 200},
    }
    asked = {"model_type": "unigram", "vocab_size": 256, "pad_id": 3} | options[request.param]
    model = make_tokenizer.train_sentencepiece(**asked)
    metadata = sentencepiece_metadata(model, "t5") | {
        KEY + "precompiled_charsmap": np.frombuffer(normalization_table(model), np.int8),
        KEY + "remove_extra_whitespaces": asked.get("remove_extra_whitespaces", True),
        KEY + "add_space_prefix": asked.get("add_dummy_prefix", True),
        KEY + "add_eos_token": False,
    }
    return load_sentencepiece(model), from_metadata(metadata)


@given(st.one_of(texts(specials=False), ENGLISH))
def test_unigram_ids_are_the_librarys(unigram: tuple[Any, Tokenizer], text: str) -> None:
    library, ours = unigram
    assert ours.encode(text, add_special=False, parse_special=False) == library.encode(text)


def test_unigram_normalizes(unigram: tuple[Any, Tokenizer]) -> None:
    library, ours = unigram
    assert ours.source.startswith("SentencePiece unigram from GGUF")
    for text in ("the \uff37\uff28\uff29\uff34\uff25 \ufb01eld", "a\u3000b", "x  y "):
        assert ours.encode(text, add_special=False) == library.encode(text)
    wide = ours.encode("\uff41\uff4c\uff49\uff43\uff45", add_special=False)
    assert wide == ours.encode("alice", add_special=False)


@pytest.mark.parametrize(
    "table",
    [b"", b"\4\0\0\0\xff\xff\xff\x7fa\0", b"\x01", b"\xff\xff\xff\x7fabcd", b"\x05\0\0\0abcdefgh"],
)
def test_a_broken_normalization_table_is_refused(
    spm_metadata: dict[str, Any], table: bytes
) -> None:
    metadata = spm_metadata | {
        KEY + "model": "t5",
        KEY + "precompiled_charsmap": np.frombuffer(table, np.uint8),
    }
    with pytest.raises(TokenizerError, match="normalization table"):
        from_metadata(metadata)


def test_odd_tokens_do_not_stop_the_rest(spm_metadata: dict[str, Any]) -> None:
    """Repeated, empty and non-UTF-8 texts, a NUL, two unknown tokens."""
    odd = ["\u2581the", "", "\udcff\udcfe", "a\0b", "<unk2>"]
    count = len(spm_metadata[KEY + "tokens"])
    metadata = spm_metadata | {
        KEY + "tokens": spm_metadata[KEY + "tokens"] + odd,
        KEY + "scores": np.append(spm_metadata[KEY + "scores"], np.float32([9, 9, 9, 0, 0])),
        KEY + "token_type": np.append(spm_metadata[KEY + "token_type"], [1, 1, 1, 1, 2]),
    }
    tokenizer = from_metadata(metadata)
    plain = from_metadata(spm_metadata)
    text = "the rabbit took the watch"
    assert tokenizer.encode(text) == plain.encode(text)
    assert tokenizer.token_bytes(count + 2) == b"\xff\xfe"
    assert tokenizer.decode([count + 1]) == ""
    assert any("repeat" in note for note in tokenizer.notes)


def test_without_byte_tokens_letters_outside_are_unknown(spm_metadata: dict[str, Any]) -> None:
    types = spm_metadata[KEY + "token_type"].copy()
    types[types == 6] = 5
    tokenizer = from_metadata(spm_metadata | {KEY + "token_type": types})
    assert tokenizer.special.unk in tokenizer.encode("\u4e16")
    assert any("byte tokens" in note for note in tokenizer.notes)


def test_a_model_without_an_unknown_token_drops_what_it_cannot_spell(
    spm_metadata: dict[str, Any],
) -> None:
    types = spm_metadata[KEY + "token_type"].copy()
    types[types == 6] = 5
    types[0] = 5
    del spm_metadata[KEY + "unknown_token_id"]
    tokens = ["[unused]", *spm_metadata[KEY + "tokens"][1:]]
    tokenizer = from_metadata(spm_metadata | {KEY + "tokens": tokens, KEY + "token_type": types})
    assert tokenizer.special.unk is None
    ids = tokenizer.encode("a\u4e16b", add_special=False)
    assert max(ids) < tokenizer.vocab_size
    assert tokenizer.decode(ids) == "ab"
