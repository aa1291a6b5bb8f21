# SPDX-License-Identifier: MIT
"""EmbeddingGemma: Gemma 3 as an encoder."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.gemma import Gemma3


@register("gemma-embedding")
class GemmaEmbedding(Gemma3):
    """Tokens see both ways; two dense layers follow the mean of the hidden states."""

    bidirectional = True
    gives_logits = False
