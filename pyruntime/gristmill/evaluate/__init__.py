# SPDX-License-Identifier: MIT
"""How good a model is, and how far one is from another: perplexity and KL divergence.

Defined as in llama.cpp, so that figures compare: a text is cut into windows, each is computed by
itself, and the second half of a window is scored (its first half is context).
"""

from __future__ import annotations

from .base_logits import BaseReader, BaseWriter
from .divergence import Divergence, divergence
from .perplexity import Perplexity, perplexity
from .windows import Windows

__all__ = [
    "BaseReader",
    "BaseWriter",
    "Divergence",
    "Perplexity",
    "Windows",
    "divergence",
    "perplexity",
]
