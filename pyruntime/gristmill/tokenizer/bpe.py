# SPDX-License-Identifier: MIT
"""BPE with merges ("gpt2" and "gemma4" models) through the tokenizers library.

A byte-level vocabulary spells each byte as one letter, so the file's texts are data for the library
as they stand; only the pre-tokenizer is named, not contained (pretokenizers.py). Bytes of a token
are worked out when asked for, which keeps loading 150,000 tokens well under half a second. The
other kind of vocabulary is plain text with U+2581 for spaces, as SentencePiece has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import methodcaller
from typing import Any

from gristmill.errors import TokenizerError

from .base import Tokenizer
from .likely_pre import consequence
from .pretokenizers import PreTokenizer, find
from .special import SpecialTokens
from .vocabulary import (
    ESCAPED_SPACE,
    PREFIX,
    TokenType,
    Vocabulary,
    is_text,
    metadata_error,
    string_array,
)


def _byte_letters() -> dict[int, int]:
    """The letter of each byte: itself where printable, else the next free one from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: byte for byte in printable}
    spare = (byte for byte in range(256) if byte not in table)
    return table | {byte: 0x100 + i for i, byte in enumerate(spare)}


_BYTE_OF_LETTER = {chr(letter): byte for byte, letter in _byte_letters().items()}


_cut = methodcaller("partition", " ")


def _merges(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = string_array(metadata, "merges")
    if lines is None:
        raise metadata_error("merges", "is missing: BPE needs its merges.")
    pairs = [(left, right) for left, _, right in map(_cut, lines)]
    if not all(map(all, pairs)):
        bad = next(line for line, pair in zip(lines, pairs, strict=True) if not all(pair))
        raise metadata_error("merges", f"must hold two tokens each. Got {bad!r}.")
    return pairs


def _model(
    vocab: Vocabulary, merges: list[tuple[str, str]], options: dict[str, Any], notes: list[str]
) -> Any:
    """The library's BPE model; merges of tokens that the vocabulary lacks are left out."""
    from tokenizers import models

    ids = dict(vocab.ids)
    for token in vocab.of_type(TokenType.CONTROL):
        ids.pop(vocab.tokens[token], None)
    try:
        return models.BPE(ids, merges, **options)
    except UnicodeEncodeError:
        ids = {text: token for text, token in ids.items() if is_text(text)}
    except Exception:  # noqa: BLE001, S110 - the library raises plain Exception
        pass
    known = [(a, b) for a, b in merges if a in ids and b in ids and a + b in ids]
    notes.append(f"{len(merges) - len(known)} merges name tokens that are not in the vocabulary")
    try:
        return models.BPE(ids, known, **options)
    except Exception as error:  # noqa: BLE001
        raise TokenizerError(f"[{PREFIX}merges] no usable BPE. {error}") from None


def words(pre: PreTokenizer) -> Any:
    """The library's pre-tokenizer: cuts text into words, in letters that mean bytes if it must."""
    from tokenizers import Regex, pre_tokenizers

    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, letters] if pre.byte_level else splits)


class MergingBpe(Tokenizer):
    """What both kinds of BPE share: the library's tokenizer. See `build`."""

    def __init__(
        self,
        vocab: Vocabulary,
        special: SpecialTokens,
        model: Any,
        pre: PreTokenizer,
        *,
        source: str,
        notes: list[str],
        strip_right: frozenset[int],
    ) -> None:
        import tokenizers

        super().__init__(vocab, special, source=source, notes=notes, strip_right=strip_right)
        self._tokenizer = tokenizers.Tokenizer(model)
        self._tokenizer.pre_tokenizer = words(pre)

    def _encode_fragment(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @property
    def _strips_space(self) -> bool:
        return False


class ByteLevelBpe(MergingBpe):
    """BPE over letters that mean bytes."""

    def _fragment_bytes(self, text: str) -> bytes:
        try:
            return bytes([_BYTE_OF_LETTER[letter] for letter in text])
        except KeyError:  # added as plain text
            return text.encode("utf-8", "surrogateescape")


class PlainBpe(MergingBpe):
    """BPE over plain text, with U+2581 for spaces and byte tokens for what has no token."""

    def _encode_fragment(self, text: str) -> list[int]:
        return super()._encode_fragment(text.replace(" ", ESCAPED_SPACE))

    def _raw_text(self, token: int) -> str:
        if self._types[token] == TokenType.USER_DEFINED:
            return self._tokens[token].replace(ESCAPED_SPACE, " ")
        return self._tokens[token]


def build(
    metadata: Mapping[str, Any],
    vocab: Vocabulary,
    special: SpecialTokens,
    *,
    notes: list[str],
    strip_right: frozenset[int],
) -> Tokenizer:
    """The tokenizer of a vocabulary with merges.

    Raises:
        TokenizerError: Merges are missing or malformed, or the library refuses the model.
    """
    pre, problem = find(pre_name(metadata))
    options: dict[str, Any] = {"ignore_merges": pre.ignore_merges}
    if not pre.byte_level:
        options |= {"byte_fallback": True, "fuse_unk": True}
        if special.unk is not None:
            options["unk_token"] = vocab.tokens[special.unk]
    model = _model(vocab, _merges(metadata), options, notes)
    if problem:
        notes.append(f"the file {problem}: {consequence(model, vocab.ids, words)}")
    kind = "byte-level BPE" if pre.byte_level else "BPE"
    source = f"{kind} ({pre.name}) from GGUF, {len(vocab.tokens)} tokens"
    make = ByteLevelBpe if pre.byte_level else PlainBpe
    return make(vocab, special, model, pre, source=source, notes=notes, strip_right=strip_right)


def pre_name(metadata: Mapping[str, Any]) -> Any:
    """The name of the pre-tokenizer; some tokenizer models have one without saying so."""
    model = metadata.get(PREFIX + "model")
    return model if model in ("gemma4", "whitespace") else metadata.get(PREFIX + "pre")
