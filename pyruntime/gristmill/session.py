# SPDX-License-Identifier: MIT
"""A sequence of tokens with its KV cache.

`evaluate` takes the whole token list every time and computes only what the cache does not hold yet
(the longest common prefix stays), so callers never manage positions. The core's `position` is the
one truth: the token list is extended before a forward and cut to that position afterwards, so an
interrupt at any bytecode leaves both in step.

A recurrent state (of models that have one) goes back to checkpoints only: the core makes some, and
`evaluate` one before the last token of a prompt. What lies between is computed again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import ContextError
from .generate import AsyncGeneration, Generation, GenerationOptions
from .sampling import SamplingParams

if TYPE_CHECKING:
    from . import _core
    from .constrain.grammar import Schema
    from .model import Model

_STEP = 64  # tokens of the first batch of a prompt; smaller ones would waste the weights' decoding
_WORTH_A_CHECKPOINT = 16  # tokens of a prompt; after fewer, they are as soon computed again
_STOP_SECONDS = 1.0  # how long a batch may take where someone may want to stop it


class Session:
    """Tokens, their KV cache and the logits of the last one. Made by `Model.session`.

    One session is one conversation; use it from one thread at a time (calls lock each other out,
    and a new generation ends the one before it).

    Example:
        >>> session = Model.load().session()
        >>> print("".join(piece.text for piece in session.generate("Once", max_tokens=8)))
    """

    def __init__(self, model: Model, core: _core.Session) -> None:
        self.model = model
        self.epoch = 0  # counts generations: an older one notices that it was superseded
        self._core = core
        self._tokens: list[int] = []
        self._logits_at = -1  # position after which the current logits were computed
        self._lock = threading.RLock()
        self._recurrent = core.memory_bytes["states"] > 0

    @property
    def context(self) -> int:
        """Positions that the KV cache can hold, in tokens."""
        return self._core.context

    @property
    def position(self) -> int:
        """Tokens in the KV cache."""
        return self._core.position

    @property
    def tokens(self) -> list[int]:
        """The tokens in the KV cache, in order."""
        return self._tokens[: self._core.position]

    @property
    def vocab_size(self) -> int:
        """Number of tokens V."""
        return self.model.vocab_size

    @property
    def kv(self) -> str:
        """Type of the KV cache: "f16", "q8_0" or "q4_0"."""
        return self._core.kv

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Bytes of this session by category."""
        return dict(self._core.memory_bytes)

    def evaluate(
        self,
        tokens: Sequence[int],
        *,
        should_stop: Callable[[], bool] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> int:
        """Makes `tokens` the content of the session; logits are those after the last one.

        Args:
            tokens: The whole sequence from the start, not only what is new.
            should_stop: Asked between batches; true ends early (see `position`).
            progress: Called between batches with tokens done and tokens in all.

        Returns:
            How many tokens came from the cache.

        Raises:
            ContextError: No tokens, more than `context`, or a token outside the vocabulary.
        """
        if not tokens:
            raise ContextError("[session] A prompt needs at least one token. Got none.")
        if len(tokens) > self.context:
            raise ContextError(
                f"[session] The prompt does not fit into the context. Got {len(tokens)} tokens, "
                f"the context holds {self.context}. Raise it with -c/--ctx (context= in Python)."
            )
        with self._lock:
            kept = self._common_prefix(tokens)
            if kept == len(tokens) == self.position == self._logits_at:
                return kept
            kept = min(kept, len(tokens) - 1)  # the last one again: its logits are wanted
            kept = self._core.reachable(kept)
            self._drop(kept)
            self._prefill(tokens, kept, should_stop, progress)
            return kept

    def _prefill(
        self,
        tokens: Sequence[int],
        start: int,
        should_stop: Callable[[], bool] | None,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        """Evaluates tokens from `start` on, in batches short enough to be stopped between."""
        step = self._core.max_batch if should_stop is None else min(_STEP, self._core.max_batch)
        last = len(tokens) - 1
        mark = last if self._recurrent and last - start >= _WORTH_A_CHECKPOINT else -1
        while start < len(tokens):
            if should_stop is not None and should_stop():
                return
            began = time.perf_counter()
            if start == mark:
                self._core.checkpoint()
            batch = tokens[start : mark if start < mark < start + step else start + step]
            self._forward(batch)
            start += len(batch)
            if progress is not None:
                progress(start, len(tokens))
            if should_stop is not None:
                per_second = len(batch) / max(time.perf_counter() - began, 1e-6)
                step = min(max(int(per_second * _STOP_SECONDS), _STEP), self._core.max_batch)

    def append(self, tokens: Sequence[int]) -> None:
        """Adds tokens after the present ones.

        Raises:
            ContextError: They do not fit, or one is outside the vocabulary.
        """
        if self.position + len(tokens) > self.context:
            raise ContextError(
                f"[session] The context is full. Got {len(tokens)} tokens after {self.position}, "
                f"the context holds {self.context}. Raise it with -c/--ctx (context= in Python)."
            )
        with self._lock:
            for start in range(0, len(tokens), self._core.max_batch):
                self._forward(tokens[start : start + self._core.max_batch])

    def truncate(self, position: int) -> None:
        """Forgets everything from `position` on (0 forgets all).

        A model with a recurrent state may have to compute some of the tokens before it again.
        """
        with self._lock:
            again = self.tokens[:position]
            if position < self._core.position:
                self._drop(self._core.reachable(position))
            self._cut()
            self.append(again[self._core.position :])

    def reset(self) -> None:
        """Forgets all tokens."""
        self.truncate(0)

    def logits(self) -> NDArray[np.float32]:
        """Logits [rows, V] of the last forward: a read-only view, valid until the next one.

        One row (after the last token), or one per token of the last batch with `all_logits`.
        """
        return self._core.logits()

    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]:
        """Best n token ids [n], their logits [n] descending, and logsumexp of the whole row."""
        return self._core.candidates(n)

    def edited_candidates(  # noqa: PLR0917
        self,
        n: int,
        recent: Sequence[int] | NDArray[np.int32] = (),
        repeat: float = 1.0,
        frequency: float = 0.0,
        presence: float = 0.0,
        bias: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None,
        less: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None,
        mask: NDArray[np.uint32] | None = None,
        mass: bool = False,
        deviation: bool = False,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float32], float, float, float]:
        """`candidates` of edited logits; see `gristmill.sampling.Row`."""
        return self._core.edited_candidates(
            n, recent, repeat, frequency, presence, bias, less, mask, mass, deviation
        )

    def generate(
        self,
        prompt: str | Sequence[int] | Sequence[Mapping[str, object]],
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        sampling: SamplingParams | None = None,
        ignore_eos: bool = False,
        logprobs: int = 0,
        grammar: str | None = None,
        json_schema: Schema | None = None,
        regex: str | None = None,
        special: bool = False,
    ) -> Generation:
        """Continues a text, a token list, or a list of chat messages.

        Args:
            prompt: Text, token ids, or messages like `{"role": "user", "content": "Hi"}`, which
                the model's chat template turns into a prompt.
            max_tokens: At most this many tokens; None goes on until the context is full.
            stop: Strings that end the text and are not part of it.
            sampling: None takes `Model.sampling`: what the file recommends, else llama.cpp's.
            ignore_eos: Go on after end-of-text tokens.
            logprobs: Report this many of the likeliest tokens with every piece (`Piece.top`).
            grammar: The text follows this grammar (GBNF, or Lark as llguidance has it).
            json_schema: The text is JSON that this schema (or its JSON text) describes.
            regex: The text matches this regular expression.
            special: Control tokens are part of the text, as `gristmill.chat.ReplyParser` wants it.

        Returns:
            An iterator of pieces; see Generation.

        Raises:
            ContextError: When iteration starts and the prompt does not fit.
            GrammarError: The grammar, schema or expression is invalid or cannot be enforced.
        """
        options = GenerationOptions.make(
            max_tokens,
            stop,
            sampling or self.model.sampling,
            ignore_eos,
            logprobs=logprobs,
            grammar=grammar,
            json_schema=json_schema,
            regex=regex,
            special=special,
        )
        return Generation(self, self.model.encode(prompt), options)

    def agenerate(
        self,
        prompt: str | Sequence[int] | Sequence[Mapping[str, object]],
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        sampling: SamplingParams | None = None,
        ignore_eos: bool = False,
        logprobs: int = 0,
        grammar: str | None = None,
        json_schema: Schema | None = None,
        regex: str | None = None,
        special: bool = False,
    ) -> AsyncGeneration:
        """Like `generate`, as an asynchronous iterator that computes in a worker thread."""
        options = GenerationOptions.make(
            max_tokens,
            stop,
            sampling or self.model.sampling,
            ignore_eos,
            logprobs=logprobs,
            grammar=grammar,
            json_schema=json_schema,
            regex=regex,
            special=special,
        )
        return AsyncGeneration(Generation(self, self.model.encode(prompt), options))

    def _forward(self, tokens: Sequence[int]) -> None:
        self._cut()
        self._tokens.extend(tokens)
        self._core.forward(tokens)
        self._logits_at = self._core.position

    def _drop(self, position: int) -> None:
        """Goes back to a position that the core can reach."""
        if position < self._core.position:
            self._logits_at = -1
            self._core.truncate(position)
        self._cut()

    def _cut(self) -> None:
        """Drops tokens that the core did not evaluate."""
        del self._tokens[self._core.position :]

    def _common_prefix(self, tokens: Sequence[int]) -> int:
        have = self.tokens
        limit = min(len(have), len(tokens))
        if have[:limit] == list(tokens[:limit]):
            return limit
        return next(i for i in range(limit) if have[i] != tokens[i])
