# SPDX-License-Identifier: MIT
"""Text generation: an iterator of pieces over a session, and its asynchronous twin.

One token is one piece, so statistics and log-probabilities stay per token; a piece's text is empty
while bytes of a character are incomplete or the text may still become a stop string. What is held
back at the end comes as a last piece without a token. Everything ends at a token boundary, so the
session can go on from wherever a generation stopped.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .errors import GristmillError
from .sampling import SamplingParams, make_sampler
from .stop_strings import StopMatcher
from .tokenizer.stream import StreamDecoder

if TYPE_CHECKING:
    from .constrain import Constraint, Matcher
    from .constrain.grammar import Schema
    from .session import Session

_QUEUED_PIECES = 64  # how far the worker of an AsyncGeneration may run ahead


@dataclass(frozen=True)
class Piece:
    """What one token added to the text; `token` is None for text that was only held back."""

    text: str
    token: int | None
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()  # the likeliest tokens and their log-probabilities


@dataclass(frozen=True)
class GenerationOptions:
    """When to end, and how to choose. See `Session.generate`."""

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: SamplingParams = field(default_factory=SamplingParams)
    ignore_eos: bool = False
    logprobs: int = 0
    constraint: Constraint | None = None
    special: bool = False

    @classmethod
    def make(
        cls,
        max_tokens: int | None,
        stop: str | Iterable[str],
        sampling: SamplingParams | None,
        ignore_eos: bool,
        *,
        logprobs: int = 0,
        grammar: str | None = None,
        json_schema: Schema | None = None,
        regex: str | None = None,
        special: bool = False,
    ) -> GenerationOptions:
        """Checks and normalises the arguments of `generate`."""
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        if not all(stops) or {type(text) for text in stops} - {str}:
            raise ValueError(
                f"[generate] Stop strings must be text that is not empty. Got {stop!r}."
            )
        if max_tokens is not None and max_tokens < 0:
            raise ValueError(f"[generate] max_tokens must be >= 0 or None. Got {max_tokens}.")
        if logprobs < 0:
            raise ValueError(f"[generate] logprobs must be >= 0. Got {logprobs}.")
        constraint = None
        if not (grammar is json_schema is regex is None):
            from .constrain import Constraint

            constraint = Constraint.of(grammar, json_schema, regex)
        params = sampling or SamplingParams()
        return cls(max_tokens, stops, params, ignore_eos, logprobs, constraint, special)


@dataclass(frozen=True)
class GenerationStats:
    """Counts [tokens] and times [seconds] of one generation."""

    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int
    prefill_seconds: float
    decode_seconds: float
    time_to_first_token: float
    seed: int
    finish_reason: str | None

    @property
    def prefill_tokens_per_s(self) -> float:
        """Speed over the prompt tokens that were not in the cache."""
        fresh = self.prompt_tokens - self.reused_tokens
        return fresh / self.prefill_seconds if self.prefill_seconds > 0 else 0.0

    @property
    def decode_tokens_per_s(self) -> float:
        """Speed over the generated tokens after the first, which the prefill paid for."""
        steps = self.generated_tokens - 1
        return steps / self.decode_seconds if steps > 0 and self.decode_seconds > 0 else 0.0


class Generation(Iterator[Piece]):
    """An iterator of pieces, with what is known about the run.

    `cancel()` may be called from any thread or signal handler and ends the text at the next token
    boundary. `finish_reason` is None while running, then "stop" (end-of-text token or stop
    string), "length" (max_tokens), "context" (no room left) or "cancelled".

    Example:
        >>> generation = session.generate("Once upon a time", max_tokens=32)
        >>> text = "".join(piece.text for piece in generation)
        >>> generation.finish_reason, generation.stats.decode_tokens_per_s
    """

    def __init__(self, session: Session, prompt: Sequence[int], options: GenerationOptions) -> None:
        self.session = session
        self.prompt = tuple(prompt)
        self.options = options
        self.finish_reason: str | None = None
        self.tokens: list[int] = []  # generated ones that are part of the text
        self._sampler = make_sampler(options.sampling, session.model.tokenizer)
        self._matcher = _matcher(session, options)
        self._cancelled = threading.Event()
        self._texts: list[str] = []
        self._reused = 0
        self._started = self._prefilled = self._first = self._last = 0.0
        self._steps = self._run()

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Piece:
        return next(self._steps)

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._texts)

    @property
    def stats(self) -> GenerationStats:
        """Counts and times so far."""
        return GenerationStats(
            prompt_tokens=len(self.prompt),
            reused_tokens=self._reused,
            generated_tokens=len(self.tokens),
            prefill_seconds=max(0.0, self._prefilled - self._started),
            decode_seconds=max(0.0, self._last - self._first),
            time_to_first_token=max(0.0, self._first - self._started),
            seed=self._sampler.seed,
            finish_reason=self.finish_reason,
        )

    @property
    def cancelled(self) -> bool:
        """Whether cancel() was called; the text may still end for another reason first."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends the text at the next token boundary."""
        self._cancelled.set()

    def close(self) -> None:
        """Ends the text now; iterating further yields nothing."""
        self.cancel()
        self._steps.close()
        self.finish_reason = self.finish_reason or "cancelled"

    def _run(self) -> Generator[Piece, None, None]:
        """The loop: prefill, then sample, decode, emit, and evaluate the token last."""
        session, options = self.session, self.options
        session.epoch += 1
        epoch = session.epoch
        history = list(self.prompt)
        ends = frozenset[int]() if options.ignore_eos else session.model.tokenizer.eog_ids
        # A constrained text keeps the space that begins it: the constraint has seen it.
        whole = self._matcher is not None
        previous = () if whole else self.prompt[-16:]
        decoder = StreamDecoder(
            session.model.tokenizer, not options.special, previous, continues=whole
        )
        stops = StopMatcher(options.stop)
        try:
            self._started = time.perf_counter()
            self._reused = session.evaluate(self.prompt, should_stop=self._cancelled.is_set)
            self._prefilled = self._first = self._last = time.perf_counter()
            while self._reason(epoch) is None:
                mask = None
                if self._matcher is not None:
                    mask = self._matcher.mask(not options.ignore_eos)
                    if mask is None:  # nothing may follow
                        self.finish_reason = "stop"
                        break
                choice = self._sampler.sample(session, history, mask)
                if choice.token in ends:
                    self.finish_reason = "stop"
                    break
                if self._matcher is not None:
                    self._matcher.accept(choice.token)
                top = _likeliest(session, options.logprobs)
                history.append(choice.token)
                self.tokens.append(choice.token)
                self._last = time.perf_counter()
                if len(self.tokens) == 1:
                    self._first = self._last
                text, stopped = stops.feed(decoder.feed(choice.token))
                self._texts.append(text)
                if stopped:
                    self.finish_reason = "stop"
                self._reason(epoch)  # known before the last piece is out
                yield Piece(text, choice.token, choice.logprob, top)
                if stopped:
                    return
                if self._reason(epoch) is None:
                    session.append((choice.token,))
            rest, stopped = stops.feed(decoder.flush())
            rest += stops.flush()
            if stopped:
                self.finish_reason = "stop"
            if rest:
                self._texts.append(rest)
                yield Piece(rest, None)
        except (GeneratorExit, KeyboardInterrupt):
            self.finish_reason = self.finish_reason or "cancelled"
            raise

    def _reason(self, epoch: int) -> str | None:
        """Why no further token may be sampled, and notes it."""
        if self.session.epoch != epoch:
            raise GristmillError(
                "[generate] A session runs one generation at a time. Another one has begun; "
                "make a session for each (Model.session)."
            )
        done = len(self.tokens)
        if self.finish_reason is not None:
            return self.finish_reason
        if self._cancelled.is_set():
            self.finish_reason = "cancelled"
        elif self.options.max_tokens is not None and done >= self.options.max_tokens:
            self.finish_reason = "length"
        elif len(self.prompt) + done > self.session.context:
            self.finish_reason = "context"
        return self.finish_reason


def _matcher(session: Session, options: GenerationOptions) -> Matcher | None:
    if options.constraint is None:
        return None
    from .constrain import Matcher

    return Matcher(options.constraint, session.model.constrainer)


def _likeliest(session: Session, count: int) -> tuple[tuple[int, float], ...]:
    """The best tokens of the present logits and their log-probabilities, before any option."""
    if count == 0:
        return ()
    ids, logits, mass = session.candidates(min(count, session.vocab_size))
    return tuple(zip(ids.tolist(), (logits - mass).tolist(), strict=True))


class AsyncGeneration(AsyncIterator[Piece]):
    """A Generation that computes in a worker thread and is read by `async for`.

    The thread starts with the first piece asked for and runs at most 64 pieces ahead. Leaving the
    loop through `aclose()` (or `async with contextlib.aclosing(...)`), or cancelling the task,
    ends the computation at the next token boundary before control returns.

    Example:
        >>> async for piece in session.agenerate("Once upon a time", max_tokens=32):
        ...     print(piece.text, end="")
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._pieces = _relay(generation)

    def __aiter__(self) -> AsyncGeneration:
        return self

    async def __anext__(self) -> Piece:
        return await self._pieces.__anext__()

    @property
    def finish_reason(self) -> str | None:
        """See Generation."""
        return self.generation.finish_reason

    @property
    def stats(self) -> GenerationStats:
        """See Generation."""
        return self.generation.stats

    def cancel(self) -> None:
        """Ends the text at the next token boundary."""
        self.generation.cancel()

    async def aclose(self) -> None:
        """Ends the computation and waits for its thread."""
        await self._pieces.aclose()
        self.generation.close()


async def _relay(generation: Generation) -> AsyncGenerator[Piece, None]:
    """Runs the generation in a thread and yields its pieces."""
    import asyncio

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_QUEUED_PIECES)

    def post(item: Piece | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            for piece in generation:
                room.acquire()
                post(piece)
            post(None)
        except BaseException as error:  # noqa: BLE001  # raised again on the other side
            post(error)

    worker = threading.Thread(target=work, name="gristmill-generate", daemon=True)
    worker.start()
    try:
        while isinstance(item := await queue.get(), Piece):
            room.release()
            yield item
        if item is not None:
            raise item
    finally:
        generation.cancel()
        room.release(
            _QUEUED_PIECES
        )  # a worker that waits for room goes on and sees the cancellation
        await loop.run_in_executor(None, worker.join)


def generate(
    session: Session,
    prompt: str | Sequence[int] | Sequence[Mapping[str, object]],
    options: GenerationOptions | None = None,
) -> Generation:
    """An iterator of pieces that continue `prompt` in `session`."""
    options = options or GenerationOptions(sampling=session.model.sampling)
    return Generation(session, session.model.encode(prompt), options)


def choices(
    session: Session,
    prompt: str | Sequence[int] | Sequence[Mapping[str, object]],
    n: int,
    options: GenerationOptions | None = None,
) -> Iterator[Generation]:
    """n independent continuations of one prompt, whose computation they share.

    They run one after another in `session`: read each to its end before the next. With a seed the
    others have the seeds after it.
    """
    if n < 1:
        raise ValueError(f"[generate] n must be at least 1. Got {n}.")
    options = options or GenerationOptions(sampling=session.model.sampling)
    tokens = session.model.encode(prompt)
    first = options.sampling.seed
    for index in range(n):
        seed = None if first is None else (first + index) % 2**64
        sampling = replace(options.sampling, seed=seed)
        yield Generation(session, tokens, replace(options, sampling=sampling))


def agenerate(
    session: Session,
    prompt: str | Sequence[int] | Sequence[Mapping[str, object]],
    options: GenerationOptions | None = None,
) -> AsyncGeneration:
    """Like `generate`, as an asynchronous iterator."""
    return AsyncGeneration(generate(session, prompt, options))
