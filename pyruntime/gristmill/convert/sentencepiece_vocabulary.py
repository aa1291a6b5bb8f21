# SPDX-License-Identifier: MIT
"""tokenizer.model: pieces, scores and types of a SentencePiece model.

The file is read from its wire format (protocol buffers): the library does not show how a model
normalizes text, nor which pieces are user-defined.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gristmill.errors import ResourceError, TokenizerError
from gristmill.tokenizer.vocabulary import ESCAPED_SPACE, TokenType

from .vocabulary import Vocabulary

# Numbers of fields in sentencepiece_model.proto. Its piece types have the values of TokenType.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE = 3
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_SPACES = 2, 3, 4
_UNIGRAM, _BPE = 1, 2
_LENGTHS = {1: 8, 5: 4}  # bytes of a field by wire type; 0 is a number, 2 has its own length

Value = int | bytes


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, and where it ends."""
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise IndexError


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field of a message; floats come as their bytes."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _number(data, at)
            yield tag >> 3, value
            continue
        size = _LENGTHS.get(wire)
        if wire == 2:
            size, at = _number(data, at)
        if size is None or at + size > len(data):
            raise IndexError
        yield tag >> 3, data[at : at + size]
        at += size


def _message(value: Value) -> dict[int, Value]:
    return dict(_fields(value)) if isinstance(value, bytes) else {}


def _flag(message: dict[int, Value], number: int) -> bool:
    return bool(message.get(number, True))


def is_model(path: Path) -> bool:
    """Whether the file is a SentencePiece model; some repositories keep tiktoken's ranks here."""
    return _read(path)[:1] == b"\n"  # the tag of a piece


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResourceError(f"[{path}] The file cannot be read: {error}.") from error


def from_model(path: Path) -> Vocabulary:
    """The vocabulary of a tokenizer.model.

    Raises:
        ResourceError: The file cannot be read.
        TokenizerError: It is damaged, or a model of words or characters.
    """
    pieces: list[dict[int, Value]] = []
    trainer: dict[int, Value] = {}
    normalizer: dict[int, Value] = {}
    try:
        for number, value in _fields(_read(path)):
            if number == _PIECES:
                pieces.append(_message(value))
            elif number == _TRAINER:
                trainer = _message(value)
            elif number == _NORMALIZER:
                normalizer = _message(value)
    except IndexError:
        raise TokenizerError(f"[{path}] The file is no SentencePiece model.") from None
    kind = trainer.get(_MODEL_TYPE, _UNIGRAM)
    if kind not in (_UNIGRAM, _BPE):
        raise TokenizerError(f"[{path}] The model must be BPE or Unigram. Got type {kind!r:.20}.")
    vocab = Vocabulary("llama" if kind == _BPE else "t5", "default", [], [], [])
    for piece in pieces:
        _append(vocab, piece, path)
    vocab.extra["add_space_prefix"] = _flag(normalizer, _DUMMY_PREFIX)
    if kind == _UNIGRAM:
        vocab.extra["remove_extra_whitespaces"] = _flag(normalizer, _EXTRA_SPACES)
        charsmap = normalizer.get(_CHARSMAP)
        if isinstance(charsmap, bytes) and charsmap:
            vocab.extra["precompiled_charsmap"] = np.frombuffer(charsmap, dtype=np.uint8)
    return vocab


def _append(vocab: Vocabulary, piece: dict[int, Value], path: Path) -> None:
    """One more token; user-defined texts are matched before spaces are escaped."""
    text, score = piece.get(_TEXT), piece.get(_SCORE, bytes(4))
    kind = piece.get(_TYPE, int(TokenType.NORMAL))
    if (
        not isinstance(text, bytes)
        or not isinstance(score, bytes)
        or len(score) != 4
        or not isinstance(kind, int)
        or not TokenType.NORMAL <= kind <= TokenType.BYTE
    ):
        raise TokenizerError(f"[{path}] Piece {len(vocab.tokens)} is damaged.")
    token = text.decode("utf-8", "surrogateescape")
    if kind == TokenType.USER_DEFINED:
        token = token.replace(ESCAPED_SPACE, " ")
    vocab.tokens.append(token)
    vocab.types.append(kind)
    assert vocab.scores is not None
    vocab.scores.append(struct.unpack("<f", score)[0])
