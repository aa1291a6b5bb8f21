# SPDX-License-Identifier: MIT
"""What a constraint makes of a text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from gristmill.constrain import Constraint, Matcher, Vocabulary

Accepts = Callable[[Constraint, str], bool]


def accepts_text(vocabulary: Vocabulary, constraint: Constraint, text: str) -> bool:
    """Whether exactly this text is allowed, by the longest allowed token at every place."""
    matcher = Matcher(constraint, vocabulary)
    rest = text.encode()
    while rest:
        mask = matcher.mask()
        if mask is None:
            return False
        fitting = [
            token
            for size in range(min(len(rest), 32), 0, -1)
            for token in _tokens(vocabulary).get(rest[:size], ())
            if mask[token // 32] & np.uint32(1 << token % 32)
        ]
        if not fitting:
            return False
        matcher.accept(fitting[0])
        rest = rest[len(vocabulary.tokenizer.decode_bytes(fitting[:1])) :]
    return matcher.accepts


@cache
def _tokens(vocabulary: Vocabulary) -> dict[bytes, list[int]]:
    """The tokens of each text."""
    found: dict[bytes, list[int]] = {}
    for token in range(vocabulary.vocab_size):
        if not vocabulary.tokenizer.is_special_token(token):
            found.setdefault(vocabulary.tokenizer.decode_bytes([token]), []).append(token)
    return found
