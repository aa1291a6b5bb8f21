# SPDX-License-Identifier: MIT
"""Turns a stream of token ids into pieces of text that are safe to print at once.

A character may span tokens, so incomplete UTF-8 is held back until it completes; what never
completes becomes U+FFFD at the end. The pieces joined are exactly `Tokenizer.decode` of the ids.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from .base import Tokenizer


class StreamDecoder:
    """Incremental decoding of one generation.

    Args:
        tokenizer: Whose ids come.
        skip_special: Leave out control and unknown tokens.
        previous: Ids before the stream (a prompt; its last few suffice). They decide whether the
            first token begins a text, where SentencePiece's space prefix is no part of it, or
            continues one. Empty: the stream begins the text.
        continues: The first token continues a text whatever came before it.

    Example:
        >>> decoder = StreamDecoder(tokenizer)
        >>> text = "".join(decoder.feed(token) for token in ids) + decoder.flush()
        >>> text == tokenizer.decode(ids)
        True
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        skip_special: bool = False,
        previous: Iterable[int] = (),
        *,
        continues: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._fresh = not continues
        for token in previous:
            _, self._fresh = tokenizer.step(token, self._fresh)

    def feed(self, token: int) -> str:
        """The text that this token completes; empty while a character is incomplete.

        Raises:
            TokenizerError: The id is no token.
        """
        part, self._fresh = self._tokenizer.step(token, self._fresh, self._skip_special)
        return self._utf8.decode(part)

    def flush(self) -> str:
        """What was held back, as U+FFFD; ends the stream."""
        return self._utf8.decode(b"", final=True)
