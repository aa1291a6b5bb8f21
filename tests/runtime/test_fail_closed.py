# SPDX-License-Identifier: MIT
"""A session that fails stays as it was or ends; the model and its other sessions do not notice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gristmill import Model, SamplingParams, Session
from gristmill.errors import ContextError, TemplateError

GREEDY = SamplingParams(temperature=0)
PROMPT = "Once upon a time"


def story(session: Session, tokens: int = 24) -> str:
    pieces = session.generate(PROMPT, max_tokens=tokens, sampling=GREEDY)
    return "".join(piece.text for piece in pieces)


def bad_token(session: Session) -> None:
    session.append([1, session.model.vocab_size])


def negative_token(session: Session) -> None:
    session.append(np.array([-1]))  # type: ignore[arg-type]


def full_context(session: Session) -> None:
    session.append([5] * (session.context + 1))


def prompt_too_long(session: Session) -> None:
    story(session)
    "".join(piece.text for piece in session.generate([5] * 4000, max_tokens=4))


def bad_message(session: Session) -> None:
    list(session.generate([{"role": "user", "content": object()}], max_tokens=4))


def abandoned(session: Session) -> None:
    """The caller leaves in the middle, and its handler raises."""
    for piece in session.generate(PROMPT, max_tokens=50, sampling=GREEDY):
        if piece.text:
            raise KeyError("the caller's own")


class OddError(Exception):
    """Raised by a caller's code."""


def from_a_sequence(session: Session) -> None:
    class Tokens(list[int]):
        def __getitem__(self, index: object) -> int:  # type: ignore[override]
            raise OddError

        def __iter__(self) -> object:  # type: ignore[override]
            raise OddError

    session.generate(Tokens([1, 2]), max_tokens=2)


def cancelled(session: Session) -> None:
    def cancel(done: int, total: int) -> None:
        raise OddError

    session.evaluate([3, 4, 5], progress=cancel)


FAILURES: list[tuple[Callable[[Session], None], type[Exception]]] = [
    (bad_token, ContextError),
    (negative_token, ContextError),
    (full_context, ContextError),
    (prompt_too_long, ContextError),
    (bad_message, TemplateError),
    (abandoned, KeyError),
    (from_a_sequence, OddError),
    (cancelled, OddError),
]


@pytest.mark.parametrize(("fail", "error"), FAILURES, ids=[f.__name__ for f, _ in FAILURES])
def test_one_failure_and_the_others(
    model: Model, fail: Callable[[Session], None], error: type[Exception]
) -> None:
    expected = story(model.session(256))
    neighbour = model.session(256)
    neighbour.append(model.encode(PROMPT))
    before = neighbour.logits().copy()
    failing = model.session(64)
    with pytest.raises(error):
        fail(failing)
    assert neighbour.logits().tobytes() == before.tobytes()
    assert story(neighbour) == expected
    assert story(model.session(256)) == expected
    assert story(failing) == expected, "and it can be used again itself"


def test_failures_while_others_run(model: Model) -> None:
    expected = story(model.session(256), 40)
    stop = threading.Event()

    def keep_failing() -> int:
        count = 0
        while not stop.is_set():
            for fail, error in FAILURES:
                with pytest.raises(error):
                    fail(model.session(64))
                count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        failing = [pool.submit(keep_failing) for _ in range(2)]
        try:
            stories = [pool.submit(story, model.session(256), 40) for _ in range(4)]
            assert {done.result() for done in stories} == {expected}
        finally:
            stop.set()
        assert all(done.result() > 0 for done in failing)


def test_a_session_that_cannot_be_made(model: Model) -> None:
    before = model.session(256).memory_bytes
    with pytest.raises(ContextError, match="context"):
        model.session(context=2**40)
    assert model.session(256).memory_bytes == before
    assert story(model.session(256))
