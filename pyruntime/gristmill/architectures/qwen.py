# SPDX-License-Identifier: MIT
"""Qwen 2 and 2.5, whose queries, keys and values have biases; Qwen 3, which norms each head."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder


@register("qwen2")
class Qwen2(Decoder):
    """The usual block; the biases come with the file."""

    neox = True


@register("qwen3")
class Qwen3(Decoder):
    """Norms of the heads of q and k take the place of biases."""

    neox = True
    qk_norm = "heads"
