# SPDX-License-Identifier: MIT
"""What encoders share: every token sees all others, norms subtract the mean, there are no logits.

The words are those of decoders (decoder.py): an architecture overrides `embed`, `block`,
`feed_forward`, `rope`.
"""

from __future__ import annotations

from typing import ClassVar

from gristmill.architectures.decoder import Decoder
from gristmill.architectures.graph import Graph
from gristmill.architectures.nodes import Value
from gristmill.architectures.operations import Activation, Pool
from gristmill.architectures.plan import Rope


class Encoder(Decoder):
    """BERT's block: a norm behind each half, which reads the sum of the half and its input."""

    bidirectional = True
    gives_logits = False
    eps_key = "layer_norm_epsilon"
    activation: ClassVar[Activation] = "gelu"
    rank_pool: ClassVar[Pool] = "first"

    def embed(self, g: Graph) -> Value:
        """Token embeddings, plus those of types and positions where there are any, normed."""
        x = super().embed(g)
        if self.has("token_types"):
            x = g.add_rows(x, "token_types", rows=self.table_rows("token_types"), index="type")
        if self.has("position_embd"):
            rows = self.table_rows("position_embd")
            x = g.add_rows(x, "position_embd", rows=rows, index="position")
        return g.layer_norm(x, "token_embd_norm")

    def block(self, g: Graph, x: Value, i: int) -> Value:
        """Both halves read the residual as it is."""
        x = g.layer_norm(g.add(x, self.attention(g, x, i)), f"blk.{i}.attn_output_norm")
        return g.layer_norm(g.add(x, self.feed_forward(g, x, i)), f"blk.{i}.layer_output_norm")

    def rope(self, g: Graph, i: int) -> Rope | None:
        """None: positions have embeddings."""
        return None

    def final_norm(self, g: Graph, x: Value) -> Value:
        """The last block ends in one."""
        return x

    @property
    def context(self) -> int:
        """Positions trained for, at most those that have embeddings."""
        trained = self.shape.context
        return (
            min(trained, self.table_rows("position_embd")) if self.has("position_embd") else trained
        )

    def table_rows(self, name: str) -> int:
        """Rows of a table that is read by row."""
        return self.source.tensors[f"{name}.weight"].shape[0]
