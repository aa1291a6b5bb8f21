# SPDX-License-Identifier: MIT
"""Generation with the bundled model: ends, stops, streams, cancels, and leaves sessions whole."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gristmill import ContextError, GristmillError, SamplingParams, UnsupportedError

if TYPE_CHECKING:
    from gristmill import Model, Session

GREEDY = SamplingParams(temperature=0)
PROMPT = "Once upon a time"


def test_greedy_is_the_argmax_of_the_logits(model: Model, session: Session) -> None:
    generation = session.generate(PROMPT, max_tokens=12, sampling=GREEDY)
    pieces = list(generation)
    plain = model.session()
    tokens = model.encode(PROMPT)
    for piece in pieces:
        plain.reset()
        plain.evaluate(tokens)
        row = plain.logits()[-1].astype(np.float64)
        assert piece.token == int(row.argmax())
        mass = row.max() + np.log(np.exp(row - row.max()).sum())
        assert piece.logprob == pytest.approx(row.max() - mass, abs=1e-4)
        tokens.append(piece.token)
    assert generation.finish_reason == "length"
    assert generation.tokens == [piece.token for piece in pieces]


def test_the_text_is_the_decoded_continuation(model: Model, session: Session) -> None:
    generation = session.generate(PROMPT, max_tokens=40, sampling=SamplingParams(seed=5))
    text = "".join(piece.text for piece in generation)
    prompt = model.encode(PROMPT)
    whole = model.tokenizer.decode(prompt + generation.tokens, skip_special=True)
    assert model.tokenizer.decode(prompt, skip_special=True) + text == whole
    assert generation.text == text
    assert text.startswith((" ", ",", "."))


def test_same_seed_same_text(session: Session) -> None:
    texts = []
    for seed in (1, 1, 2):
        generation = session.generate(PROMPT, max_tokens=30, sampling=SamplingParams(seed=seed))
        texts.append("".join(piece.text for piece in generation))
    assert texts[0] == texts[1] != texts[2]


def test_the_cache_changes_no_bit(model: Model, session: Session) -> None:
    """Cold, after another prompt with a common prefix, and token by token: the same logits."""
    one = model.encode("Once upon a time there was a little dog")
    two = model.encode("Once upon a time there was a big cat")
    assert session.evaluate(one) == 0
    common = next(i for i in range(len(one)) if one[i] != two[i])
    assert session.evaluate(two) == common > 4
    warm = session.logits()[-1].copy()
    assert session.evaluate(two) == len(two)  # nothing to do
    assert session.evaluate(two[:-1]) == len(two) - 2  # a prefix: its last token again
    session.append(two[-1:])
    stepped = session.logits()[-1].copy()
    cold = model.session()
    cold.evaluate(two)
    assert warm.tobytes() == stepped.tobytes() == cold.logits()[-1].tobytes()
    assert session.tokens == cold.tokens == two


def test_stop_strings_end_the_text_before_them(session: Session) -> None:
    whole = "".join(p.text for p in session.generate(PROMPT, max_tokens=60, sampling=GREEDY))
    stop = whole[20:31]
    generation = session.generate(PROMPT, max_tokens=60, sampling=GREEDY, stop=stop)
    text = "".join(piece.text for piece in generation)
    assert text == whole[: whole.index(stop)]
    assert generation.finish_reason == "stop"


def test_text_held_back_for_a_stop_string_comes_at_the_end(session: Session) -> None:
    whole = "".join(p.text for p in session.generate(PROMPT, max_tokens=10, sampling=GREEDY))
    never = whole[-3:] + "\0"
    pieces = list(session.generate(PROMPT, max_tokens=10, sampling=GREEDY, stop=[never]))
    assert "".join(piece.text for piece in pieces) == whole
    assert pieces[-1].token is None
    assert pieces[-1].text == whole[-3:]


def test_end_of_text_tokens_end_it_unless_ignored(model: Model, session: Session) -> None:
    end = min(model.tokenizer.eog_ids)
    certain = SamplingParams(temperature=0, logit_bias={end: 1e4})
    generation = session.generate(PROMPT, max_tokens=5, sampling=certain)
    assert list(generation) == []
    assert (generation.finish_reason, generation.tokens) == ("stop", [])
    generation = session.generate(PROMPT, max_tokens=5, sampling=certain, ignore_eos=True)
    assert [piece.token for piece in generation] == [end] * 5
    assert generation.text == ""  # a control token is no text


def test_banned_tokens_never_come(session: Session) -> None:
    free = session.generate(PROMPT, max_tokens=1, sampling=GREEDY)
    best = next(free).token
    assert best is not None
    bans = SamplingParams(temperature=0, logit_bias={best: -float("inf")})
    assert next(session.generate(PROMPT, max_tokens=1, sampling=bans)).token != best


def test_max_tokens_zero_only_fills_the_cache(model: Model, session: Session) -> None:
    generation = session.generate(PROMPT, max_tokens=0)
    assert list(generation) == []
    assert generation.finish_reason == "length"
    assert session.position == len(model.encode(PROMPT))


def test_a_full_context_ends_the_text(model: Model) -> None:
    session = model.session(context=24)
    prompt = model.encode(PROMPT)
    generation = session.generate(prompt, sampling=GREEDY, ignore_eos=True)
    assert len(list(generation)) == 24 - len(prompt) + 1  # the last one needs no place
    assert generation.finish_reason == "context"
    assert session.position == 24
    generation = session.generate(prompt + generation.tokens[:-1], sampling=GREEDY)
    assert len(list(generation)) == 1  # a prompt that fills the context has one answer


def test_a_prompt_longer_than_the_context_says_the_numbers(model: Model) -> None:
    session = model.session(context=8)
    with pytest.raises(ContextError, match=r"Got 9 tokens.*holds 8.*-c") as error:
        next(session.generate([1] * 9))
    assert isinstance(error.value, ValueError)
    assert session.position == 0


@pytest.mark.parametrize("token", [-1, 10**6, 2**31, 2**40])
def test_a_token_outside_the_vocabulary_changes_nothing(session: Session, token: int) -> None:
    session.evaluate([1, 2, 3])
    with pytest.raises(ContextError, match=r"vocabulary|[Tt]oken"):
        session.append([4, token])
    assert session.tokens == [1, 2, 3]
    session.append([4])
    assert session.tokens == [1, 2, 3, 4]


def test_an_empty_prompt_is_refused(session: Session) -> None:
    with pytest.raises(ContextError, match="at least one token"):
        session.evaluate([])


def test_cancel_from_another_thread_ends_it_at_a_token(model: Model, session: Session) -> None:
    generation = session.generate(PROMPT, sampling=GREEDY, ignore_eos=True)
    for count, _ in enumerate(generation):
        if count == 3:
            thread = threading.Thread(target=generation.cancel)
            thread.start()
            thread.join()
    assert (generation.finish_reason, len(generation.tokens)) == ("cancelled", 4)
    assert session.tokens == model.encode(PROMPT) + generation.tokens[:3]


def test_an_interrupt_leaves_the_session_whole(model: Model, session: Session) -> None:
    """KeyboardInterrupt out of the core's call and out of the loop around it."""
    prompt = model.encode(PROMPT)
    generation = session.generate(prompt, sampling=GREEDY, ignore_eos=True)
    next(generation)
    real = session._core

    class Interrupted:
        """The core with Ctrl-C pressed during a forward: Python raises when it returns."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def forward(self, tokens: object) -> None:
            real.forward(tokens)  # type: ignore[arg-type]
            raise KeyboardInterrupt

    session._core = Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        next(generation)
    session._core = real
    assert generation.finish_reason == "cancelled"
    assert session.tokens == prompt + generation.tokens
    assert session.position == len(session.tokens)
    session.truncate(len(prompt))  # the logits at hand belong to a later position
    session.evaluate(prompt)
    fresh_session = model.session()
    fresh_session.evaluate(prompt)
    assert session.logits().tobytes() == fresh_session.logits().tobytes()
    again = [p.token for p in session.generate(prompt, max_tokens=8, sampling=GREEDY)]
    fresh = [p.token for p in model.session().generate(prompt, max_tokens=8, sampling=GREEDY)]
    assert again == fresh


def test_a_newer_generation_ends_the_older(session: Session) -> None:
    old = session.generate(PROMPT, sampling=GREEDY)
    next(old)
    next(session.generate("The dog", sampling=GREEDY))
    with pytest.raises(GristmillError, match="one generation at a time"):
        next(old)


def test_statistics_count(model: Model, session: Session) -> None:
    first = session.generate(
        PROMPT, max_tokens=10, sampling=SamplingParams(seed=9), ignore_eos=True
    )
    list(first)
    stats = first.stats
    assert stats.prompt_tokens == len(model.encode(PROMPT))
    assert (stats.reused_tokens, stats.generated_tokens, stats.seed) == (0, 10, 9)
    assert stats.finish_reason == "length"
    assert 0 < stats.prefill_seconds <= stats.time_to_first_token
    assert stats.decode_tokens_per_s == pytest.approx(9 / stats.decode_seconds)
    again = session.generate(PROMPT, max_tokens=1)
    list(again)
    assert again.stats.reused_tokens == stats.prompt_tokens - 1


def test_chat_messages_go_through_the_template(model: Model, session: Session) -> None:
    generation = session.generate([{"role": "user", "content": "Hello"}], sampling=GREEDY)
    text = "".join(piece.text for piece in generation)
    assert generation.finish_reason == "stop"
    assert text.strip()
    assert model.tokenizer.bos_id is None or generation.prompt.count(model.tokenizer.bos_id) <= 1


def test_messages_without_a_template_are_refused(
    model: Model, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "chat_template", None)
    with pytest.raises(UnsupportedError, match="no chat template"):
        session.generate([{"role": "user", "content": "Hello"}])


def test_async_gives_the_same_pieces(model: Model) -> None:
    async def collect() -> tuple[list[object], str | None]:
        generation = model.session().agenerate(PROMPT, max_tokens=100, sampling=GREEDY)
        pieces: list[object] = [piece async for piece in generation]
        return pieces, generation.finish_reason

    pieces, reason = asyncio.run(collect())
    plain = model.session().generate(PROMPT, max_tokens=100, sampling=GREEDY)
    assert pieces == list(plain)
    assert reason == plain.finish_reason


def test_async_leaves_the_loop_free_and_ends_on_aclose(model: Model, session: Session) -> None:
    async def use() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.create_task(tick())
        generation = session.agenerate(PROMPT, sampling=GREEDY, ignore_eos=True)
        async with contextlib.aclosing(generation):
            async for _ in generation:
                if len(generation.generation.tokens) >= 5:
                    break
        position = session.position  # nothing runs any more
        await asyncio.sleep(0.05)
        assert session.position == position < session.context
        assert generation.finish_reason == "cancelled"
        ticker.cancel()
        return ticks

    assert asyncio.run(use()) > 5


def test_a_slow_async_reader_holds_the_worker_back(model: Model) -> None:
    async def use() -> tuple[int, int]:
        session = model.session()
        generation = session.agenerate(PROMPT, sampling=GREEDY, ignore_eos=True)
        async with contextlib.aclosing(generation):
            await generation.__anext__()
            last, now = -1, 0
            deadline = time.monotonic() + 30
            while last != now and time.monotonic() < deadline:  # until it waits for us
                last = now
                await asyncio.sleep(0.5)
                now = len(generation.generation.tokens)
            return now, session.context

    ahead, context = asyncio.run(use())
    assert 60 <= ahead <= 70 < context


def test_a_cancelled_task_stops_the_worker(model: Model) -> None:
    async def use() -> None:
        session = model.session()
        generation = session.agenerate(PROMPT, sampling=GREEDY, ignore_eos=True)

        async def read() -> None:
            async for _ in generation:
                pass

        task = asyncio.create_task(read())
        while len(generation.generation.tokens) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        position = session.position
        await asyncio.sleep(0.05)
        assert session.position == position < session.context

    asyncio.run(use())


def test_an_async_error_arrives_where_it_is_read(model: Model) -> None:
    async def use() -> None:
        async for _ in model.session(context=8).agenerate([1] * 9):
            pass

    with pytest.raises(ContextError, match="Got 9 tokens"):
        asyncio.run(use())
