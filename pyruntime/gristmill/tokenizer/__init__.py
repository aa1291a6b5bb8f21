# SPDX-License-Identifier: MIT
"""Tokenizers built from GGUF metadata: SentencePiece, byte-level BPE, WordPiece and unigram.

`from_metadata` is the one entry. The tokens, scores, merges and types of the file are the whole
truth: no side file is read and nothing is downloaded. The libraries that do the work
(`sentencepiece`, `tokenizers`) are imported when a tokenizer of their kind is built, never before.
"""

from __future__ import annotations

from .base import Tokenizer
from .from_gguf import from_metadata
from .special import SpecialTokens
from .stream import StreamDecoder
from .vocabulary import TokenType, Vocabulary

__all__ = [
    "SpecialTokens",
    "StreamDecoder",
    "TokenType",
    "Tokenizer",
    "Vocabulary",
    "from_metadata",
]
