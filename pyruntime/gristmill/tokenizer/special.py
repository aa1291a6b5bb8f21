# SPDX-License-Identifier: MIT
"""Special tokens: which ids mean what, which of them end a generation, and finding them in text.

Files are often incomplete here: an end-of-turn token without its metadata key, or one that is
typed as normal text. Names that published models agree on fill the gaps, each filled gap is noted,
and an id that the file states always wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .vocabulary import PREFIX, TokenType, Vocabulary, flag, metadata_error

# Texts that end a generation in every published model that has them.
END_OF_GENERATION = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[",
)  # fmt: skip
_NEVER_TEXT = ("<|", "<\uff5c", "<end_of_")
# With tool calls and returns of their own, these models use "<|end|>" between messages only.
_END_IS_NO_END = (("<|return|>", "<|call|>"), ("<|call|>", "<|flush|>"), ("<|calls|>", "<|flush|>"))
# Control tokens that are part of what such a model says: shown even when specials are skipped.
_ALWAYS_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")
# Default ids count only where the token has one of these texts or a special type.
_DEFAULT_TEXTS = frozenset(
    ("<s>", "</s>", "<unk>", "<pad>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
     "<|endoftext|>", "<|begin_of_text|>", "<bos>", "<eos>")
)  # fmt: skip
_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",  # the format's own spelling
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}


@dataclass(frozen=True)
class Defaults:
    """What a tokenizer model assumes where the file says nothing."""

    ids: Mapping[str, int]
    add_bos: bool = False
    add_eos: bool = False
    add_sep: bool = False
    add_space_prefix: bool = False


@dataclass(frozen=True)
class SpecialTokens:
    """Ids by role (None where the vocabulary has no such token), and what `encode` adds."""

    bos: int | None
    eos: int | None
    eot: int | None
    eom: int | None
    unk: int | None
    sep: int | None
    pad: int | None
    cls: int | None
    mask: int | None
    add_bos: bool
    add_eos: bool
    add_sep: bool
    add_space_prefix: bool
    eog: frozenset[int]


def _token_id(metadata: Mapping[str, Any], key: str, count: int) -> int | None:
    """An id under a key; -1 and 2**32 - 1 are how some writers say 'none'."""
    value = metadata.get(PREFIX + key)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise metadata_error(key, f"must be a token id. Got {value!r}.") from None
    if number in (-1, 0xFFFFFFFF):
        return None
    if not 0 <= number < count:
        raise metadata_error(key, f"must be below the {count} tokens of the file. Got {number}.")
    return number


def _default_id(vocab: Vocabulary, token: int | None) -> int | None:
    """A default id, if the vocabulary has a special token there."""
    if token is None or token >= len(vocab.tokens):
        return None
    special = vocab.types[token] in (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
    return token if special or vocab.tokens[token] in _DEFAULT_TEXTS else None


def _end_of_generation(
    vocab: Vocabulary, ids: Mapping[str, int | None], notes: list[str]
) -> frozenset[int]:
    """The ids that end a generation; sets the types of those that the file calls normal."""
    found = {text: vocab.ids[text] for text in END_OF_GENERATION if text in vocab.ids}
    if any(a in found and b in found for a, b in _END_IS_NO_END) and "<|end|>" in found:
        vocab.types[found.pop("<|end|>")] = TokenType.USER_DEFINED
    if "<|tool_response>" in found:
        found.pop("</s>", None)
    stated = {token for role in ("eos", "eot", "eom") if (token := ids[role]) is not None}
    ends = set(stated)
    for text, token in found.items():
        if vocab.types[token] not in (TokenType.CONTROL, TokenType.USER_DEFINED):
            # "</s>" may be plain text (it is in HTML); "<|im_end|>" never is.
            if vocab.typed and token not in stated and not text.startswith(_NEVER_TEXT):
                continue
            vocab.types[token] = TokenType.CONTROL
            notes.append(f"token {token} {text!r} is typed as text but used as a control token")
        ends.add(token)
    return frozenset(ends)


def read_special(
    metadata: Mapping[str, Any], vocab: Vocabulary, defaults: Defaults
) -> tuple[SpecialTokens, list[str]]:
    """Reads the special ids and flags; corrects types in `vocab` that contradict known names.

    Returns:
        The special tokens, and notes on every gap that was filled.

    Raises:
        TokenizerError: A stated id is no token of the vocabulary, or a flag is no boolean.
    """
    notes: list[str] = []
    ids: dict[str, int | None] = {}
    for role, key in _KEYS.items():
        stated = PREFIX + key in metadata
        token = _token_id(metadata, key, len(vocab.tokens))
        ids[role] = token if stated else _default_id(vocab, defaults.ids.get(role))
    if ids["bos"] is None:
        ids["bos"] = ids["cls"]

    eog = _end_of_generation(vocab, ids, notes)
    for text in _ALWAYS_SHOWN:
        if text in vocab.ids:
            vocab.types[vocab.ids[text]] = TokenType.USER_DEFINED
    if ids["eos"] is None and not eog and defaults.ids.get("sep") is None:
        notes.append("the file names no token that ends a generation: only limits and stops do")

    add = {
        name: flag(metadata, f"add_{name}_token", default)
        for name, default in (
            ("bos", defaults.add_bos), ("eos", defaults.add_eos), ("sep", defaults.add_sep)
        )
    }  # fmt: skip
    for name, wanted in add.items():
        if wanted and ids[name] is None:
            notes.append(f"the file asks for a {name} token but has none")
            add[name] = False
    space = flag(metadata, "add_space_prefix", defaults.add_space_prefix)
    return SpecialTokens(
        **ids,
        add_bos=add["bos"],
        add_eos=add["eos"],
        add_sep=add["sep"],
        add_space_prefix=space,
        eog=eog,
    ), notes


class SpecialSplitter:
    """Cuts text at the special tokens in it: leftmost first, of those the longest.

    Args:
        texts: The id of each special text.
        strip_right: Ids after which white space is swallowed.
    """

    def __init__(self, texts: Mapping[str, int], strip_right: frozenset[int]) -> None:
        self._ids = {text: token for text, token in texts.items() if text}
        self._strip_right = strip_right
        lengths: dict[str, set[int]] = {}
        for text in self._ids:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        first_letters = "".join(map(re.escape, self._lengths))
        self._first = re.compile(f"[{first_letters}]") if first_letters else None

    def split(self, text: str) -> Iterator[str | int]:
        """Yields pieces of plain text (never empty) and the ids between them."""
        start = at = 0
        while self._first is not None and (match := self._first.search(text, at)) is not None:
            at = match.start()
            token, length = self._longest(text, at)
            if token is None:
                at += 1
                continue
            if at > start:
                yield text[start:at]
            yield token
            at += length
            if token in self._strip_right:
                while at < len(text) and text[at].isspace():
                    at += 1
            start = at
        if start < len(text):
            yield text[start:]

    def _longest(self, text: str, at: int) -> tuple[int | None, int]:
        for length in self._lengths[text[at]]:
            token = self._ids.get(text[at : at + length])
            if token is not None:
                return token, length
        return None, 0
