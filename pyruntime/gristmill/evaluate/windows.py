# SPDX-License-Identifier: MIT
"""The windows of a text, and a model's log probabilities of what is scored in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ContextError

if TYPE_CHECKING:
    from ..model import Model
    from ..tokenizer import Tokenizer

BATCH = 256  # tokens of a forward pass: their logits are kept, 4 V bytes each
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Windows:
    """A text in windows of one length.

    Args:
        tokens: [windows, length].
        bos: What takes the place of each window's first token when it is computed, or None.
    """

    tokens: NDArray[np.int32]
    bos: int | None

    @classmethod
    def of(
        cls, tokenizer: Tokenizer, text: str, length: int = 512, limit: int | None = None
    ) -> Windows:
        """The whole windows of a text, at most `limit`; what is left over at its end is dropped.

        Raises:
            ContextError: The text has no whole window, or a window less than 4 tokens.
        """
        if length < 4:
            raise ContextError(f"[perplexity] A window has at least 4 tokens. Got {length}.")
        ids = tokenizer.encode(text, parse_special=False)
        count = len(ids) // length
        if count == 0:
            raise ContextError(
                f"[perplexity] The text must fill a window. Got {len(ids)} tokens for windows of "
                f"{length}. Give more text or a smaller -c."
            )
        count = count if limit is None else min(count, limit)
        tokens = np.asarray(ids[: count * length], np.int32).reshape(count, length)
        return cls(tokens, bos_of(tokenizer))

    @property
    def length(self) -> int:
        """Tokens of a window."""
        return int(self.tokens.shape[1])

    @property
    def first(self) -> int:
        """The first position whose prediction counts."""
        return self.length // 2

    @property
    def targets(self) -> NDArray[np.int32]:
        """[windows, scored] the tokens that were to be predicted."""
        return self.tokens[:, self.first + 1 :]


def bos_of(tokenizer: Tokenizer) -> int | None:
    """The token that every window begins with, if the model wants one."""
    special = tokenizer.special
    return special.bos if special.add_bos else None


def log_probabilities(
    model: Model, windows: Windows, progress: Progress | None = None
) -> Iterator[NDArray[np.float32]]:
    """Of each window [scored, V]: the log probability of every token at the scored positions.

    Raises:
        ContextError: A token is outside the model's vocabulary.
        ResourceError: There is not enough memory for a session.
    """
    length, first = windows.length, windows.first
    session = model.session(context=length, all_logits=True)
    for done, window in enumerate(windows.tokens.tolist()):
        if windows.bos is not None:
            window[0] = windows.bos
        session.reset()
        rows = []
        for start in range(0, length, BATCH):
            batch = window[start : start + BATCH]
            session.append(batch)
            keep = slice(max(first - start, 0), length - 1 - start)
            if keep.start < len(batch):
                rows.append(log_softmax(session.logits()[keep]))
        if progress is not None:
            progress(done + 1, len(windows.tokens))
        yield np.concatenate(rows)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log probabilities of logits [rows, V]; the sum over V in float64."""
    shifted: NDArray[np.float32] = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    shifted -= np.log(total).astype(np.float32)
    return shifted


def at_targets(logs: NDArray[np.float32], targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """[rows, V] at one token per row."""
    return logs[np.arange(len(targets)), targets].astype(np.float64)
