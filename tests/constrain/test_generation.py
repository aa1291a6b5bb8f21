# SPDX-License-Identifier: MIT
"""Constrained texts of the bundled model, through the public API."""

from __future__ import annotations

import builtins
import json
import re
from typing import Any

import pytest

from gristmill import Model
from gristmill.constrain import Constraint, Matcher
from gristmill.errors import GrammarError, ResourceError
from gristmill.sampling import SamplingParams

GREEDY = SamplingParams(temperature=0)
SAMPLINGS = [
    GREEDY,
    SamplingParams(top_k=1, seed=1),
    SamplingParams(seed=2),
    SamplingParams(seed=3, top_k=0, top_p=1, min_p=0, temperature=1.5),
    SamplingParams(seed=4, repeat_penalty=1.3, dry_multiplier=1.0),
    SamplingParams(seed=5, mirostat=2),
]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_sampler_keeps_to_the_schema(model: Model, sampling: SamplingParams) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 1, "maximum": 99},
            "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    generation = model.generate("Once", sampling=sampling, json_schema=schema, max_tokens=400)
    text = "".join(piece.text for piece in generation)
    assert generation.finish_reason == "stop"
    value = json.loads(text)
    assert set(value) == {"name", "age", "tags"}
    assert len(value["name"]) <= 12
    assert 1 <= value["age"] <= 99
    assert set(value["tags"]) <= {"red", "blue"}


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_regex_ends_the_text(model: Model, ignore_eos: bool) -> None:
    generation = model.generate(
        "Once", sampling=GREEDY, regex=" [a-c]{3}-[0-9]{2}", ignore_eos=ignore_eos
    )
    for _ in generation:
        pass
    assert re.fullmatch(" [a-c]{3}-[0-9]{2}", generation.text)  # the first space is there
    assert generation.finish_reason == "stop"


def test_end_of_text_only_where_the_grammar_accepts(model: Model) -> None:
    vocabulary = model.constrainer
    constraint = Constraint.of(grammar='root ::= "ab" "c"* "d"?')
    assert constraint is not None
    matcher = Matcher(constraint, vocabulary)
    text, accepting = b"", []
    for _ in range(6):
        mask = matcher.mask()
        if mask is None:
            break
        allowed = [i for i in range(model.vocab_size) if mask[i // 32] >> (i % 32) & 1]
        ends = [i for i in allowed if i in vocabulary.ends]
        assert bool(ends) == matcher.accepts == bool(re.fullmatch(b"abc*d?", text))
        accepting.append(bool(ends))
        token = next(i for i in allowed if i not in vocabulary.ends)
        text += vocabulary.tokenizer.decode_bytes([token])
        matcher.accept(token)
    assert accepting[0] is False


def test_lark_works_as_it_is(model: Model) -> None:
    generation = model.generate("Once", sampling=GREEDY, grammar='start: "yes" | "no"')
    assert "".join(piece.text for piece in generation) in ("yes", "no")


def test_chat_answers_are_constrained(model: Model) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    generation = model.generate(messages, sampling=GREEDY, json_schema={"enum": ["a", "b"]})
    assert "".join(piece.text for piece in generation) in ('"a"', '"b"')


@pytest.mark.parametrize(
    "bad",
    [
        {"grammar": "root ::= foo"},
        {"grammar": "start: foo"},
        {"grammar": ""},
        {"regex": "(a"},
        {"regex": "(?=a)"},
        {"json_schema": {"not": {}}},
        {"json_schema": "{"},
        {"regex": 3},
    ],
)
def test_what_is_wrong_is_an_error_before_any_token(model: Model, bad: dict[str, Any]) -> None:
    session = model.session()
    with pytest.raises(GrammarError):
        session.generate("Once", **bad)
    assert session.position == 0


def test_one_constraint_at_a_time(model: Model) -> None:
    with pytest.raises(ValueError, match="Give one"):
        model.generate("Once", regex="a", json_schema=True)


def test_a_token_that_is_not_allowed_is_an_error(model: Model) -> None:
    constraint = Constraint.of(regex="[0-9]+")
    assert constraint is not None
    matcher = Matcher(constraint, model.constrainer)
    with pytest.raises(GrammarError):
        matcher.accept(model.encode("word")[-1])
    with pytest.raises(GrammarError):  # and stays one
        matcher.mask()


def test_bans_that_leave_nothing_are_an_error(model: Model) -> None:
    from gristmill.errors import GristmillError

    constraint_tokens = {i: -float("inf") for i in range(model.vocab_size)}
    params = SamplingParams(temperature=0, logit_bias=constraint_tokens)
    with pytest.raises(GristmillError, match="All are banned"):
        next(model.generate("Once", sampling=params, regex="[0-9]+"))


def test_without_llguidance_it_is_said(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("llguidance"):
            raise ImportError("no wheel")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ResourceError, match="pip install llguidance"):
        model.generate("Once", regex="a")
