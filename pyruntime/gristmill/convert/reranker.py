# SPDX-License-Identifier: MIT
"""Qwen3-Reranker: a generator that says yes or no, as a classifier of two rows.

Its checkpoint is that of any Qwen 3; only the name tells it. The rows of its output layer for the
two words become the classifier, and the prompt of its model card the template "rerank".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gristmill.architectures.pooling import POOLINGS

from .mapping import Output, Span
from .vocabulary import Vocabulary

LABELS = ("yes", "no")
TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n\n<Query>: {query}\n\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def classifier(name: str, outputs: Sequence[Output], vocab: Vocabulary) -> tuple[Output, ...]:
    """The two rows of the output layer, which may be the embedding table; none for other models.

    Args:
        name: Of the model.
        outputs: Tensors of the file.
        vocab: Its vocabulary.
    """
    found = {o.name: o for o in outputs}
    if (
        "rerank" not in name.lower()
        or "cls.output.weight" in found
        or not set(LABELS) <= set(vocab.tokens)
    ):
        return ()
    layer = found.get("output.weight", found["token_embd.weight"])
    (whole,) = layer.spans
    rows = tuple(Span(whole.entry, vocab.tokens.index(word), 1) for word in LABELS)
    return (Output("cls.output.weight", (len(LABELS), layer.shape[1]), rows),)


def keys(architecture: str) -> dict[str, Any]:
    """What tells readers of the file how to score."""
    return {
        f"{architecture}.pooling_type": POOLINGS.index("rank"),
        f"{architecture}.classifier.output_labels": list(LABELS),
        "tokenizer.chat_template.rerank": TEMPLATE,
    }
