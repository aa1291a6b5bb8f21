# SPDX-License-Identifier: MIT
"""llguidance over a GGUF vocabulary: which tokens may come next.

The vocabulary is given as bytes, so that no other tokenizer file is needed. Control tokens stand
for no text; those that end a generation are allowed where the grammar accepts, and only there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import GrammarError, UnsupportedError
from gristmill.tokenizer.vocabulary import TokenType

from .engine import engine

if TYPE_CHECKING:
    from gristmill.tokenizer import Tokenizer

    from .grammar import Constraint

_NO_TEXT = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.UNUSED)


class _Bridge:
    """What llguidance asks of a tokenizer: its tokens, and how it would cut a text."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, ends: Sequence[int]) -> None:
        types = [tokenizer.token_type(token) for token in range(tokenizer.vocab_size)]
        self.eos_token_id = ends[0]
        self.bos_token_id = tokenizer.bos_id
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.special_token_ids = [
            token for token, kind in enumerate(types) if kind in _NO_TEXT or token in ends
        ]
        no_text = set(self.special_token_ids)
        self._tokenizer = tokenizer
        self._ids = {
            text: token
            for token, text in reversed(list(enumerate(self.tokens)))
            if text and token not in no_text
        }
        self._longest = max(map(len, self._ids), default=0)

    def __call__(self, data: bytes | str) -> list[int]:
        """Ids whose bytes are exactly `data`, in the middle of a text."""
        if isinstance(data, str):
            data = data.encode()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._greedy(data)
        # A line end before it takes the space that SentencePiece puts before a text.
        ids = self._tokenizer.encode("\n" + text, add_special=False, parse_special=False)
        cut, start = b"", 0
        while start < len(ids) and not cut.endswith(b"\n"):
            cut += self.tokens[ids[start]]
            start += 1
        same = cut.strip(b" ") == b"\n" and b"".join(self.tokens[i] for i in ids[start:]) == data
        return ids[start:] if same else self._greedy(data)

    def _greedy(self, data: bytes) -> list[int]:
        """The longest token at every place; bytes without a token are left out."""
        found, at = [], 0
        while at < len(data):
            for size in range(min(self._longest, len(data) - at), 0, -1):
                token = self._ids.get(data[at : at + size])
                if token is not None:
                    found.append(token)
                    break
            else:
                size = 1
            at += size
        return found


class Vocabulary:
    """A tokenizer as llguidance has it; one per model, because it takes a while to make.

    Args:
        tokenizer: The model's.
        vocab_size: Number of logits; those beyond the tokenizer's tokens are never allowed.

    Raises:
        UnsupportedError: No token ends a text.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        ends = sorted(tokenizer.eog_ids)
        if not ends:
            raise UnsupportedError(
                "[constrain] The vocabulary must have a token that ends a text. It has none."
            )
        self.vocab_size = vocab_size
        self.ends = frozenset(ends)
        bridge = _Bridge(tokenizer, ends)
        self.tokenizer = engine().LLTokenizer(bridge, n_vocab=vocab_size, eos_token=ends)


class Matcher:
    """The state of one constrained text.

    Raises:
        GrammarError: The constraint cannot be started with this vocabulary.
    """

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        self._kind = constraint.kind
        self._vocabulary = vocabulary
        self._words = (vocabulary.vocab_size + 31) // 32
        self._ends = np.zeros(self._words, np.uint32)
        for token in vocabulary.ends:
            self._ends[token // 32] |= np.uint32(1 << token % 32)
        self._matcher = engine().LLMatcher(vocabulary.tokenizer, constraint.grammar, log_level=0)
        self._check()

    @property
    def accepts(self) -> bool:
        """Whether the text may end here."""
        return bool(self._matcher.is_accepting())

    def mask(self, ends: bool = True) -> NDArray[np.uint32] | None:
        """The tokens that may come next, as [ceil(V / 32)] words; None: the text is complete.

        Args:
            ends: Whether tokens that end a text count as text may end here; False takes them out.

        Raises:
            GrammarError: The grammar got too complex, or no token continues the text.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)
        self._check()
        if len(bits) < self._words:
            raise GrammarError("[constrain] the mask is shorter than the vocabulary.")
        bits = bits[: self._words]
        if not (bits & ~self._ends).any():
            if self.accepts:
                return None
            raise GrammarError(f"[{self._kind}] no token of the vocabulary continues the text.")
        return bits if ends else bits & ~self._ends

    def accept(self, token: int) -> None:
        """Goes on by a token.

        Raises:
            GrammarError: It was not allowed.
        """
        if not self._matcher.consume_token(token):
            self._check()
            raise GrammarError(f"[{self._kind}] token {token} is not allowed here.")

    def _check(self) -> None:
        if self._matcher.is_error():
            problem = self._matcher.get_error().split("\n<state>")[0]  # what follows is a dump
            raise GrammarError(f"[{self._kind}] {problem}")
