# SPDX-License-Identifier: MIT
"""Qwen 2 and 2.5, whose queries, keys and values have biases; Qwen 3, which norms each head."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.nodes import Routing


@register("qwen2")
class Qwen2(Decoder):
    """The usual block; the biases come with the file."""

    neox = True


@register("qwen2moe")
class Qwen2Moe(Qwen2):
    """Shares of the softmax as they are, and a gated expert of all tokens."""

    usual_routing = Routing(1, normalise=False)


@register("qwen3", "qwen3moe")
class Qwen3(Decoder):
    """Norms of the heads of q and k take the place of biases; the feed-forward may be a mixture."""

    neox = True
    qk_norm = "heads"
