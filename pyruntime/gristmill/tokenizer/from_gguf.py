# SPDX-License-Identifier: MIT
"""Chooses and builds the tokenizer that a GGUF file describes.

One table says, per tokenizer model, what holds where the file is silent. Everything after that is
the same for all: read the vocabulary, read the special tokens, build.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.errors import TokenizerError

from . import bpe, sentencepiece, wordpiece
from .base import Tokenizer
from .pretokenizers import find
from .special import Defaults, SpecialTokens, read_special
from .vocabulary import PREFIX, TokenType, Vocabulary, read_vocabulary

_DEFAULTS = {
    "llama": Defaults({"bos": 1, "eos": 2, "unk": 0}, add_bos=True, add_space_prefix=True),
    "t5": Defaults({"eos": 1, "unk": 2, "pad": 0}, add_eos=True, add_space_prefix=True),
    "gpt2": Defaults({"bos": 11, "eos": 11}),
    "gemma4": Defaults({}),
    "whitespace": Defaults({}),
    "bert": Defaults(
        {"bos": 101, "unk": 100, "sep": 102, "pad": 0, "cls": 101, "mask": 103},
        add_bos=True,
        add_sep=True,
    ),
}
_WITH_MERGES = ("gpt2", "gemma4", "whitespace")


def _strips_right(metadata: Mapping[str, Any], vocab: Vocabulary) -> frozenset[int]:
    """Ids after which white space is swallowed: Phi-3 was trained so; no key says it."""
    name = str(metadata.get("general.name", "")).lower()
    if "phi-3" not in name and "phi3" not in name:
        return frozenset()
    keep = {"<unk>", "<s>", "<|endoftext|>"}
    special = vocab.of_type(TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
    return frozenset(token for token in special if vocab.tokens[token] not in keep)


def _build(
    model: str,
    metadata: Mapping[str, Any],
    vocab: Vocabulary,
    special: SpecialTokens,
    notes: list[str],
) -> Tokenizer:
    strip = _strips_right(metadata, vocab)
    if model in _WITH_MERGES:
        return bpe.build(metadata, vocab, special, notes=notes, strip_right=strip)
    if model == "bert":
        return wordpiece.build(metadata, vocab, special, notes=notes, strip_right=strip)
    return sentencepiece.build(
        metadata, vocab, special, unigram=model == "t5", notes=notes, strip_right=strip
    )


def from_metadata(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a GGUF file.

    Args:
        metadata: The file's keys and values, as `gristmill.gguf.File.metadata` gives them: string
            arrays as lists of str, numeric arrays as NumPy arrays.

    Returns:
        A tokenizer; its `notes` list every fallback that was needed.

    Raises:
        TokenizerError: There is no vocabulary, it is inconsistent, or its kind is unknown.
    """
    model = metadata.get(PREFIX + "model")
    if not isinstance(model, str) or model in ("none", "no_vocab"):
        raise TokenizerError(f"[{PREFIX}model] the file has no tokenizer. Got {model!r:.80}.")
    if model not in _DEFAULTS:
        known = ", ".join(sorted(_DEFAULTS))
        raise TokenizerError(
            f"[{PREFIX}model] is not supported. Got {model!r:.80}, expected {known}."
        )
    vocab, notes = read_vocabulary(metadata)
    defaults = _DEFAULTS[model]
    if model in _WITH_MERGES:
        pre, _ = find(bpe.pre_name(metadata))
        defaults = Defaults(defaults.ids, add_bos=pre.add_bos)
    special, gaps = read_special(metadata, vocab, defaults)
    return _build(model, metadata, vocab, special, notes + gaps)
