# SPDX-License-Identifier: MIT
"""Metadata that is missing, inconsistent or odd: one clear error, or a note."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from vocabularies import BYTE, CONTROL, KEY, NORMAL, UNKNOWN, USER_DEFINED

from gristmill.errors import TokenizerError
from gristmill.tokenizer import Tokenizer, TokenType, from_metadata
from gristmill.tokenizer.special import SpecialSplitter

MISSING = object()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", MISSING, "no tokenizer"),
        ("model", "none", "no tokenizer"),
        ("model", "rwkv", "not supported. Got 'rwkv'"),
        ("tokens", MISSING, "missing or empty"),
        ("tokens", [], "missing or empty"),
        ("tokens", "text", "array of strings"),
        ("tokens", [b"x", 3], "array of strings"),
        ("scores", MISSING, "scores.*missing"),
        ("scores", np.zeros(3, "f4"), "one entry per token. Got 3 for 512"),
        ("scores", np.full(512, np.nan, "f4"), "finite"),
        ("scores", np.full(512, np.inf, "f4"), "finite"),
        ("scores", 3.0, "array of numbers"),
        ("token_type", np.ones(513, "i4"), "one entry per token. Got 513 for 512"),
        ("token_type", ["NORMAL"] * 512, "array of numbers"),
        ("bos_token_id", 512, "below the 512 tokens of the file. Got 512"),
        ("eos_token_id", -7, "below the 512 tokens"),
        ("eos_token_id", "</s>", "must be a token id"),
        ("unknown_token_id", 2**40, "below the 512 tokens"),
        ("add_bos_token", "yes", "true or false. Got 'yes'"),
        ("add_space_prefix", 2, "true or false"),
    ],
)
def test_spm_metadata_that_is_wrong(
    spm_metadata: dict[str, Any], key: str, value: Any, message: str
) -> None:
    _expect_error(spm_metadata, key, value, message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("merges", MISSING, "merges.*missing"),
        ("merges", ["a b", "nospace"], "two tokens each. Got 'nospace'|hold two tokens.*'nospace'"),
        ("merges", [" b"], "two tokens"),
        ("merges", ["a "], "two tokens"),
        ("merges", np.zeros(2), "array of strings"),
    ],
)
def test_bpe_metadata_that_is_wrong(
    bpe_metadata: dict[str, Any], key: str, value: Any, message: str
) -> None:
    _expect_error(bpe_metadata, key, value, message)


def _expect_error(metadata: dict[str, Any], key: str, value: Any, message: str) -> None:
    if value is MISSING:
        del metadata[KEY + key]
    else:
        metadata[KEY + key] = value
    with pytest.raises(TokenizerError, match=message) as caught:
        from_metadata(metadata)
    assert "\n" not in str(caught.value)


def test_nothing_in_a_file_is_no_tokenizer() -> None:
    with pytest.raises(TokenizerError, match="no tokenizer"):
        from_metadata({})


def test_minus_one_means_none(spm_metadata: dict[str, Any]) -> None:
    metadata = spm_metadata | {KEY + "padding_token_id": 2**32 - 1, KEY + "bos_token_id": -1}
    tokenizer = from_metadata(metadata)
    assert tokenizer.special.pad is None
    assert tokenizer.bos_id is None
    assert tokenizer.encode("") == []
    assert any("bos" in note for note in tokenizer.notes), "the model's default is to add it"


def test_default_ids_need_a_special_token_there(bpe_metadata: dict[str, Any]) -> None:
    """Token 11 is the historic default of "gpt2" files; here it is a letter."""
    del bpe_metadata[KEY + "bos_token_id"]
    del bpe_metadata[KEY + "eos_token_id"]
    tokenizer = from_metadata(bpe_metadata)
    assert tokenizer.bos_id is None
    assert tokenizer.eos_id is None
    assert {tokenizer.token_text(i) for i in tokenizer.eog_ids} == {"<|im_end|>", "<|endoftext|>"}


def test_a_marker_typed_as_text_is_corrected_and_noted(bpe_metadata: dict[str, Any]) -> None:
    end = bpe_metadata[KEY + "tokens"].index("<|im_end|>")
    bpe_metadata[KEY + "token_type"][end] = NORMAL
    tokenizer = from_metadata(bpe_metadata)
    assert tokenizer.token_type(end) is TokenType.CONTROL
    assert tokenizer.encode("<|im_end|>") == [end]
    assert any("<|im_end|>" in note for note in tokenizer.notes)


def test_end_of_turn_keys_count(bpe_metadata: dict[str, Any]) -> None:
    tokenizer = from_metadata(bpe_metadata | {KEY + "eot_token_id": 300, KEY + "eom_token_id": 301})
    assert {300, 301} <= tokenizer.eog_ids


def test_a_file_without_types(spm_metadata: dict[str, Any]) -> None:
    del spm_metadata[KEY + "token_type"]
    tokenizer = from_metadata(spm_metadata)
    assert tokenizer.bos_id == 1
    assert tokenizer.eog_ids >= {2}
    assert any("types" in note for note in tokenizer.notes)


def test_types_out_of_range_are_text(spm_metadata: dict[str, Any]) -> None:
    types = spm_metadata[KEY + "token_type"].copy()
    types[400] = 99
    tokenizer = from_metadata(spm_metadata | {KEY + "token_type": types})
    assert tokenizer.token_type(400) is TokenType.UNDEFINED
    assert any("unknown type" in note for note in tokenizer.notes)


@pytest.mark.parametrize("token", [-1, 512, 10**12])
def test_ids_out_of_range(spm: Tokenizer, token: int) -> None:
    for use in (spm.token_bytes, spm.token_text, spm.token_type, lambda i: spm.decode([i])):
        with pytest.raises(TokenizerError, match="below the 512 tokens"):
            use(token)


def test_lone_surrogates_become_replacement_characters(spm: Tokenizer, bpe: Tokenizer) -> None:
    for tokenizer in (spm, bpe):
        ids = tokenizer.encode("a\ud800b\ud83d\ude00", add_special=False)
        assert tokenizer.decode(ids) == "a\ufffdb\U0001f600"


def test_skipping_specials_keeps_user_defined_tokens(spm: Tokenizer) -> None:
    ids = spm.encode("<s>Alice<mark>was<|im_end|>")
    assert spm.decode(ids, skip_special=True) == "Alice<mark>was"
    assert spm.decode(ids) == "<s>Alice<mark>was<|im_end|>"


def test_wordpiece() -> None:
    texts = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581mill", "er", "s", "\u2581a", "\u2581,"]
    types = [CONTROL, UNKNOWN, CONTROL, CONTROL] + [NORMAL] * 5
    metadata = {
        KEY + "model": "bert",
        KEY + "tokens": texts,
        KEY + "token_type": np.array(types, "i4"),
        KEY + "cls_token_id": 2,
        KEY + "seperator_token_id": 3,
        KEY + "unknown_token_id": 1,
    }
    tokenizer = from_metadata(metadata)
    assert tokenizer.encode("Millers, a") == [2, 4, 5, 6, 8, 7, 3]
    assert tokenizer.encode("a zebra", add_special=False) == [7, 1]
    assert tokenizer.encode("[CLS]a", parse_special=False)[1] != 2
    cased = from_metadata(metadata | {KEY + "tokens": [*texts[:8], "\u2581Aunt"]})
    assert cased.encode("Mill", add_special=False) == [1]
    assert cased.encode("mill Aunt", add_special=False) == [4, 8]
    del metadata[KEY + "unknown_token_id"]
    with pytest.raises(TokenizerError, match="unknown token"):
        from_metadata(metadata | {KEY + "token_type": np.ones(9, "i4")})


def test_the_splitter_takes_the_longest_of_the_leftmost() -> None:
    splitter = SpecialSplitter({"<a>": 1, "<a><b>": 2, "b": 3, "": 4}, frozenset({1}))
    assert list(splitter.split("<a><b>x<a>  yb<")) == [2, "x", 1, "y", 3, "<"]
    assert list(splitter.split("")) == []
    assert list(SpecialSplitter({}, frozenset()).split("<a>")) == ["<a>"]


def test_type_numbers_are_the_formats() -> None:
    assert (TokenType.NORMAL, TokenType.UNKNOWN, TokenType.CONTROL) == (NORMAL, UNKNOWN, CONTROL)
    assert (TokenType.USER_DEFINED, TokenType.BYTE) == (USER_DEFINED, BYTE)


def test_heavy_libraries_load_late() -> None:
    code = (
        "import sys, gristmill.tokenizer, gristmill.chat\n"
        "print(sorted({'sentencepiece', 'tokenizers', 'jinja2'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
