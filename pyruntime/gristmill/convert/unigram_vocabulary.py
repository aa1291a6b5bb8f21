# SPDX-License-Identifier: MIT
"""tokenizer.json of a unigram model: pieces with scores, and a normalization table.

XLM-RoBERTa's has its tokens in the order of the embedding table, which its SentencePiece file has
not.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from gristmill.errors import TokenizerError
from gristmill.tokenizer.vocabulary import ESCAPED_SPACE, TokenType

from .pretokenizer import steps
from .vocabulary import Vocabulary

_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def from_json(data: dict[str, Any], where: str) -> Vocabulary:
    """The vocabulary of a tokenizer.json whose model is Unigram.

    Raises:
        TokenizerError: The file is damaged, or spaces are not written as SentencePiece does.
    """
    model = data["model"]
    unknown, spelled = model.get("unk_id"), bool(model.get("byte_fallback"))
    vocab = Vocabulary("t5", "default", [], [], [])
    assert vocab.scores is not None
    for entry in model.get("vocab") or []:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise TokenizerError(f"[{where}] A piece must have a text and a score. Got {entry!r}.")
        text, score = entry
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise TokenizerError(f"[{where}] A score must be a number. Got {score!r:.40}.")
        kind = TokenType.BYTE if spelled and text in _BYTES else TokenType.NORMAL
        vocab.types.append(int(TokenType.UNKNOWN if unknown == len(vocab.tokens) else kind))
        vocab.tokens.append(text)
        vocab.scores.append(float(score))
    if not vocab.tokens:
        raise TokenizerError(f"[{where}] A unigram model needs pieces. Got none.")
    vocab.extra |= _spaces(data, where) | _charsmap(data, where)
    return vocab


def _spaces(data: dict[str, Any], where: str) -> dict[str, bool]:
    """How text is prepared: a space in front, runs of spaces as one."""
    before = steps(data.get("normalizer"), "normalizers")
    cuts = steps(data.get("pre_tokenizer"), "pretokenizers")
    metaspace = next((part for part in cuts if part.get("type") == "Metaspace"), None)
    if metaspace is None or metaspace.get("replacement") != ESCAPED_SPACE:
        raise TokenizerError(f"[{where}] Spaces must become {ESCAPED_SPACE!a} (Metaspace).")
    scheme = "always" if metaspace.get("add_prefix_space", True) else "never"
    replaced = [part.get("pattern") for part in before if part.get("type") == "Replace"]
    collapsed = {"Regex": " {2,}"} in replaced
    return {
        "add_space_prefix": metaspace.get("prepend_scheme", scheme) != "never",
        "remove_extra_whitespaces": collapsed
        or any(part.get("type") == "WhitespaceSplit" for part in cuts),
    }


def _charsmap(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The normalization table, if there is one."""
    for part in steps(data.get("normalizer"), "normalizers"):
        if part.get("type") != "Precompiled":
            continue
        try:
            table = base64.b64decode(str(part.get("precompiled_charsmap")), validate=True)
        except (binascii.Error, ValueError):
            raise TokenizerError(f"[{where}] The normalization table is no base64.") from None
        return {"precompiled_charsmap": np.frombuffer(table, dtype=np.uint8)} if table else {}
    return {}
