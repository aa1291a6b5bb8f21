# SPDX-License-Identifier: MIT
"""The vocabulary of a GGUF file: token texts, types and scores, checked once.

A file is untrusted: every array is checked for its type and length before anything indexes it, so
the tokenizers behind can rely on `len(tokens) == len(types)` and on finite scores. Token texts that
are not UTF-8 arrive with surrogate escapes and keep their exact bytes that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import TokenizerError

PREFIX = "tokenizer.ggml."
ESCAPED_SPACE = "\u2581"  # how SentencePiece writes a space


class TokenType(IntEnum):
    """Values of tokenizer.ggml.token_type."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """Texts, types and scores by token id. All have the same length.

    Args:
        tokens: [V] texts as the file has them, escaped spaces and byte-level letters included.
        types: [V] a TokenType per token.
        scores: [V] f32, or None when the file has none.
        ids: The id of each text; of a text that occurs twice, the lowest id.
        typed: Whether the file has types; without, every token counts as normal.
    """

    tokens: list[str]
    types: bytearray
    scores: NDArray[np.float32] | None
    ids: dict[str, int]
    typed: bool

    def of_type(self, *types: TokenType) -> list[int]:
        """Ids of the given types, in order."""
        chosen = np.isin(np.frombuffer(self.types, np.uint8), types)
        ids: list[int] = np.flatnonzero(chosen).tolist()
        return ids


def metadata_error(key: str, rule: str) -> TokenizerError:
    """An error about one metadata key."""
    return TokenizerError(f"[{PREFIX}{key}] {rule}")


def is_text(text: str) -> bool:
    """Whether a text is UTF-8: tokens that are raw bytes have surrogate escapes instead."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def string_array(metadata: Mapping[str, Any], key: str) -> list[str] | None:
    """The strings under a key, or None if the key is missing.

    Raises:
        TokenizerError: The value is no list of strings.
    """
    value = metadata.get(PREFIX + key)
    if value is None:
        return None
    if not isinstance(value, list) or not set(map(type, value)) <= {str}:
        raise metadata_error(key, f"must be an array of strings. Got {type(value).__name__}.")
    return value


def number_array(metadata: Mapping[str, Any], key: str, count: int) -> NDArray[Any] | None:
    """`count` numbers under a key, or None if the key is missing.

    Raises:
        TokenizerError: The value is no array of numbers, or not one per token.
    """
    value = metadata.get(PREFIX + key)
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise metadata_error(key, f"must be an array. Got {type(value).__name__}.") from None
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise metadata_error(key, f"must be an array of numbers. Got {array.dtype} {array.shape}.")
    if len(array) != count:
        raise metadata_error(key, f"must have one entry per token. Got {len(array)} for {count}.")
    return array


def flag(metadata: Mapping[str, Any], key: str, default: bool) -> bool:
    """A yes-no value.

    Raises:
        TokenizerError: The value is neither a boolean nor 0 or 1.
    """
    value = metadata.get(PREFIX + key, default)
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise metadata_error(key, f"must be true or false. Got {value!r}.")


def read_vocabulary(metadata: Mapping[str, Any]) -> tuple[Vocabulary, list[str]]:
    """Reads and checks tokens, types and scores.

    Returns:
        The vocabulary, and notes on what was odd but usable.

    Raises:
        TokenizerError: No tokens, arrays of different lengths, scores that are not finite.
    """
    tokens = string_array(metadata, "tokens")
    if not tokens:
        raise metadata_error("tokens", "is missing or empty: the file has no vocabulary.")
    count = len(tokens)
    notes = []

    types = number_array(metadata, "token_type", count)
    if types is None:
        kinds = bytearray([TokenType.NORMAL]) * count
        notes.append("the file has no token types: only tokens with known names are special")
    else:
        known = (types >= TokenType.UNDEFINED) & (types <= TokenType.BYTE)
        kinds = bytearray(np.where(known, types, TokenType.UNDEFINED).astype(np.uint8).tobytes())
        if not known.all():
            notes.append(f"{count - int(known.sum())} tokens have an unknown type")

    scores = number_array(metadata, "scores", count)
    if scores is not None:
        scores = scores.astype(np.float32)
        if not np.isfinite(scores).all():
            bad = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise metadata_error("scores", f"must be finite. Got {scores[bad]} for token {bad}.")

    ids = dict(zip(reversed(tokens), range(count - 1, -1, -1), strict=True))
    if len(ids) != count:
        notes.append(f"{count - len(ids)} tokens repeat the text of a lower id, which is used")
    return Vocabulary(tokens, kinds, scores, ids, types is not None), notes
