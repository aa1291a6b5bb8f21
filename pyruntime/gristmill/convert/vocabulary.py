# SPDX-License-Identifier: MIT
"""The vocabulary of a file: what tokenizer.ggml.* will say, wherever it comes from.

tokenizer.model wins over tokenizer.json: it has the scores that the other lost. What both sources
share is here: added tokens, filling up to the rows of the embedding table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gristmill.errors import FormatError, ResourceError, TokenizerError
from gristmill.tokenizer.vocabulary import ESCAPED_SPACE, TokenType

from .files import load_optional

ADDED_SCORE = -1000.0
UNUSED_SCORE = -10000.0
# Added tokens that some models forget to call special, as llama.cpp's files have them.
_SPECIAL_TEXTS = frozenset(("<pad>", "<mask>", "<2mass>", "[@BOS@]"))
_SPECIAL_ENDS = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))


@dataclass
class Vocabulary:
    """Tokens by id, and the keys that only one kind of tokenizer has.

    Args:
        model: tokenizer.ggml.model.
        pre: tokenizer.ggml.pre.
        tokens: [V] texts.
        types: [V] values of TokenType.
        scores: [V], or None for byte-level BPE.
        extra: Further keys, without the prefix.
        notes: What a reader of the report should know.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def keys(self) -> dict[str, Any]:
        """tokenizer.ggml.*, without the prefix."""
        keys: dict[str, Any] = {"model": self.model, "pre": self.pre, "tokens": self.tokens}
        if self.scores is not None:
            keys["scores"] = np.array(self.scores, dtype=np.float32)
        return keys | {"token_type": np.array(self.types, dtype=np.int32)} | self.extra

    def put(self, token: int, text: str, special: bool) -> None:
        """Sets an added token."""
        same = self.tokens[token] == text
        if special or looks_special(text):
            kept = same and self.types[token] in (TokenType.UNKNOWN, TokenType.CONTROL)
            if kept:
                return
            self.types[token] = TokenType.CONTROL
        else:
            text = text.replace(ESCAPED_SPACE, " ")
            self.types[token] = TokenType.USER_DEFINED
        self.tokens[token] = text
        if self.scores is not None:
            self.scores[token] = ADDED_SCORE

    def fit(self, rows: int) -> None:
        """One token per row of the embedding table: the rest goes, gaps are unused tokens."""
        for token in range(len(self.tokens), rows):
            self.tokens.append(f"[PAD{token}]")
            self.types.append(TokenType.UNUSED)
            if self.scores is not None:
                self.scores.append(UNUSED_SCORE)
        del self.tokens[rows:], self.types[rows:]
        if self.scores is not None:
            del self.scores[rows:]


def looks_special(text: str) -> bool:
    """Whether an added token is one that no text should turn into by accident."""
    ends = any(text.startswith(a) and text.endswith(b) for a, b in _SPECIAL_ENDS)
    return ends or text in _SPECIAL_TEXTS


def added_tokens(folder: Path, fast: dict[str, Any]) -> dict[int, tuple[str, bool]]:
    """Texts and whether they are special, by id, of all files that may name added tokens.

    Args:
        folder: Of the model.
        fast: Its tokenizer.json, or empty.
    """
    found: dict[int, tuple[str, bool]] = {}
    plain = load_optional(folder / "added_tokens.json")
    entries: list[tuple[Any, Any]] = [(i, {"content": text}) for text, i in plain.items()]
    decoder = load_optional(folder / "tokenizer_config.json").get("added_tokens_decoder")
    entries += list(decoder.items()) if isinstance(decoder, dict) else []
    listed = fast.get("added_tokens")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            entries.append((entry.get("id"), entry))
    for token, entry in entries:
        try:
            number = int(token)
        except (TypeError, ValueError, OverflowError):
            number = -1
        text = entry.get("content") if isinstance(entry, dict) else None
        if number < 0 or not isinstance(text, str) or not text:
            raise FormatError(
                f"[{folder}] Added tokens need an id and a text. Got {token!r:.40}: {entry!r:.80}."
            )
        found[number] = (text, bool(entry.get("special", False)))
    return found


def read_vocabulary(folder: Path, rows: int, pre: str | None = None) -> Vocabulary:
    """The vocabulary of a model folder, one token per row of its embedding table.

    Args:
        folder: Holds tokenizer.model or tokenizer.json.
        rows: Rows of the embedding table.
        pre: tokenizer.ggml.pre to write instead of the one that is recognised.

    Raises:
        ResourceError: There is neither file.
        TokenizerError: The tokenizer is of a kind that no GGUF file can describe.
    """
    from . import bpe_vocabulary as bpe
    from . import sentencepiece_vocabulary as pieces
    from . import unigram_vocabulary as unigram
    from . import wordpiece_vocabulary as wordpiece

    model, fast = folder / "tokenizer.model", folder / "tokenizer.json"
    data = load_optional(fast)
    stated = data.get("model")
    kind = stated.get("type") if isinstance(stated, dict) else None
    if model.is_file() and pieces.is_model(model):
        vocab = pieces.from_model(model)
    elif kind == "WordPiece":
        vocab = wordpiece.from_json(data, str(fast))
    elif kind == "Unigram":
        vocab = unigram.from_json(data, str(fast))
    elif data:
        vocab = bpe.from_json(data, str(fast), pre)
    elif model.is_file():
        raise TokenizerError(f"[{model}] The file is no SentencePiece model.")
    else:
        raise ResourceError(
            f"[{folder}] A model needs its tokenizer. Got neither tokenizer.json nor "
            "tokenizer.model."
        )
    added = added_tokens(folder, data)
    texts = dict(enumerate(vocab.tokens)) | {token: text for token, (text, _) in added.items()}
    lost = sorted(token for token in texts if token >= rows)
    if lost:
        vocab.notes.append(
            f"{len(lost)} tokens have no row in the embedding table and were left out, "
            f"the first is {texts[lost[0]]!r:.80}"
        )
    vocab.fit(rows)
    for token, (text, special) in added.items():
        if token < rows:
            vocab.put(token, text, special)
    return vocab
