# SPDX-License-Identifier: MIT
"""gpt-oss: sinks, a window on every other layer, experts with biases and clamped gates."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import Decoder
from gristmill.architectures.nodes import Routing


@register("gpt-oss")
class GptOss(Decoder):
    """The norm between the halves has the name of one behind the first; it is before the second."""

    neox = True
    activation = "swiglu_oai"
    ffn_norm = "post_attention_norm"
    window_period = 2
    usual_routing = Routing(1, "chosen_softmax")
    whole_yarn_pairs = False
