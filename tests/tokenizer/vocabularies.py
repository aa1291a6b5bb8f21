# SPDX-License-Identifier: MIT
"""GGUF-like metadata of the small vocabularies in tests/data, and of models trained in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
KEY = "tokenizer.ggml."
USER_SYMBOLS = ("\n\n", "<mark>")  # as tests/data/make_tokenizer.py asks for


def load_sentencepiece(model: bytes) -> Any:
    """The library's own processor of a serialized model."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor


def sentencepiece_metadata(model: bytes, kind: str = "llama") -> dict[str, Any]:
    """What a converter would write for a SentencePiece model."""
    processor = load_sentencepiece(model)
    count = processor.vocab_size()
    texts = [processor.id_to_piece(i) for i in range(count)]

    def type_of(token: int) -> int:
        if processor.is_unknown(token):
            return UNKNOWN
        if processor.is_control(token):
            return CONTROL
        if processor.is_byte(token):
            return BYTE
        return USER_DEFINED if texts[token] in USER_SYMBOLS else NORMAL

    return {
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.scores": np.array([processor.get_score(i) for i in range(count)], "f4"),
        "tokenizer.ggml.token_type": np.array([type_of(i) for i in range(count)], "i4"),
        "tokenizer.ggml.bos_token_id": processor.bos_id(),
        "tokenizer.ggml.eos_token_id": processor.eos_id(),
        "tokenizer.ggml.unknown_token_id": processor.unk_id(),
    }


def bytelevel_metadata(path: Path, pre: str = "gpt-2") -> dict[str, Any]:
    """What a converter would write for tests/data/tokenizer/bytelevel.json."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    ids = saved["model"]["vocab"]
    texts = sorted(ids, key=ids.__getitem__)
    special = {token["content"] for token in saved["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in saved["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": np.array(
            [CONTROL if text in special else NORMAL for text in texts], "i4"
        ),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": ids["<|endoftext|>"],
        "tokenizer.ggml.eos_token_id": ids["<|endoftext|>"],
    }


def normalization_table(model: bytes) -> bytes:
    """ModelProto.normalizer_spec.precompiled_charsmap, read from the wire format."""

    def fields(data: bytes) -> dict[int, bytes]:
        found, at = {}, 0

        def varint() -> int:
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(data):
            tag = varint()
            if tag & 7 == 0:
                varint()
            elif tag & 7 == 5:
                at += 4
            else:
                size = varint()
                found[tag >> 3] = data[at : at + size]
                at += size
        return found

    return fields(fields(model)[3])[2]
