# SPDX-License-Identifier: MIT
"""BPE against the tokenizers library: on its own file, and in Gemma's way over plain text."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import texts
from vocabularies import BYTE, CONTROL, KEY, NORMAL, UNKNOWN, USER_DEFINED

from gristmill.tokenizer import Tokenizer, from_metadata

ENGLISH = st.text(alphabet="abdehilnorstw TBA,.'!\n\t0", max_size=80)


@lru_cache(maxsize=1)
def _library(path: Path) -> Any:
    import tokenizers

    return tokenizers.Tokenizer.from_file(str(path))


@given(st.one_of(texts(), ENGLISH))
def test_same_ids_as_the_library(bpe: Tokenizer, data_dir: Path, text: str) -> None:
    library = _library(data_dir / "tokenizer" / "bytelevel.json")
    assert bpe.encode(text) == library.encode(text).ids


@given(st.one_of(texts(), ENGLISH))
def test_round_trip(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == text


@given(st.binary(max_size=40))
def test_every_byte_has_its_token(bpe: Tokenizer, data: bytes) -> None:
    letters = {bpe.token_bytes(i): i for i in range(3, 259)}
    assert len(letters) == 256
    ids = [letters[bytes([byte])] for byte in data]
    assert b"".join(map(bpe.token_bytes, ids)) == data
    assert bpe.decode(ids) == data.decode("utf-8", "replace")


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


@pytest.fixture(scope="module")
def plain_bpe() -> tuple[Any, Tokenizer]:
    """A vocabulary as Gemma's: U+2581 for spaces, byte tokens; the library's tokenizer and ours."""
    from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Library

    library = Library(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    library.normalizer = normalizers.Replace(" ", "\u2581")
    # No token of such a vocabulary has a newline among other letters.
    library.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\n]+|\n+"), "isolated")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special + spelled, show_progress=False
    )
    words = ("the cat sat on the mat", "a hat, a bat and the rat", "over  there\n\n\nhere", "\t")
    library.train_from_iterator(words * 4, trainer)
    ids = library.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    tokens.append("<tool call>")
    library.add_tokens([AddedToken("<tool call>", normalized=False)])
    kinds = dict.fromkeys(special, CONTROL) | dict.fromkeys(spelled, BYTE)
    kinds |= {"<unk>": UNKNOWN, "<tool call>": USER_DEFINED}
    # The bytes are ordinary tokens of the library's model, not added ones that text may spell.
    data = json.loads(library.to_str())
    data["pre_tokenizer"] = None
    data["added_tokens"] = [one for one in data["added_tokens"] if one["content"] not in spelled]
    metadata = {
        KEY + "model": "gemma4",
        KEY + "tokens": tokens,
        KEY + "token_type": np.array([kinds.get(text, NORMAL) for text in tokens], "i4"),
        KEY + "merges": [" ".join(pair) for pair in data["model"]["merges"]],
        KEY + "bos_token_id": ids["<bos>"],
        KEY + "eos_token_id": ids["<eos>"],
        KEY + "unknown_token_id": ids["<unk>"],
    }
    return Library.from_str(json.dumps(data)), from_metadata(metadata)


@given(st.one_of(texts(), st.text(alphabet="theca sonmr\n", max_size=80)))
def test_plain_bpe_is_the_librarys(plain_bpe: tuple[Any, Tokenizer], text: str) -> None:
    library, ours = plain_bpe
    assert ours.encode(text, add_special=False) == library.encode(text).ids


@given(texts(without="\u2581"))
def test_plain_bpe_round_trip(plain_bpe: tuple[Any, Tokenizer], text: str) -> None:
    ours = plain_bpe[1]
    assert ours.decode(ours.encode(text, add_special=False)) == text


def test_plain_bpe_begins_with_bos_and_says_its_name(plain_bpe: tuple[Any, Tokenizer]) -> None:
    ours = plain_bpe[1]
    assert ours.notes == []
    assert ours.source.startswith("BPE (gemma4) from GGUF")
    assert ours.encode("the")[0] == ours.bos_id
    assert ours.decode(ours.encode("a <tool call> b", add_special=False)) == "a <tool call> b"
