# SPDX-License-Identifier: MIT
"""tokenizer.json of WordPiece, as BERT has it.

BERT marks the continuations of words, a GGUF file their beginnings.
"""

from __future__ import annotations

from typing import Any

from gristmill.errors import TokenizerError
from gristmill.tokenizer.vocabulary import ESCAPED_SPACE, TokenType

from .bpe_vocabulary import tokens_by_id
from .pretokenizer import steps
from .vocabulary import Vocabulary

_CONTINUES = "##"


def from_json(data: dict[str, Any], where: str) -> Vocabulary:
    """The vocabulary of a tokenizer.json whose model is WordPiece.

    Raises:
        TokenizerError: The file is damaged, or marks or cuts words in another way than BERT.
    """
    model = data["model"]
    texts = tokens_by_id(model.get("vocab"), where)
    mark = model.get("continuing_subword_prefix", _CONTINUES)
    cuts = [part.get("type") for part in steps(data.get("pre_tokenizer"), "pretokenizers")]
    if mark != _CONTINUES or cuts != ["BertPreTokenizer"]:
        raise TokenizerError(
            f"[{where}] WordPiece must mark and cut words as BERT does. Got {mark!r:.20}, {cuts}."
        )
    unknown = str(model.get("unk_token") or "[UNK]")
    listed = data.get("added_tokens")
    special = {one.get("content") for one in listed or [] if isinstance(one, dict)}
    kinds, marked = [], []
    for token, text in enumerate(texts):
        kind = TokenType.NORMAL
        if text == unknown:
            kind = TokenType.UNKNOWN
        elif text in special:
            kind = TokenType.CONTROL
        elif not text:
            kind, text = TokenType.UNUSED, f"[PAD{token}]"
        elif text.startswith(_CONTINUES):
            text = text.removeprefix(_CONTINUES)
        else:
            text = ESCAPED_SPACE + text
        kinds.append(int(kind))
        marked.append(text)
    vocab = Vocabulary("bert", "default", marked, kinds)
    vocab.extra |= _normalizer(data, vocab)
    return vocab


def _normalizer(data: dict[str, Any], vocab: Vocabulary) -> dict[str, bool]:
    """Whether case and accents are kept."""
    parts = steps(data.get("normalizer"), "normalizers")
    known = next((part for part in parts if part.get("type") == "BertNormalizer"), None)
    if known is None or len(parts) > 1:
        vocab.notes.append("the tokenizer does not normalize text as BERT; no key says so")
    lowercase = bool((known or {}).get("lowercase", True))
    accents = (known or {}).get("strip_accents")
    return {
        "normalizer.lowercase": lowercase,
        "normalizer.strip_accents": lowercase if accents is None else bool(accents),
    }
