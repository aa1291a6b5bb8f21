# SPDX-License-Identifier: MIT
"""Models with recurrent layers: one hash of all logits, and sessions that go back.

Whatever a session did before, it computes the bits of a fresh one: its states go back to
checkpoints, and tokens behind them are computed again.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import Model, SamplingParams, Session, _core, gguf
from gristmill.blueprint import Blueprint
from gristmill.errors import ContextError
from gristmill.generate import GenerationOptions, choices
from hybrids import state_values
from make_model import random_model
from shapes import Recurrence, Shape

SMALL = Shape(dim=64, ffn=96, layers=3, heads=4, kv_heads=2, vocab=403, context=1024)
SHAPES = {
    "convolution": Shape(
        **{**vars(SMALL), "architecture": "lfm2", "recurrence": Recurrence((1,), taps=3)}
    ),
    "delta": Shape(
        **{
            **vars(SMALL),
            "architecture": "qwen35",
            "layers": 4,
            "head_dim": 32,
            "recurrence": Recurrence((3,), taps=4, key_heads=2, heads=4, key_dim=20, value_dim=24),
        }
    ),
}
COUNT = 40  # tokens
CONTEXT = 700  # of sessions: beyond two checkpoints that are made unasked
TOKENS = np.random.default_rng(5).integers(0, SMALL.vocab, CONTEXT).tolist()


@pytest.fixture(scope="module", params=sorted(SHAPES))
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with recurrent layers."""
    target = tmp_path_factory.mktemp("recurrent") / f"{request.param}.gguf"
    random_model(target, SHAPES[request.param], {"default": "Q8_0"}, seed=6)
    return target


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    """The same, loaded."""
    return Model.load(path, threads=1, cache=False)


def logits_of(session: Session, tokens: list[int], split: int) -> bytes:
    rows = []
    for start in range(0, len(tokens), split):
        session.append(tokens[start : start + split])
        rows.append(np.array(session.logits()))
    out = np.concatenate(rows)
    assert np.isfinite(out).all()
    return out.tobytes()


def fresh(model: Model, tokens: list[int]) -> bytes:
    """The last row of logits of a new session."""
    session = model.session(CONTEXT)
    session.append(tokens)
    return session.logits().tobytes()


def test_the_same_bits_for_any_level_threads_and_split(path: Path) -> None:
    seen = {}
    for isa, threads in product(_core.available_isas(), (1, 3)):
        model = Model.load(path, isa=isa, threads=threads, cache=False)
        for split in (1, 2, 7, COUNT):
            session = model.session(CONTEXT, all_logits=True)
            seen[isa, threads, split] = logits_of(session, TOKENS[:COUNT], split)
    assert len(set(seen.values())) == 1, sorted(seen)


def test_a_state_matters(model: Model) -> None:
    """The last token alone, or another one long before: other logits."""
    assert fresh(model, TOKENS[:COUNT]) != fresh(model, TOKENS[COUNT - 1 : COUNT])
    assert fresh(model, TOKENS[:COUNT]) != fresh(model, [7, *TOKENS[1:COUNT]])


def test_the_core_goes_back_to_checkpoints_only(model: Model) -> None:
    core: Any = model.session(CONTEXT)._core
    core.forward(TOKENS[:20])
    core.checkpoint()
    core.forward(TOKENS[20:30])
    assert [core.reachable(at) for at in (0, 19, 20, 29, 30, 99)] == [0, 0, 20, 20, 30, 30]
    before = core.logits().tobytes()
    with pytest.raises(ContextError, match=r"checkpoints only. Got 25, .* is 20"):
        core.truncate(25)
    with pytest.raises(ContextError, match="at least 0"):
        core.reachable(-1)
    assert (core.position, core.logits().tobytes()) == (30, before)
    core.truncate(20)
    core.forward(TOKENS[20:30])
    assert core.logits().tobytes() == before
    core.truncate(0)
    assert core.reachable(20) == 0
    core.forward(TOKENS[:30])
    assert core.logits().tobytes() == before


def test_attention_alone_goes_back_anywhere(bundled_model: Path) -> None:
    core: Any = Model.load(bundled_model, threads=1).session(64)._core
    core.forward(list(range(20)))
    assert [core.reachable(at) for at in (0, 7, 20, 99)] == [0, 7, 20, 20]
    assert core.memory_bytes["states"] == 0


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=4))
def test_other_continuations(model: Model, steps: list[tuple[int, int]]) -> None:
    """Prompts that share a beginning with the one before, as chats that are edited."""
    session = model.session(CONTEXT)
    tokens = TOKENS[:50]
    session.evaluate(tokens)
    for number, (kept, more) in enumerate(steps, start=1):
        tokens = tokens[:kept] + TOKENS[100 * number : 100 * number + more]
        session.evaluate(tokens)
        assert session.tokens == tokens
    assert session.logits().tobytes() == fresh(model, tokens)


@pytest.mark.parametrize("position", [0, 1, 255, 256, 300, 511, 590, 600])
def test_truncate_and_continue(model: Model, position: int) -> None:
    session = model.session(CONTEXT)
    for start in range(0, 600, 100):
        session.append(TOKENS[start : start + 100])
    session.truncate(position)
    assert session.tokens == TOKENS[:position]
    session.append(TOKENS[650:660])
    assert session.logits().tobytes() == fresh(model, TOKENS[:position] + TOKENS[650:660])


def test_the_same_prompt_again_takes_its_last_token(model: Model) -> None:
    session = model.session(CONTEXT)
    assert session.evaluate(TOKENS[:300]) == 0
    session.append(TOKENS[400:420])
    assert session.evaluate(TOKENS[:300]) == 299
    session.append(TOKENS[400:420])
    # A longer prompt with the same beginning keeps that much of it.
    assert session.evaluate(TOKENS[:310]) == 299
    assert session.logits().tobytes() == fresh(model, TOKENS[:310])


def test_choices_share_a_prompt(model: Model) -> None:
    options = GenerationOptions(
        sampling=SamplingParams(temperature=1.0, seed=3), max_tokens=6, ignore_eos=True
    )
    session = model.session(CONTEXT)
    together = []
    for generation in choices(session, TOKENS[:64], 3, options):
        list(generation)
        together.append((generation.tokens, generation.stats.reused_tokens))
    assert [reused for _, reused in together] == [0, 63, 63]
    alone = []
    for seed in (3, 4, 5):
        sampling = SamplingParams(temperature=1.0, seed=seed)
        generation = model.session(CONTEXT).generate(
            TOKENS[:64], sampling=sampling, max_tokens=6, ignore_eos=True
        )
        list(generation)
        alone.append(generation.tokens)
    assert [tokens for tokens, _ in together] == alone


def test_states_are_in_the_memory_plan(path: Path, model: Model) -> None:
    planned = Blueprint.of(gguf.File(path), CONTEXT).memory_bytes["states"]
    taken = model.session(CONTEXT).memory_bytes["states"]
    assert planned == taken
    # Four checkpoints besides the states; value heads of 24 columns take 32 in memory.
    shape = SHAPES[path.stem]
    assert 5 * 4 * state_values(shape) <= taken <= 7 * 4 * state_values(shape)
    assert planned == Blueprint.of(gguf.File(path), 64).memory_bytes["states"]
