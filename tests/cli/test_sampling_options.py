# SPDX-License-Identifier: MIT
"""The command line's sampling and constraint options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.cli.sampling import _SAMPLING, sampling_params
from gristmill.sampling import SamplingParams


def gristmill(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gristmill", *words]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment
    )


def test_every_option_is_a_field() -> None:
    fields = set(SamplingParams.__dataclass_fields__)
    assert set(_SAMPLING) <= fields
    assert fields - set(_SAMPLING) == {"dry_sequence_breakers", "logit_bias", "seed"}


def test_explicit_options_win() -> None:
    import typer

    class Context:
        params = dict.fromkeys([*_SAMPLING, "dry_sequence_breaker", "seed"])

    defaults = SamplingParams(temperature=0.6, top_k=20)
    context = Context()
    assert sampling_params(context, defaults) == defaults  # type: ignore[arg-type]
    context.params = {**context.params, "top_k": 0, "dry_sequence_breaker": ["none"], "seed": 7}
    got = sampling_params(context, defaults)  # type: ignore[arg-type]
    assert (got.temperature, got.top_k, got.seed) == (0.6, 0, 7)
    assert got.dry_sequence_breakers == ()
    context.params = {**context.params, "dry_base": 0.5}
    with pytest.raises(typer.BadParameter, match="dry_base"):
        sampling_params(context, defaults)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["run", "chat"])
def test_both_commands_have_them(command: str) -> None:
    text = gristmill(command, "--help").stdout
    for option in ("--temp", "--top-nsigma", "--xtc-probability", "--mirostat-ent", "--dry-base",
                   "--dynatemp-range", "--json-schema", "--grammar-file", "--regex"):  # fmt: skip
        assert option in text, option


def test_texts_are_constrained(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["red", "blue"]}')
    grammar = tmp_path / "grammar.gbnf"
    grammar.write_text('root ::= "yes" | "no"\n')
    common = ("run", "A colour:", "--no-echo", "-n", "20", "--temp", "0")
    for options, allowed in (
        (("--json-schema", str(schema)), ('"red"', '"blue"')),
        (("-j", '{"enum": ["red"]}'), ('"red"',)),
        (("--grammar-file", str(grammar)), ("yes", "no")),
        (("--regex", "[0-9]{3}-[a-f]"), None),
    ):
        done = gristmill(*common, *options)
        assert done.returncode == 0, done.stderr
        text = done.stdout.strip()
        assert text in allowed if allowed else (len(text), text[3]) == (5, "-")


def test_what_is_wrong_is_said_with_its_path(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"properties": {"a": {"not": {}}}}))
    done = gristmill("run", "x", "--json-schema", str(schema))
    assert done.returncode != 0
    assert f"{schema}: [json schema #/properties/a]" in done.stderr.replace("\n", " ")
    assert done.stdout == ""
    done = gristmill("run", "x", "--grammar-file", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    done = gristmill("run", "x", "--regex", "a", "--json-schema", "{}")
    assert done.returncode == 2
    assert "Constrain the text once" in done.stderr
