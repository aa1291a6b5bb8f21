# SPDX-License-Identifier: MIT
"""general.sampling.*: what a file recommends, and who wins."""

from __future__ import annotations

import numpy as np
import pytest

from gristmill import Model
from gristmill.generate import GenerationOptions, choices
from gristmill.sampling import SamplingParams
from gristmill.sampling.defaults import describe_defaults, read_defaults


def test_the_keys_of_the_gguf_package() -> None:
    """Every key that the format's own package names is read, or said not to be."""
    from gguf import constants

    keys = [
        value
        for name, value in vars(constants.Keys.General).items()
        if name.startswith("SAMPLING_") and isinstance(value, str)
    ]
    assert len(keys) >= 12
    metadata = {key: np.float32(1) for key in keys}
    params, taken, notes = read_defaults(metadata)
    assert len(taken) == len(keys) - 1
    assert "general.sampling.sequence" in notes[0]
    assert params.mirostat == params.top_k == params.repeat_last_n == 1


def test_values_are_the_files() -> None:
    params, taken, notes = read_defaults(
        {
            "general.sampling.temp": np.float32(0.6),
            "general.sampling.top_k": np.int32(20),
            "general.sampling.top_p": 0.949999988079071,
            "general.name": "x",
        }
    )
    assert params == SamplingParams(temperature=0.6, top_k=20, top_p=0.95)
    assert notes == []
    text = describe_defaults(taken)
    assert text == "the file's temperature 0.6, top_k 20, top_p 0.95; explicit options win"
    assert describe_defaults({}) == "llama.cpp's defaults"


@pytest.mark.parametrize(
    ("key", "value"),
    [("temp", -1.0), ("temp", "hot"), ("top_k", 2.5), ("top_p", float("nan")), ("mirostat", True)],
)
def test_a_bad_recommendation_is_a_note(key: str, value: object) -> None:
    params, taken, notes = read_defaults({"general.sampling." + key: value})
    assert params == SamplingParams()
    assert taken == {}
    assert f"general.sampling.{key} = " in notes[0]


def test_the_report_says_it(model: Model) -> None:
    assert "sampling   llama.cpp's defaults" in model.report.describe()
    assert model.sampling == SamplingParams()


def test_a_text_takes_the_models_options_unless_told(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "sampling", SamplingParams(temperature=0, repeat_penalty=1.2))
    session = model.session()
    assert session.generate("Once").options.sampling.repeat_penalty == 1.2
    assert session.agenerate("Once").generation.options.sampling.repeat_penalty == 1.2
    own = SamplingParams(temperature=0.5)
    assert session.generate("Once", sampling=own).options.sampling == own


def test_choices_share_the_prompt(model: Model) -> None:
    session = model.session()
    options = GenerationOptions(max_tokens=8, sampling=SamplingParams(seed=5))
    texts, reused = [], []
    for generation in choices(session, "Once upon a time", 3, options):
        texts.append("".join(piece.text for piece in generation))
        reused.append(generation.stats.reused_tokens)
    assert len(set(texts)) == 3
    assert reused[0] == 0
    assert reused[1] == reused[2] == len(model.encode("Once upon a time")) - 1
    second = SamplingParams(seed=6)
    alone = model.session().generate("Once upon a time", max_tokens=8, sampling=second)
    assert "".join(piece.text for piece in alone) == texts[1]
    with pytest.raises(ValueError, match="n must be"):
        next(choices(session, "Once", 0))


def test_logprobs_are_the_models(model: Model) -> None:
    session = model.session()
    sampling = SamplingParams(temperature=0, logit_bias={model.encode("the")[-1]: 2.0})
    pieces = list(session.generate("Once upon", max_tokens=5, sampling=sampling, logprobs=3))
    tokens = list(session.generate("Once upon", max_tokens=5, sampling=sampling).prompt)
    for piece in pieces[:5]:
        assert piece.token is not None
        fresh = model.session()
        fresh.evaluate(tokens)
        logits = fresh.logits()[-1].astype(np.float64)
        probs = logits - (np.log(np.exp(logits - logits.max()).sum()) + logits.max())
        order = np.argsort(-probs, kind="stable")[:3]
        assert [token for token, _ in piece.top] == order.tolist()
        assert [value for _, value in piece.top] == pytest.approx(probs[order], abs=1e-5)
        assert piece.logprob == pytest.approx(probs[piece.token], abs=1e-5)
        tokens.append(piece.token)
    assert all(p.top == () for p in session.generate("Once", max_tokens=2, sampling=sampling))
    with pytest.raises(ValueError, match="logprobs"):
        session.generate("Once", logprobs=-1)
