# SPDX-License-Identifier: MIT
"""Conversion of models in Hugging Face's layout (safetensors, config.json, tokenizer) to GGUF.

`convert` does it all. families.py has one table per architecture; docs/convert.md says what goes
where, and how to add one.
"""

from __future__ import annotations

from .converter import Conversion, convert

__all__ = ["Conversion", "convert"]
