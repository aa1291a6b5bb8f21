# SPDX-License-Identifier: MIT
"""Vocabularies: ids from a converted file are those of the tokenizer that it came from."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkpoints import DATA, write_json
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_files import MIXED, TEXT, added, bytelevel, tokenizer_of

from gristmill import TokenizerError
from gristmill.convert.pretokenizer import HASHES, TEST_TEXT, fingerprint, recognise
from gristmill.convert.vocabulary import read_vocabulary
from gristmill.gguf import File
from gristmill.tokenizer import Tokenizer, from_metadata
from gristmill.tokenizer.pretokenizers import PRETOKENIZERS
from gristmill.tokenizer.vocabulary import TokenType


@pytest.fixture(scope="module")
def byte_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    import tokenizers

    folder = tmp_path_factory.mktemp("bpe")
    bytelevel(folder)
    ours = tokenizer_of(read_vocabulary(folder, 520))
    return ours, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("text", MIXED)
def test_byte_level_ids(byte_pair: tuple[Tokenizer, Any], text: str) -> None:
    ours, library = byte_pair
    assert ours.encode(text, add_special=False) == library.encode(text).ids


@settings(max_examples=300)
@given(text=TEXT)
def test_byte_level_ids_of_any_text(byte_pair: tuple[Tokenizer, Any], text: str) -> None:
    ours, library = byte_pair
    assert ours.encode(text, add_special=False) == library.encode(text).ids


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    import sentencepiece

    folder = tmp_path_factory.mktemp("spm")
    shutil.copyfile(DATA / "sentencepiece.model", folder / "tokenizer.model")
    library = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    vocab = read_vocabulary(folder, library.vocab_size() + 3)
    assert vocab.tokens[-1] == f"[PAD{library.vocab_size() + 2}]"
    assert vocab.types[-3:] == [TokenType.UNUSED] * 3
    for token in range(library.vocab_size()):
        assert vocab.scores is not None
        assert vocab.scores[token] == library.get_score(token)
        assert vocab.types[token] == _type(library, token)
        assert vocab.tokens[token] == library.id_to_piece(token)
    return tokenizer_of(vocab), library


def _type(library: Any, token: int) -> int:
    if library.is_unknown(token):
        return TokenType.UNKNOWN
    if library.is_control(token):
        return TokenType.CONTROL
    if library.is_byte(token):
        return TokenType.BYTE
    user = library.id_to_piece(token) in ("\n\n", "<mark>")
    return TokenType.USER_DEFINED if user else TokenType.NORMAL


@pytest.mark.parametrize("text", MIXED)
def test_piece_ids(pieces: tuple[Tokenizer, Any], text: str) -> None:
    ours, library = pieces
    assert ours.encode(text, add_special=False) == library.encode(text)


def fast_llama(folder: Path) -> Any:
    """tokenizer.json of BPE with byte fallback, trained here: the form of Llama 2's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback()]
    )
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz"),
    )  # fmt: skip
    words = "the quick brown fox jumps over the lazy dog and then the other things there".split()
    tokenizer.train_from_iterator([" ".join(words[i:] + words[:i]) for i in range(15)], trainer)
    data = json.loads(tokenizer.to_str())
    model = data["model"]
    fixed = ["<unk>", "<s>", "</s>", *spelled]
    texts = fixed + [t for t in sorted(model["vocab"], key=model["vocab"].get) if t not in fixed]
    model["vocab"] = {text: token for token, text in enumerate(texts)}
    write_json(folder / "tokenizer.json", data)
    return Tokenizer.from_str(json.dumps(data))


def test_scores_from_merges_choose_the_same_merges(tmp_path: Path) -> None:
    library = fast_llama(tmp_path)
    vocab = read_vocabulary(tmp_path, library.get_vocab_size())
    assert (vocab.model, vocab.extra["add_space_prefix"]) == ("llama", True)
    ours = tokenizer_of(vocab)
    for text in [*MIXED, "the other dog", "thethere quickly", "foxes  and\nlazier things"]:
        if text:
            assert ours.encode(text, add_special=False) == library.encode(text).ids, text


def test_added_tokens_their_types_and_gaps(tmp_path: Path) -> None:
    data = bytelevel(tmp_path)
    data["added_tokens"] += [
        added(515, "<tool>", special=False),
        added(514, "<|user|>", special=False),
    ]
    write_json(tmp_path / "tokenizer.json", data)
    write_json(tmp_path / "tokenizer_config.json", {
        "added_tokens_decoder": {"516": {"content": "[gMASK]", "special": True}}
    })  # fmt: skip
    vocab = read_vocabulary(tmp_path, 520)
    assert vocab.tokens[512:518] == [
        "[PAD512]",
        "[PAD513]",
        "<|user|>",
        "<tool>",
        "[gMASK]",
        "[PAD517]",
    ]
    names = [TokenType(kind).name for kind in vocab.types[512:518]]
    assert names == ["UNUSED", "UNUSED", "CONTROL", "USER_DEFINED", "CONTROL", "UNUSED"]
    data["added_tokens"].append(added(1 << 60, "<far>", special=True))  # takes no memory
    write_json(tmp_path / "tokenizer.json", data)
    short = read_vocabulary(tmp_path, 516)
    assert len(short.tokens) == len(short.types) == 516
    assert short.notes[0].startswith("2 tokens have no row")
    assert "'[gMASK]'" in short.notes[0]


def test_pre_tokenizers_by_structure(tmp_path: Path) -> None:
    def splits(*patterns: str, **model: Any) -> dict[str, Any]:
        steps = [
            {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
            for p in patterns
        ]
        last = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
        return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps, last]},
                "model": model}  # fmt: skip

    for name in ("llama-bpe", "qwen2", "tekken", "gpt-4o", "deepseek-v3"):
        pre = PRETOKENIZERS[name]
        data = splits(*pre.patterns, ignore_merges=pre.ignore_merges)
        assert recognise(data, "x") == (name, [])
    assert recognise(splits(*PRETOKENIZERS["llama-bpe"].patterns), "x") == ("dbrx", [])
    gpt2 = {"type": "ByteLevel", "use_regex": True}
    digits = {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, gpt2],
    }
    assert recognise({"pre_tokenizer": gpt2, "model": {}}, "x") == ("gpt-2", [])
    assert recognise({"pre_tokenizer": digits, "model": {}}, "x") == ("smollm", [])
    name, notes = recognise({"pre_tokenizer": digits, "model": {"ignore_merges": True}}, "x")
    assert name == "smollm"
    assert "whole words" in notes[0]


def test_unknown_pre_tokenizers_are_refused_unless_named(tmp_path: Path) -> None:
    bytelevel(tmp_path, pre_tokenizer={"type": "Whitespace"}, decoder={"type": "ByteLevel"})
    with pytest.raises(TokenizerError, match=r"Whitespace.*--pre"):
        read_vocabulary(tmp_path, 520)
    assert read_vocabulary(tmp_path, 520, pre="falcon").pre == "falcon"


def test_the_fingerprint_is_that_of_llama_cpp(external_data: Path) -> None:
    """falcon's vocabulary, whose hash llama.cpp publishes, through the ids that we give it."""
    path = external_data / "weights" / "vocab" / "ggml-vocab-falcon.gguf"
    ids = from_metadata(File(path).metadata).encode(TEST_TEXT, add_special=False)
    assert HASHES[hashlib.sha256(str(ids).encode()).hexdigest()] == "falcon"


def test_a_hash_decides_where_the_structure_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "ByteLevel", "add_prefix_space": False},
    ]
    data = bytelevel(tmp_path, pre_tokenizer={"type": "Sequence", "pretokenizers": steps})
    monkeypatch.setitem(HASHES, fingerprint(data), "falcon")
    assert recognise(data, "x") == ("falcon", [])


BAD = {
    "unigram": {"model": {"type": "Unigram"}},
    "no model": {"model": None},
    "no vocab": {"model": {"type": "BPE", "merges": [["a", "b"]]}},
    "huge id": {"model": {"type": "BPE", "vocab": {"a": 1 << 40}, "merges": [["a", "b"]]}},
    "twins": {"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": [["a", "b"]]}},
    "no merges": {"model": {"type": "BPE", "vocab": {"a": 0}}},
    "half a merge": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}},
    "characters": {
        "pre_tokenizer": None, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]}
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD))
def test_damaged_tokenizer_files(tmp_path: Path, name: str) -> None:
    bytelevel(tmp_path, **BAD[name])
    with pytest.raises(TokenizerError):
        read_vocabulary(tmp_path, 520)


@given(st.integers(0, 5000), st.binary(max_size=4))
def test_damaged_sentencepiece_models(
    tmp_path_factory: pytest.TempPathFactory, at: int, patch: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    data = (DATA / "sentencepiece.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(data[:at] + patch + data[at + len(patch) :])
    try:
        vocab = read_vocabulary(folder, 300)
    except TokenizerError:
        return
    assert len(vocab.tokens) == len(vocab.types) == 300
