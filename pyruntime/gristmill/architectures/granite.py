# SPDX-License-Identifier: MIT
"""Granite 3 and 4 (dense, or mixtures of experts): the usual block with four multipliers."""

from __future__ import annotations

from gristmill.architectures import register
from gristmill.architectures.decoder import MAX_SCALE, Decoder
from gristmill.architectures.hyperparameters import Hyperparameters


@register("granite", "granitemoe")
class Granite(Decoder):
    """Multipliers of the embedding, of both residuals, of scores (attention.scale), of logits."""

    def read(self, keys: Hyperparameters) -> None:
        """The multipliers; logits are divided by theirs."""
        self.embedding_scale = keys.real("embedding_scale", 1.0, above=0.0, most=MAX_SCALE)
        self.residual_scale = keys.real("residual_scale", 1.0, above=0.0, most=MAX_SCALE)
        self.logit_scale = 1.0 / keys.real("logit_scale", 1.0, above=0.0, most=MAX_SCALE)
