# SPDX-License-Identifier: MIT
"""Published vocabularies: put together as their models have them, converted, and compared."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from checkpoints import write_json
from tokenizer_files import MIXED, added, tokenizer_of

from gristmill.convert.vocabulary import read_vocabulary
from gristmill.gguf import File
from gristmill.tokenizer.vocabulary import TokenType

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
    import sentencepiece

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
