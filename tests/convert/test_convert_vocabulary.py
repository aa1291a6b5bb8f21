# SPDX-License-Identifier: MIT
"""Vocabularies: ids from a converted file are those of the tokenizer that it came from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkpoints import DATA, write_json
from hypothesis import given, settings
from hypothesis import strategies as st

import gguf
from gristmill import TokenizerError
from gristmill.convert.config import Config
from gristmill.convert.pretokenizer import HASHES, TEST_TEXT, fingerprint, recognise
from gristmill.convert.special_tokens import sampling_keys, special_keys, template_keys
from gristmill.convert.vocabulary import Vocabulary, read_vocabulary
from gristmill.tokenizer import Tokenizer, from_metadata
from gristmill.tokenizer.pretokenizers import PRETOKENIZERS
from gristmill.tokenizer.vocabulary import TokenType

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
    short = read_vocabulary(tmp_path, 516)
    assert len(short.tokens) == len(short.types) == 516
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
    import hashlib

    from gristmill.gguf import File

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


SPECIAL = {
    "plain": {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}},
    "flags": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "add_bos_token": True,
              "add_eos_token": False, "pad_token": "<|endoftext|>"},
    "unknown text": {"bos_token": "<nothing>", "eos_token": "<|im_end|>"},
    "none": {},
    "unk": {"unk_token": "<|endoftext|>", "eos_token": None},
}  # fmt: skip
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ],
    "pair": [],
    "special_tokens": {
        "<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}
    },
}  # fmt: skip


@pytest.mark.parametrize("frame", [None, TEMPLATE], ids=["bare", "framed"])
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_tokens_equal_the_gguf_package(tmp_path: Path, name: str, frame: Any) -> None:
    bytelevel(tmp_path, post_processor=frame)
    write_json(tmp_path / "tokenizer_config.json", SPECIAL[name])
    config = {"bos_token_id": 0, "eos_token_id": 2, "vocab_size": 520}
    write_json(tmp_path / "config.json", config)
    theirs = gguf.SpecialVocab(tmp_path, load_merges=True, n_vocab=520)
    vocab = read_vocabulary(tmp_path, 520)
    ours = special_keys(tmp_path, Config(config), vocab)
    names = {"unk": "unknown", "pad": "padding", "sep": "seperator"}
    assert {k: v for k, v in ours.items() if k.endswith("_id")} == {
        f"{names.get(role, role)}_token_id": token
        for role, token in theirs.special_token_ids.items()
    }
    for role, wanted in theirs.add_special_token.items():
        # Where tokenizer_config.json names no such token, the package takes another for it.
        if ours.get(f"{role}_token_id") in (1, 2) and SPECIAL[name].get(f"{role}_token"):
            assert ours[f"add_{role}_token"] == wanted
    assert vocab.extra["merges"] == theirs.merges


def test_more_than_one_end(tmp_path: Path) -> None:
    data = bytelevel(tmp_path)
    data["added_tokens"] += [
        added(512 + i, text, special=True)
        for i, text in enumerate(("<|user|>", "<|observation|>", "<|other|>"))
    ]
    write_json(tmp_path / "tokenizer.json", data)
    write_json(tmp_path / "tokenizer_config.json", {"eos_token": "<|endoftext|>"})
    write_json(tmp_path / "generation_config.json", {"eos_token_id": [0, 512, 2, 513, 514]})
    vocab = read_vocabulary(tmp_path, 520)
    keys = special_keys(tmp_path, Config({}), vocab)
    # 2 is "<|im_end|>", which every reader knows by its text.
    assert (keys["eos_token_id"], keys["eot_token_id"], keys["eom_token_id"]) == (0, 512, 513)
    assert "'<|other|>'" in vocab.notes[-1]


def test_chat_templates(tmp_path: Path) -> None:
    assert template_keys(tmp_path) == {}
    named = [
        {"name": "default", "template": "{{ 1 }}"},
        {"name": "tool_use", "template": "{{ 2 }}"},
    ]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": named})
    assert template_keys(tmp_path) == {
        "tokenizer.chat_template": "{{ 1 }}",
        "tokenizer.chat_template.tool_use": "{{ 2 }}",
        "tokenizer.chat_templates": ["tool_use"],
    }
    write_json(tmp_path / "tokenizer_config.json", {})
    write_json(tmp_path / "chat_template.json", {"chat_template": "{{ 3 }}"})
    assert template_keys(tmp_path) == {"tokenizer.chat_template": "{{ 3 }}"}
    (tmp_path / "chat_template.jinja").write_text("{{ 4 }}")
    assert template_keys(tmp_path) == {"tokenizer.chat_template": "{{ 4 }}"}
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("{{ 5 }}")
    assert template_keys(tmp_path)["tokenizer.chat_template.rag"] == "{{ 5 }}"


def test_sampling(tmp_path: Path) -> None:
    stated = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0,
              "repetition_penalty": 1.05, "max_length": 9}  # fmt: skip
    write_json(tmp_path / "generation_config.json", stated)
    prefix = "general.sampling."
    keys = sampling_keys(tmp_path)
    assert keys == {
        prefix + "temp": 0.6, prefix + "top_k": 20, prefix + "top_p": 0.95, prefix + "min_p": 0.0,
        prefix + "penalty_repeat": 1.05,
    }  # fmt: skip
    known = {v for k, v in vars(gguf.constants.Keys.General).items() if k.startswith("SAMPLING")}
    assert set(keys) <= known
    write_json(tmp_path / "generation_config.json", stated | {"do_sample": False})
    assert sampling_keys(tmp_path) == {}


# -- real vocabularies --------------------------------------------------------------------------

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
REAL = {"llama-bpe": (LLAMA3, True), "qwen2": (QWEN2, False), "gpt-2": (None, False)}


def real_json(metadata: Any, pattern: str | None, whole: bool) -> dict[str, Any]:
    """A published tokenizer.json, put together again from a vocabulary file of llama.cpp."""
    texts, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": pattern is None}  # fmt: skip
    steps = [split, last] if pattern else [last]
    no_text = (TokenType.CONTROL, TokenType.UNUSED)
    special = dict.fromkeys(i for i, kind in enumerate(types.tolist()) if kind in no_text)
    return {
        "version": "1.0",
        "added_tokens": [added(i, texts[i], special=True) for i in special],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {
            "type": "BPE",
            "ignore_merges": whole,
            "vocab": {text: i for i, text in enumerate(texts) if i not in special},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_byte_level_vocabularies(external_data: Path, tmp_path: Path, name: str) -> None:
    import tokenizers

    from gristmill.gguf import File

    metadata = File(external_data / "weights" / "vocab" / f"ggml-vocab-{name}.gguf").metadata
    write_json(tmp_path / "tokenizer.json", real_json(metadata, *REAL[name]))
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    vocab = read_vocabulary(tmp_path, len(metadata["tokenizer.ggml.tokens"]))
    assert vocab.pre == name
    assert vocab.tokens == metadata["tokenizer.ggml.tokens"]
    assert vocab.extra["merges"] == metadata["tokenizer.ggml.merges"]
    ours = tokenizer_of(vocab)
    texts = (external_data / "weights" / "vocab" / f"ggml-vocab-{name}.gguf.inp").read_text("utf-8")
    for text in [*MIXED, *texts.split("\n__ggml_vocab_test__\n")]:
        assert ours.encode(text, add_special=False) == library.encode(text).ids, text


def message(number: int, data: bytes) -> bytes:
    """A field of bytes in the wire format of protocol buffers."""
    size, length = len(data), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


@pytest.mark.parametrize("name", ["llama-spm", "phi-3"])
def test_real_sentencepiece_vocabularies(external_data: Path, tmp_path: Path, name: str) -> None:
    """A tokenizer.model from the pieces of a published one; the library reads it, too."""
    import struct

    import sentencepiece

    from gristmill.gguf import File

    metadata = File(external_data / "weights" / "vocab" / f"ggml-vocab-{name}.gguf").metadata
    texts, types, scores = (
        metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type", "scores")
    )
    count = 32000  # what follows was added later
    data = b"".join(
        message(1, message(1, texts[i].encode()) + b"\x15" + struct.pack("<f", scores[i])
                + (bytes([0x18, types[i]]) if types[i] != TokenType.NORMAL else b""))
        for i in range(count)
    )  # fmt: skip
    trainer, normalizer = b"\x18\x02\x98\x02\x01", message(1, b"identity") + b"\x18\x01\x20\x00"
    data += message(2, trainer) + message(3, normalizer)
    (tmp_path / "tokenizer.model").write_bytes(data)
    library = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    vocab = read_vocabulary(tmp_path, count)
    assert vocab.tokens == texts[:count]
    assert vocab.scores == [float(score) for score in scores[:count]]
    assert vocab.types == [int(kind) for kind in types[:count]]
    ours = tokenizer_of(vocab)
    for text in MIXED:
        assert ours.encode(text, add_special=False) == library.encode(text), text
