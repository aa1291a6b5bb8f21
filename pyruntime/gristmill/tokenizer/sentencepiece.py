# SPDX-License-Identifier: MIT
"""SentencePiece models (BPE and unigram) rebuilt from a GGUF vocabulary.

A GGUF file holds the pieces, scores and types of the original model, which is all that encoding
needs. So a ModelProto is written here, field by field in protobuf's wire format (three field kinds;
no protobuf dependency), and the sentencepiece library does the work. Special and user-defined
tokens are cut out before, so the model sees only plain fragments, each with its space prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gristmill.errors import TokenizerError

from .base import Tokenizer
from .special import SpecialTokens
from .vocabulary import (
    ESCAPED_SPACE,
    PREFIX,
    TokenType,
    Vocabulary,
    flag,
    is_text,
    metadata_error,
)

_UNIGRAM, _BPE = 1, 2  # TrainerSpec.ModelType
_PLACEHOLDER = b"\x01unused %d\x01"
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _chunk(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _head(length: int) -> bytes:
    """What comes before a text of `length` bytes: ModelProto.pieces, its size, piece = 1."""
    inner = b"\x0a" + _varint(length)
    return b"\x0a" + _varint(len(inner) + length + 7) + inner  # 5 bytes of score, 2 of type


_HEADS = [_head(length) for length in range(64)]
# Only ordinary text and bytes can come out of the model; an undefined type counts as normal.
_ROLES = bytes.maketrans(
    bytes((TokenType.UNDEFINED, TokenType.UNKNOWN, TokenType.USER_DEFINED)),
    bytes((TokenType.NORMAL, TokenType.CONTROL, TokenType.CONTROL)),
)


def _refused(vocab: Vocabulary, byte_fallback: bool) -> set[int]:
    """Ids that the library would refuse, or misread: odd, empty, repeated or non-UTF-8 texts."""
    tokens, ids = vocab.tokens, vocab.ids
    out = {token for text, token in ids.items() if not text or "\0" in text}
    if len(ids) != len(tokens):
        out.update(token for token, text in enumerate(tokens) if ids[text] != token)
    if not is_text("".join(tokens)):
        out.update(token for token, text in enumerate(tokens) if not is_text(text))
    wrong = (
        t for t in vocab.of_type(TokenType.BYTE) if not byte_fallback or tokens[t] not in _BYTES
    )
    out.update(wrong)
    return out


def _pieces(vocab: Vocabulary, unk: int | None, byte_fallback: bool) -> bytes:
    """Every token as a piece at its own id: piece = 1, score = 2 (fixed32), type = 3.

    Whatever the library would refuse becomes an unused placeholder. There are as many pieces as
    tokens, so what is the same for most of them is done for all at once.
    """
    if vocab.scores is None:
        raise metadata_error("scores", "is missing: SentencePiece merges by score.")
    scores = vocab.scores.astype("<f4").tobytes()
    texts = [text.encode("utf-8", "surrogatepass") for text in vocab.tokens]
    roles = vocab.types.translate(_ROLES)
    for token in _refused(vocab, byte_fallback):
        texts[token] = _PLACEHOLDER % token
        roles[token] = TokenType.CONTROL
    if unk is None:
        texts.append(_PLACEHOLDER % len(texts))
        roles.append(TokenType.UNKNOWN)
        scores += bytes(4)
    else:
        roles[unk] = TokenType.UNKNOWN
    out = []
    for text, at, role in zip(texts, range(0, len(scores), 4), roles, strict=True):
        size = len(text)
        head = _HEADS[size] if size < len(_HEADS) else _head(size)
        out.append(b"%b%b\x15%b\x18%c" % (head, text, scores[at : at + 4], role))
    return b"".join(out)


def model_proto(
    vocab: Vocabulary,
    *,
    unigram: bool = False,
    unk: int | None = None,
    add_space_prefix: bool = True,
    remove_extra_whitespaces: bool = False,
    charsmap: bytes = b"",
) -> bytes:
    """A serialized sentencepiece ModelProto.

    Args:
        vocab: Pieces, scores and types.
        unigram: Unigram instead of BPE.
        unk: Id of the unknown piece; None adds one after the last id.
        add_space_prefix: Begin every fragment with a space.
        remove_extra_whitespaces: Collapse runs of spaces first, as the model was trained.
        charsmap: The model's own normalization table; empty means none.

    Returns:
        Bytes for `SentencePieceProcessor.LoadFromSerializedProto`.

    Raises:
        TokenizerError: There are no scores.
    """
    byte_fallback = {t for t in _BYTES if _is_byte(vocab, t)} == _BYTES
    unk_id = len(vocab.tokens) if unk is None else unk
    trainer = (
        _number(3, _UNIGRAM if unigram else _BPE)
        + _number(4, len(vocab.tokens) + (unk is None))
        + _number(35, byte_fallback)
        + _number(40, unk_id)
    )
    normalizer = (
        _chunk(1, b"user_defined" if charsmap else b"identity")
        + _chunk(2, charsmap)
        + _number(3, add_space_prefix)
        + _number(4, remove_extra_whitespaces)
        + _number(5, 1)  # escape_whitespaces
    )
    return _pieces(vocab, unk, byte_fallback) + _chunk(2, trainer) + _chunk(3, normalizer)


def _is_byte(vocab: Vocabulary, text: str) -> bool:
    token = vocab.ids.get(text)
    return token is not None and vocab.types[token] == TokenType.BYTE


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model; see `build`."""

    def __init__(
        self,
        vocab: Vocabulary,
        special: SpecialTokens,
        proto: bytes,
        *,
        source: str,
        notes: list[str],
        strip_right: frozenset[int],
    ) -> None:
        import sentencepiece

        super().__init__(vocab, special, source=source, notes=notes, strip_right=strip_right)
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(proto)
        except (RuntimeError, OSError, ValueError) as error:
            raise TokenizerError(
                f"[{PREFIX}tokens] is no usable SentencePiece vocabulary. {error}"
            ) from None
        # A model without an unknown token cannot spell some characters: they are left out.
        self._unspellable = self.vocab_size if special.unk is None else None

    def _encode_fragment(self, text: str) -> list[int]:
        ids: list[int] = self._model.EncodeAsIds(text)
        if self._unspellable is not None and self._unspellable in ids:
            return [token for token in ids if token != self._unspellable]
        return ids

    def _raw_text(self, token: int) -> str:
        if self._types[token] == TokenType.USER_DEFINED:
            return self._tokens[token].replace(ESCAPED_SPACE, " ")
        return self._tokens[token]


def _is_charsmap(table: bytes) -> bool:
    """Whether every walk through a normalization table stays inside of it.

    The library follows its trie without checks in some versions, so a hostile file could make it
    read anywhere. Layout: u32 size, a double-array trie of u32 units, NUL-terminated replacements.
    """
    size = int.from_bytes(table[:4], "little")
    texts = table[4 + size :]
    if size == 0 or size % 4 or not texts.endswith(b"\0"):
        return False
    units = np.frombuffer(table, "<u4", size // 4, 4).astype(np.int64)
    is_value = units >> 31 == 1
    if (units[is_value] & 0x7FFFFFFF >= len(texts)).any():
        return False
    # A node's children lie at its place ^ its offset ^ their byte.
    offsets = (units >> 10) << ((units & 0x200) >> 6)
    children = (np.arange(len(units)) ^ offsets) | 0xFF
    return bool((children[~is_value] < len(units)).all())


def _charsmap(metadata: Mapping[str, Any]) -> bytes:
    value = metadata.get(PREFIX + "precompiled_charsmap")
    if value is None:
        return b""
    array = np.asarray(value)
    if array.ndim == 1 and array.dtype in (np.int8, np.uint8):
        table = array.tobytes()
        if _is_charsmap(table):
            return table
    raise metadata_error("precompiled_charsmap", "is no SentencePiece normalization table.")


def build(
    metadata: Mapping[str, Any],
    vocab: Vocabulary,
    special: SpecialTokens,
    *,
    unigram: bool,
    notes: list[str],
    strip_right: frozenset[int],
) -> SentencePieceTokenizer:
    """The tokenizer of a "llama" (BPE) or "t5" (unigram) vocabulary.

    Raises:
        TokenizerError: No scores, a broken normalization table, or the library refuses the model.
    """
    if vocab.scores is not None and not any(_is_byte(vocab, text) for text in _BYTES):
        notes.append("the vocabulary has no byte tokens: characters outside it cannot be spelled")
    proto = model_proto(
        vocab,
        unigram=unigram,
        unk=special.unk,
        add_space_prefix=special.add_space_prefix,
        remove_extra_whitespaces=flag(metadata, "remove_extra_whitespaces", False),
        charsmap=_charsmap(metadata) if unigram else b"",
    )
    kind = "unigram" if unigram else "BPE"
    source = f"SentencePiece {kind} from GGUF, {len(vocab.tokens)} tokens"
    return SentencePieceTokenizer(
        vocab, special, proto, source=source, notes=notes, strip_right=strip_right
    )
