# SPDX-License-Identifier: MIT
"""What follows the last block of a model whose texts become vectors or scores.

Rows of hidden states become one row for a text, which may then pass through layers of its own: the
two dense ones of EmbeddingGemma, or the head of a reranker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gristmill.architectures.graph import Graph
from gristmill.architectures.nodes import Value
from gristmill.architectures.operations import Activation, Pool
from gristmill.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from gristmill.architectures.decoder import Source

# By the numbers of <architecture>.pooling_type: every row; their mean; that of the first token, of
# the last; a score, by a layer that reads one of them.
POOLINGS = ("none", "mean", "cls", "last", "rank")
_SELECTED: Mapping[str, Pool] = {"none": "last", "mean": "mean", "cls": "first", "last": "last"}


def file_pooling(metadata: Mapping[str, Any], architecture: str) -> str:
    """The pooling that the file asks for; empty if it has none to tell.

    Raises:
        FormatError: A number that means nothing.
    """
    value = metadata.get(f"{architecture}.pooling_type")
    if value is None:
        return ""
    if isinstance(value, bool) or value not in range(len(POOLINGS)):
        raise FormatError(
            f"[metadata] {architecture}.pooling_type must be 0 to {len(POOLINGS) - 1}. "
            f"Got {str(value)[:40]!r}."
        )
    return POOLINGS[int(value)]


class Embedder(ABC):
    """The end of a plan for embeddings; the class of an architecture says what comes before.

    Attributes:
        rank_pool: The token whose state a score is made of.
        head_activation: Between the two layers of a head.
        gives_logits: Whether the architecture has an output layer over the vocabulary.
    """

    rank_pool: ClassVar[Pool] = "last"
    head_activation: ClassVar[Activation] = "tanh"
    gives_logits: ClassVar[bool] = True
    source: Source

    @abstractmethod
    def final_norm(self, g: Graph, x: Value) -> Value:
        """What the pooling reads of the last block."""

    def finish_embedding(self, g: Graph, x: Value, pooling: str) -> None:
        """Pools the hidden states of a text and gives out what its head makes of them."""
        if pooling == "mean":  # of normed states; else the one row is normed alone
            x = g.select_rows(self.final_norm(g, x), "mean")
        else:
            pool = self.rank_pool if pooling == "rank" else _SELECTED[pooling]
            x = self.final_norm(g, g.select_rows(x, pool))
        g.output(self.score(g, x) if pooling == "rank" else self.dense(g, x))

    def dense(self, g: Graph, x: Value) -> Value:
        """The dense layers that an embedding passes through, if there are any."""
        for name in ("dense_2", "dense_3"):
            if self.has(name):
                (x,) = g.linear(x, name)
        return x

    def score(self, g: Graph, x: Value) -> Value:
        """The head of a reranker: an inner layer if there is one, then a number per label.

        Raises:
            UnsupportedError: The file has no head.
        """
        if not self.has("cls.output"):
            raise UnsupportedError(
                "[tensors] A model that ranks needs its classifier (cls.output.weight). Got none. "
                "Hint: pooling='mean', 'cls' or 'last' gives embeddings instead."
            )
        if self.has("cls"):
            (inner,) = g.linear(x, "cls")
            x = g.activate(inner, self.head_activation)
        (x,) = g.linear(x, "cls.output")
        return x

    def head_rows(self) -> dict[str, int]:
        """Rows of the weights of heads, by role: as the file has them."""
        names = {"cls": "cls", "cls.output": "output", "dense_2": "dense_2", "dense_3": "dense_3"}
        shapes = {role: self.source.tensors[f"{name}.weight"].shape
                  for name, role in names.items() if self.has(name)}  # fmt: skip
        return {role: shape[0] for role, shape in shapes.items() if len(shape) == 2}

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether the file has the tensor `name`.weight."""
