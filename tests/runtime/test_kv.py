# SPDX-License-Identifier: MIT
"""Types of the KV cache: what they cost in memory and in quality, and that they are told.

The quality bounds are about twice what was measured on this text (q8_0: KL 1.0e-4 on average;
q4_0: 4e-3), so a coarser arithmetic fails, and so does one that no longer quantizes at all.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gristmill import Model, UnsupportedError
from gristmill.kv import KV_TYPES, KvType, checked

TEXT = """\
Once upon a time there was a little girl named Anna who lived near a big green forest with her
mother and her old gray cat. One morning she heard a strange sound behind the wooden shed. It was a
small bird with a broken wing, and it could not fly back to its nest. "Do not be afraid," said
Anna. "I will help you." She put the bird into a box with soft grass and gave it water and crumbs.
Every day the bird grew stronger, and every evening it sang a new song by the window. When spring
came Anna opened the box and the bird flew up over the trees. She was sad at first, but then the
bird came back with two friends, and all three sang for her until the sun went down."""


def _logits(model: Model, tokens: list[int], kv: KvType) -> NDArray[np.float64]:
    session = model.session(context=len(tokens), all_logits=True, kv=kv)
    session.append(tokens)
    return np.array(session.logits(), np.float64)


def _log_softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = x - x.max(axis=1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(axis=1, keepdims=True)))


def test_quality_against_f16(model: Model) -> None:
    tokens = model.encode(TEXT)
    exact = _log_softmax(_logits(model, tokens, "f16"))
    limits = {"q8_0": (1e-5, 1e-3), "q4_0": (1e-3, 4e-2)}
    for name, (least, most) in limits.items():
        log_p = _log_softmax(_logits(model, tokens, checked(name)))
        divergence = (np.exp(exact) * (exact - log_p)).sum(axis=1)
        agree = (log_p.argmax(axis=1) == exact.argmax(axis=1)).mean()
        print(f"{name}: KL mean {divergence.mean():.2e}, max {divergence.max():.2e}, top-1 {agree}")
        assert least < divergence.mean() < most
        assert divergence.max() < 40 * most
        assert agree > (0.98 if name == "q8_0" else 0.9)


@pytest.mark.parametrize("kv", KV_TYPES)
def test_dropped_tokens_leave_no_trace(model: Model, kv: str) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, model.vocab_size, (2, 330)).tolist()
    used = model.session(context=400, kv=checked(kv))
    used.evaluate(first)
    used.evaluate(first[:70] + second)  # cuts within a page
    fresh = model.session(context=400, kv=checked(kv))
    fresh.evaluate(first[:70] + second)
    assert used.logits().tobytes() == fresh.logits().tobytes()


@pytest.mark.parametrize(("kv", "part"), [("f16", 1.0), ("q8_0", 34 / 64), ("q4_0", 18 / 64)])
def test_memory_is_told(model: Model, kv: str, part: float) -> None:
    whole = model.session(context=1024).memory_bytes["kv_cache"]
    session = model.session(context=1024, kv=checked(kv))
    assert session.kv == kv
    assert session.memory_bytes["kv_cache"] == pytest.approx(part * whole, abs=128)


def test_a_model_has_a_default(model: Model) -> None:
    assert (model.kv, model.session().kv) == ("f16", "f16")
    other = Model.load(threads=1, kv="q8_0", context=1024)
    assert (other.kv, other.session().kv, other.session(kv="q4_0").kv) == ("q8_0", "q8_0", "q4_0")
    assert "q8_0" in other.report.describe()
    planned, taken = other.report.memory_bytes, other.session().memory_bytes
    assert planned["kv_cache"] == pytest.approx(taken["kv_cache"], rel=0.03)


def test_unknown_types_are_named_with_the_choices(model: Model) -> None:
    for call in (lambda kv: model.session(kv=kv), lambda kv: Model.load(kv=kv)):
        with pytest.raises(UnsupportedError, match="f16, q8_0, q4_0.*q5_1"):
            call("q5_1")  # type: ignore[no-untyped-call]
