# SPDX-License-Identifier: MIT
"""Byte-level BPE against the tokenizers library on its own file; the table of pre-tokenizers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import KEY

from gristmill.tokenizer import Tokenizer, from_metadata
from gristmill.tokenizer.pretokenizers import PRETOKENIZERS

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]))
ENGLISH = st.text(alphabet="abdehilnorstw TBA,.'!\n\t0", max_size=80)
SAMPLE = (
    "The year 12345, it's 100% DONE\u2019s caf\u00e9 \u4e16\u754c\u3053 \u0e01\u0e33  x\r\n\n y();"
)


@lru_cache(maxsize=1)
def _library(path: Path) -> Any:
    import tokenizers

    return tokenizers.Tokenizer.from_file(str(path))


@given(st.one_of(TEXTS, ENGLISH))
def test_same_ids_as_the_library(bpe: Tokenizer, data_dir: Path, text: str) -> None:
    library = _library(data_dir / "tokenizer" / "bytelevel.json")
    assert bpe.encode(text) == library.encode(text).ids


@given(st.one_of(TEXTS, ENGLISH))
def test_round_trip(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == text


@given(st.binary(max_size=40))
def test_every_byte_has_its_token(bpe: Tokenizer, data: bytes) -> None:
    letters = {bpe.token_bytes(i): i for i in range(3, 259)}
    assert len(letters) == 256
    ids = [letters[bytes([byte])] for byte in data]
    assert b"".join(map(bpe.token_bytes, ids)) == data
    assert bpe.decode(ids) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("name", sorted(PRETOKENIZERS))
def test_every_pretokenizer_compiles_and_loses_nothing(
    bpe_metadata: dict[str, Any], name: str
) -> None:
    tokenizer = from_metadata(bpe_metadata | {KEY + "pre": name})
    ids = tokenizer.encode(SAMPLE, add_special=False)
    assert tokenizer.decode(ids) == SAMPLE
    assert tokenizer.notes == []
    assert f"({name})" in tokenizer.source


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gpt-2", "Hello  World 123's", ["Hello", " ", " World", " 123", "'s"]),
        ("llama-bpe", "12345 IT'S\n\n  x", ["123", "45", " IT", "'S", "\n\n", " ", " x"]),
        ("qwen2", "12 a", ["1", "2", " a"]),
        ("falcon", "12345, a", ["123", "45", ",", " a"]),
        ("starcoder", "ab 12", ["ab", " ", "1", "2"]),
        ("deepseek-llm", "Hi \u4e16\u754c 42\n", ["Hi", " ", "\u4e16\u754c", " ", "42", "\n"]),
        ("deepseek-v3", "a.b 1234", ["a", ".b", " ", "123", "4"]),
        ("gpt-4o", "camelCase DON'T", ["camel", "Case", " DON'T"]),
        ("tekken", "camelCase 12", ["camel", "Case", " ", "1", "2"]),
        ("bloom", "a,b c", ["a", ",", "b", " c"]),
    ],
)
def test_words(name: str, text: str, words: list[str]) -> None:
    from tokenizers import Regex, pre_tokenizers

    splits = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PRETOKENIZERS[name].patterns
    ]
    cut = pre_tokenizers.Sequence(splits).pre_tokenize_str(text)
    assert [word for word, _ in cut] == words


def test_an_unknown_pretokenizer_is_noted(bpe_metadata: dict[str, Any]) -> None:
    for changed in (bpe_metadata | {KEY + "pre": "from-the-future"}, _without_pre(bpe_metadata)):
        tokenizer = from_metadata(changed)
        assert "(default)" in tokenizer.source
        assert any("pre-tokenizer" in note for note in tokenizer.notes)
        assert tokenizer.decode(tokenizer.encode(SAMPLE)) == SAMPLE


def _without_pre(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != KEY + "pre"}


def test_whole_words_that_are_tokens_ignore_merges(bpe_metadata: dict[str, Any]) -> None:
    """Llama 3's pre-tokenizer takes a word that is a token even where no merge leads there."""
    tokens = bpe_metadata[KEY + "tokens"]
    types = [*bpe_metadata[KEY + "token_type"], 1]
    extended = bpe_metadata | {KEY + "tokens": [*tokens, "qqqq"], KEY + "token_type": types}
    llama3 = from_metadata(extended | {KEY + "pre": "llama-bpe", KEY + "add_bos_token": False})
    gpt2 = from_metadata(extended)
    assert llama3.encode("qqqq") == [len(tokens)]
    assert len(gpt2.encode("qqqq")) == 4


def test_merges_of_missing_tokens_are_noted(bpe_metadata: dict[str, Any]) -> None:
    merges = [*bpe_metadata[KEY + "merges"], "no such"]
    tokenizer = from_metadata(bpe_metadata | {KEY + "merges": merges})
    assert any("merges" in note for note in tokenizer.notes)
    assert tokenizer.encode("Alice") == from_metadata(bpe_metadata).encode("Alice")


def test_control_tokens_do_not_come_out_of_plain_text(bpe_metadata: dict[str, Any]) -> None:
    tokenizer = from_metadata(bpe_metadata | {KEY + "pre": "tekken"})  # ignores merges
    text = "<|im_end|>"
    end = bpe_metadata[KEY + "tokens"].index(text)
    assert tokenizer.encode(text, add_special=False) == [end]
    assert end not in tokenizer.encode(text, add_special=False, parse_special=False)
    assert end in tokenizer.eog_ids
