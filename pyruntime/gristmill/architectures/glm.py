# SPDX-License-Identifier: MIT
"""GLM-4 (0414): half of each head is rotated, norms on both sides of each half."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import SandwichDecoder


@register("glm4")
class Glm4(SandwichDecoder):
    """Gate and up are rows of one matrix; rotary pairs are neighbours, as the file has them."""

    fused_up = True
