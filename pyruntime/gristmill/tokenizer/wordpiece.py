# SPDX-License-Identifier: MIT
"""WordPiece ("bert" models) through the tokenizers library.

GGUF marks the beginning of a word where BERT marks its continuations; the marks are turned back
here. WordPiece cannot spell everything: an unknown word is one unknown token, and case and accents
are gone after encoding where the model was trained without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.errors import TokenizerError

from .base import Tokenizer
from .special import SpecialTokens
from .vocabulary import ESCAPED_SPACE, PREFIX, TokenType, Vocabulary, flag

_CONTINUES = "##"
_LONGEST_WORD = 100  # letters; longer words are unknown, as in training


def _marked(vocab: Vocabulary) -> dict[str, int]:
    """Ids by text with BERT's marks."""
    ids = {}
    for text, token in vocab.ids.items():
        if vocab.types[token] in (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED):
            continue
        beginning = text.startswith(ESCAPED_SPACE) and len(text) > 1
        ids[text[1:] if beginning else _CONTINUES + text] = token
    return ids


def _is_uncased(vocab: Vocabulary) -> bool:
    """No ordinary token begins with a capital letter."""
    return not any(
        text[:1] == ESCAPED_SPACE and "A" <= text[1:2] <= "Z" and text[2:3].isalpha()
        for text in vocab.tokens
    )


class WordPieceTokenizer(Tokenizer):
    """A WordPiece tokenizer; see `build`."""

    def __init__(
        self,
        vocab: Vocabulary,
        special: SpecialTokens,
        *,
        lowercase: bool,
        strip_accents: bool,
        source: str,
        notes: list[str],
        strip_right: frozenset[int],
    ) -> None:
        import tokenizers
        from tokenizers import models, normalizers, pre_tokenizers

        super().__init__(vocab, special, source=source, notes=notes, strip_right=strip_right)
        ids = _marked(vocab)
        unk = "" if special.unk is None else vocab.tokens[special.unk]
        if special.unk is not None:
            ids[unk] = special.unk
        try:
            model = models.WordPiece(
                ids,
                unk_token=unk,
                max_input_chars_per_word=_LONGEST_WORD,
                continuing_subword_prefix=_CONTINUES,
            )
        except Exception as error:  # noqa: BLE001 - the library raises plain Exception
            raise TokenizerError(f"[{PREFIX}tokens] is no usable WordPiece. {error}") from None
        self._tokenizer = tokenizers.Tokenizer(model)
        self._tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=True,
            strip_accents=strip_accents,
            lowercase=lowercase,
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def _encode_fragment(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @property
    def _strips_space(self) -> bool:
        return True  # every word begins with one


def build(
    metadata: Mapping[str, Any],
    vocab: Vocabulary,
    special: SpecialTokens,
    *,
    notes: list[str],
    strip_right: frozenset[int],
) -> WordPieceTokenizer:
    """The tokenizer of a "bert" vocabulary.

    Raises:
        TokenizerError: There is no unknown token, or the library refuses the vocabulary.
    """
    if special.unk is None:
        raise TokenizerError(f"[{PREFIX}unknown_token_id] WordPiece needs an unknown token.")
    lowercase = flag(metadata, "normalizer.lowercase", _is_uncased(vocab))
    return WordPieceTokenizer(
        vocab,
        special,
        lowercase=lowercase,
        strip_accents=flag(metadata, "normalizer.strip_accents", lowercase),
        source=f"WordPiece from GGUF, {len(vocab.tokens)} tokens",
        notes=notes,
        strip_right=strip_right,
    )
