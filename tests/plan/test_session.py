# SPDX-License-Identifier: MIT
"""Sessions: refused requests change nothing, views live, threads take turns, memory is told."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_llama import Tiny

from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.errors import ContextError, ResourceError, UnsupportedError
from gristmill.gguf import File

MakeFile = Callable[[Tiny], Path]
SHAPE = Tiny(dim=256, ffn=512, vocab=3000, weights="Q8_0")


@pytest.fixture(scope="module")
def model(tiny: MakeFile) -> _core.Model:
    file = File(tiny(SHAPE))
    return _core.Model(file.core, build_plan(file).to_dict(), 2)


@pytest.mark.parametrize(
    ("tokens", "fragment"),
    [
        ([], "at least one"),
        (np.zeros(0, np.int32), "at least one"),
        (list(range(17)), "at most 16"),
        ([5] * 13, "12 are taken|of which 20"),
        ([0, -1], "index 1"),
        ([SHAPE.vocab], "0 to 2999"),
        ([2**32 + 5], "4294967301"),
        ([1.5], "integers"),
        ([[1, 2]], "one-dimensional"),
        (np.array([2**63 + 1], np.uint64), "index 0"),
    ],
)
def test_a_refused_batch_changes_nothing(model: _core.Model, tokens: Any, fragment: str) -> None:
    session = _core.Session(model, 32, 16)
    session.forward(list(range(16)))
    session.forward([1, 2, 3, 4])
    before = session.logits().copy()
    with pytest.raises(ContextError, match=fragment):
        session.forward(tokens)
    assert session.position == 20
    assert session.logits().tobytes() == before.tobytes()
    session.forward([7])
    assert session.position == 21


def test_lists_and_arrays_are_the_same(model: _core.Model) -> None:
    logits = []
    for tokens in ([1, 2, 3], (1, 2, 3), np.array([1, 2, 3], np.int32), np.array([1, 2, 3], "u2"),
                   np.array([1, 0, 2, 0, 3], np.int64)[::2]):  # fmt: skip
        session = _core.Session(model, 32)
        session.forward(tokens)  # type: ignore[arg-type]
        logits.append(session.logits().tobytes())
    assert len(set(logits)) == 1


@pytest.mark.parametrize(
    ("context", "max_batch"), [(0, 16), (-1, 16), (2**40, 16), (16, 0), (16, -4)]
)
def test_impossible_options(model: _core.Model, context: int, max_batch: int) -> None:
    with pytest.raises(ContextError):
        _core.Session(model, context, max_batch)


def test_max_batch_is_at_most_the_context(model: _core.Model) -> None:
    session = _core.Session(model, 10, 512)
    assert (session.context, session.max_batch) == (10, 10)
    session.forward(list(range(10)))
    with pytest.raises(ContextError, match="Truncate"):
        session.forward([1])


def test_quantized_caches_need_whole_blocks(tiny: MakeFile) -> None:
    for head_dim, fits in ((16, False), (48, False), (32, True), (96, True)):
        file = File(tiny(Tiny(head_dim=head_dim)))
        model = _core.Model(file.core, build_plan(file).to_dict(), 1)
        assert _core.Session(model, 8).kv == "f16"
        for kv in ("q8_0", "q4_0"):
            if fits:
                assert _core.Session(model, 8, kv=kv).kv == kv
                continue
            with pytest.raises(UnsupportedError, match=f"{kv}.*32.*Got {head_dim} in layer 0"):
                _core.Session(model, 8, kv=kv)
        with pytest.raises(UnsupportedError, match="f16, q8_0, q4_0.*q5_1"):
            _core.Session(model, 8, kv="q5_1")


def test_truncate_has_bounds(model: _core.Model) -> None:
    session = _core.Session(model, 32)
    session.forward([1, 2, 3])
    for position in (4, -1):
        with pytest.raises(ContextError):
            session.truncate(position)
    session.truncate(3)
    session.truncate(0)
    assert session.position == 0


def test_logits_are_a_view_that_keeps_the_session(model: _core.Model) -> None:
    session = _core.Session(model, 32)
    with pytest.raises(ContextError):
        session.logits()
    with pytest.raises(ContextError):
        session.candidates(3)
    session.forward([1])
    view = session.logits()
    copy = view.copy()
    assert not view.flags.writeable
    assert np.shares_memory(view, session.logits())
    del session
    gc.collect()
    assert view.tobytes() == copy.tobytes()


def test_candidates_are_the_sorted_logits(model: _core.Model) -> None:
    session = _core.Session(model, 64)
    session.forward([9, 8, 7])
    row = session.logits()[-1].astype(np.float64)
    order = np.argsort(-row, kind="stable")
    top = row.max()
    for n in (0, 1, 5, 47, 64, 1000, SHAPE.vocab, SHAPE.vocab + 9):
        ids, values, logsumexp = session.candidates(n)
        assert ids.tolist() == order[:n].tolist()
        assert values.tolist() == row[order[:n]].tolist()
        assert abs(logsumexp - (top + np.log(np.exp(row - top).sum()))) < 1e-6
    with pytest.raises(ContextError):
        session.candidates(-1)


def test_sessions_on_two_threads_take_turns(model: _core.Model) -> None:
    def run(seed: int, out: dict[int, bytes]) -> None:
        tokens = np.random.default_rng(seed).integers(0, SHAPE.vocab, 60)
        session = _core.Session(model, 64)
        for token in tokens:
            session.forward([int(token)])
        out[seed] = session.logits().tobytes()

    alone: dict[int, bytes] = {}
    together: dict[int, bytes] = {}
    for seed in range(3):
        run(seed, alone)
    threads = [threading.Thread(target=run, args=(seed, together)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_refused(model: _core.Model) -> None:
    session = _core.Session(model, 32)
    session.forward([1])
    child = os.fork()
    if child == 0:
        try:
            session.forward([2])
        except ResourceError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    session.forward([2])
    assert session.position == 2


def test_memory_with_chunks_and_quantized_caches(tiny: MakeFile) -> None:
    file = File(tiny(Tiny(head_dim=32)))
    plan = build_plan(file).to_dict()
    model = _core.Model(file.core, plan, 3)
    planned = _core.MemoryPlan(file.core, plan, 3)
    for kv in ("f16", "q8_0", "q4_0"):
        taken = _core.Session(model, 1000, 128, kv=kv).memory_bytes
        assert taken.items() <= planned.bytes(1000, 128, kv=kv).items()


def test_memory_is_what_the_plan_says(tiny: MakeFile) -> None:
    file = File(tiny(SHAPE))
    plan = build_plan(file)
    model = _core.Model(file.core, plan.to_dict(), 1)
    session = _core.Session(model, 200, 128)
    memory = session.memory_bytes
    assert abs(memory["kv_cache"] - plan.kv_bytes(200)) <= 64
    planned = _core.MemoryPlan(file.core, plan.to_dict(), 1).bytes(200, 128)
    assert memory.items() <= planned.items()
    assert planned["panels"] == model.panel_bytes
    assert planned["mapped"] == model.mapped_bytes
    # A residual row and the widest row of every token are there at once, in f32.
    assert memory["activations"] >= 4 * 128 * (SHAPE.dim + SHAPE.ffn)
    # The logits, and the maximum and sum of every 128 of them; three pieces, each on a cache line.
    blocks = -(-SHAPE.vocab // 128)
    assert memory["logits"] == pytest.approx(4 * SHAPE.vocab + 8 * blocks, abs=3 * 64)
    with pytest.raises(ContextError, match="at least one token"):
        _core.MemoryPlan(file.core, plan.to_dict(), 1).bytes(200, 0)
    linear = sum(info.nbytes for name, info in file.tensors.items() if "blk" in name
                 and "norm" not in name)  # fmt: skip
    output = file.tensors["output.weight"].nbytes
    assert linear + output <= model.panel_bytes <= 1.05 * (linear + output)
    assert model.mapped_bytes == file.tensors["token_embd.weight"].nbytes
    assert model.weight_bytes >= model.panel_bytes
    assert plan.macs_per_token * 34 // 32 == linear
    assert plan.macs_per_logits_row == SHAPE.vocab * SHAPE.dim


def test_progress_is_told_and_may_stop_the_load(tiny: MakeFile) -> None:
    file = File(tiny(SHAPE))
    plan = build_plan(file).to_dict()
    seen: list[tuple[int, int]] = []
    model = _core.Model(file.core, plan, 2, "", lambda *both: seen.append(both))
    assert seen[0][0] == 0
    assert seen[-1] == (model.panel_bytes, model.panel_bytes)
    assert seen == sorted(seen)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _core.Model(file.core, plan, 2, "", stop)


def test_bad_model_options(tiny: MakeFile) -> None:
    file = File(tiny(SHAPE))
    plan = build_plan(file).to_dict()
    for threads in (-1, 5000):
        with pytest.raises(ResourceError):
            _core.Model(file.core, plan, threads)
    with pytest.raises(UnsupportedError):
        _core.Model(file.core, plan, 1, "abacus")


@given(st.lists(st.integers(0, SHAPE.vocab - 1), min_size=1, max_size=30), st.data())
def test_any_split_gives_the_same_bits(
    model: _core.Model, tokens: list[int], data: st.DataObject
) -> None:
    whole = _core.Session(model, 32)
    whole.forward(tokens)
    parts = _core.Session(model, 32)
    done = 0
    while done < len(tokens):
        size = data.draw(st.integers(1, len(tokens) - done))
        parts.forward(tokens[done : done + size])
        done += size
    assert parts.logits().tobytes() == whole.logits().tobytes()
