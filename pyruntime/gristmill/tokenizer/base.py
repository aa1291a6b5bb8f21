# SPDX-License-Identifier: MIT
"""What every tokenizer does the same way: special tokens, added tokens, decoding to bytes.

Encoding cuts the text at its special tokens and hands only plain fragments to the model behind.
Decoding is its exact inverse: where SentencePiece put a space before a fragment (at the start of
the text and after a special token), decoding takes one away. `StreamDecoder` uses the same step
function, so streamed text equals decoded text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from gristmill.errors import TokenizerError

from .special import SpecialSplitter, SpecialTokens
from .vocabulary import ESCAPED_SPACE, TokenType, Vocabulary

_SHOWN_RAW = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Tokenizer(ABC):
    """Text to token ids and back. Immutable after construction; safe to share between threads.

    Attributes:
        source: Where it comes from, for people: "byte-level BPE (qwen2) from GGUF, 151936 tokens".
        notes: Every fallback and oddity met while building it, one sentence each.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        special: SpecialTokens,
        *,
        source: str,
        notes: Sequence[str] = (),
        strip_right: frozenset[int] = frozenset(),
    ) -> None:
        self.special = special
        self.source = source
        self.notes = list(notes)
        self._tokens = vocab.tokens
        self._types = bytes(vocab.types)
        control = vocab.of_type(TokenType.CONTROL, TokenType.UNKNOWN)
        user = vocab.of_type(TokenType.USER_DEFINED)
        always = {self._raw_text(i): i for i in reversed(user)}
        both = {**{self._raw_text(i): i for i in reversed(control)}, **always}
        self._plain_splitter = SpecialSplitter(always, strip_right)
        self._special_splitter = SpecialSplitter(both, strip_right)

    @property
    def vocab_size(self) -> int:
        """Number of tokens in the file."""
        return len(self._tokens)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if there is one."""
        return self.special.bos

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text, if there is one."""
        return self.special.eos

    @property
    def eog_ids(self) -> frozenset[int]:
        """Every token that ends a generation: end of text, of turn, of message."""
        return self.special.eog

    def encode(self, text: str, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of a text.

        Args:
            text: Any text; lone surrogates become U+FFFD.
            add_special: Add the tokens that the file asks for (bos, eos, sep). One that the text
                already begins or ends with, as chat templates do, is not added twice.
            parse_special: Read control tokens written in the text ("<|im_end|>") as those tokens.
                False for untrusted text. User-defined tokens are always read.

        Returns:
            The ids.
        """
        ids: list[int] = []
        splitter = self._special_splitter if parse_special else self._plain_splitter
        for piece in splitter.split(well_formed(text)):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                ids += self._encode_fragment(piece)
        return self._with_added(ids) if add_special else ids

    def _with_added(self, ids: list[int]) -> list[int]:
        special = self.special
        if special.add_bos and special.bos is not None and ids[:1] != [special.bos]:
            ids.insert(0, special.bos)
        for wanted, token in (
            (special.add_sep, special.sep),
            (special.add_eos, special.eos),
        ):
            if wanted and token is not None and ids[-1:] != [token]:
                ids.append(token)
        return ids

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Text of token ids; bytes that are not UTF-8 become U+FFFD.

        Args:
            ids: Token ids.
            skip_special: Leave out control and unknown tokens.

        Returns:
            The text: `decode(encode(text, add_special=False)) == text` for every model that can
            spell all bytes.

        Raises:
            TokenizerError: An id is no token.
        """
        parts = []
        fresh = True
        for token in ids:
            part, fresh = self.step(token, fresh, skip_special)
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")

    def step(self, token: int, fresh: bool, skip_special: bool = False) -> tuple[bytes, bool]:
        """One token of a decoding.

        Args:
            token: Its id.
            fresh: Whether a fragment begins here: at the start, and after a special token.
            skip_special: Leave out control and unknown tokens.

        Returns:
            Its bytes in this place, and `fresh` for the next token.
        """
        part = self.token_bytes(token)
        kind = self._types[token]
        if kind in _SHOWN_RAW:
            return (b"" if skip_special and kind != TokenType.USER_DEFINED else part), True
        if fresh and self._strips_space and part[:1] == b" ":
            return part[1:], False
        return part, fresh and not part

    @property
    def _strips_space(self) -> bool:
        """Whether a fragment's first space is ours, not the text's."""
        return self.special.add_space_prefix

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for, its leading space included.

        Raises:
            TokenizerError: The id is no token.
        """
        text = self.token_text(token)
        kind = self._types[token]
        if kind in _SHOWN_RAW:
            return self._raw_text(token).encode("utf-8", "surrogateescape")
        if kind == TokenType.BYTE and len(text) == 6:
            try:
                return bytes([int(text[3:5], 16)])
            except ValueError:
                pass
        return self._fragment_bytes(text)

    def token_text(self, token: int) -> str:
        """The text of a token as the file has it.

        Raises:
            TokenizerError: The id is no token.
        """
        if not 0 <= token < len(self._tokens):
            raise TokenizerError(
                f"[tokenizer] an id must be below the {len(self._tokens)} tokens. Got {token}."
            )
        return self._tokens[token]

    def token_type(self, token: int) -> TokenType:
        """The type of a token, corrected where its name contradicts the file.

        Raises:
            TokenizerError: The id is no token.
        """
        self.token_text(token)
        return TokenType(self._types[token])

    def _raw_text(self, token: int) -> str:
        """How a special token is written in text."""
        return self._tokens[token]

    def _fragment_bytes(self, text: str) -> bytes:
        """Bytes of a token of ordinary text."""
        return text.replace(ESCAPED_SPACE, " ").encode("utf-8", "surrogateescape")

    @abstractmethod
    def _encode_fragment(self, text: str) -> list[int]:
        """Ids of plain, well-formed, non-empty text: a whole text, or what a special token ends."""
