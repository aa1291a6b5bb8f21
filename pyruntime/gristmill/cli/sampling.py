# SPDX-License-Identifier: MIT
"""The options of sampling and constraints, named as llama.cpp's, for the commands that generate.

What is not given is what the model's file recommends, so every option has None as its default.
Only typer is imported here: `gristmill --help` loads this file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from gristmill.sampling import SamplingParams


def _number(kind: type, *names: str, text: str, metavar: str = "X", **limits: Any) -> Any:
    return Annotated[kind | None, typer.Option(*names, metavar=metavar, help=text, **limits)]


def _share(name: str, text: str) -> Any:
    return _number(float, name, text=text, min=0.0, max=1.0)


def _count(name: str, text: str, least: int) -> Any:
    return _number(int, name, text=text, metavar="N", min=least)


# Field of SamplingParams -> its option. The defaults named here are those of a silent file.
_SAMPLING: dict[str, Any] = {
    "temperature": _number(
        float, "--temperature", "--temp", text="0 is greedy. [default: 0.8]", min=0.0
    ),
    "top_k": _count("--top-k", "Keep the best k; 0: all. [default: 40]", 0),
    "top_p": _share("--top-p", "Keep this much mass. [default: 0.95]"),
    "min_p": _share("--min-p", "Drop below this share of the best. [default: 0.05]"),
    "typical_p": _share("--typical", "Locally typical mass; 1: off. [default: 1]"),
    "top_n_sigma": _number(
        float, "--top-nsigma", "--top-n-sigma", text="Within N deviations of the best; -1: off."
    ),
    "xtc_probability": _share("--xtc-probability", "How often XTC drops top choices. [default: 0]"),
    "xtc_threshold": _share("--xtc-threshold", "Which choices XTC may drop. [default: 0.1]"),
    "dynatemp_range": _number(
        float, "--dynatemp-range", text="Temperature by entropy, +- this; 0: off.", min=0.0
    ),
    "dynatemp_exponent": _number(float, "--dynatemp-exp", text="Its exponent. [default: 1]"),
    "mirostat": _number(
        int, "--mirostat", text="1 or 2: hold the surprise; 0: off.", metavar="N", min=0, max=2
    ),
    "mirostat_tau": _number(float, "--mirostat-ent", text="At this many bits. [default: 5]"),
    "mirostat_eta": _number(float, "--mirostat-lr", text="Learning rate. [default: 0.1]"),
    "repeat_penalty": _number(float, "--repeat-penalty", text="Of recent tokens; 1: off."),
    "repeat_last_n": _count(
        "--repeat-last-n", "Tokens the penalties look at; -1: all. [default: 64]", -1
    ),
    "frequency_penalty": _number(float, "--frequency-penalty", text="Per occurrence; 0: off."),
    "presence_penalty": _number(float, "--presence-penalty", text="Once per token; 0: off."),
    "dry_multiplier": _number(float, "--dry-multiplier", text="Strength of DRY; 0: off.", min=0.0),
    "dry_base": _number(float, "--dry-base", text="Its growth per token. [default: 1.75]"),
    "dry_allowed_length": _count("--dry-allowed-length", "Free repetitions. [default: 2]", 0),
    "dry_penalty_last_n": _count("--dry-penalty-last-n", "Tokens searched; -1: all.", -1),
}
_BREAKERS = Annotated[
    list[str] | None,
    typer.Option(
        "--dry-sequence-breaker", metavar="TEXT", help='Ends repetitions; "none": nothing does.'
    ),
]
_SEED = _number(
    int, "-s", "--seed", text="Same seed, same text; -1: a fresh one.", metavar="N", min=-1
)
_GRAMMAR = Annotated[
    str | None, typer.Option("--grammar", metavar="TEXT", help="Hold the text to this grammar.")
]
_GRAMMAR_FILE = Annotated[
    Path | None, typer.Option("--grammar-file", metavar="FILE", help="GBNF or Lark from a file.")
]
_SCHEMA = Annotated[
    str | None,
    typer.Option("-j", "--json-schema", metavar="JSON", help="JSON of this schema (or file)."),
]
_REGEX = Annotated[
    str | None, typer.Option("--regex", metavar="TEXT", help="Hold the text to this expression.")
]
_ALL = {
    **_SAMPLING,
    "dry_sequence_breaker": _BREAKERS,
    "seed": _SEED,
    "grammar": _GRAMMAR,
    "grammar_file": _GRAMMAR_FILE,
    "json_schema": _SCHEMA,
    "regex": _REGEX,
}


def takes_sampling(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command these options; it finds their values in its context."""
    hints = {**get_type_hints(command, include_extras=True), **_ALL}
    own = inspect.signature(command).parameters.values()
    parameters = [p.replace(annotation=hints[p.name]) for p in own]
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in _ALL.items()
    ]

    @wraps(command)
    def called(*args: Any, **kwargs: Any) -> int:
        return command(*args, **{name: v for name, v in kwargs.items() if name not in _ALL})

    called.__signature__ = inspect.Signature([*parameters, *extra])  # type: ignore[attr-defined]
    called.__annotations__ = hints
    return called


def sampling_params(context: typer.Context, defaults: SamplingParams) -> SamplingParams:
    """The model's options with those of the command; a bad value is a usage error."""
    given = {name: context.params[name] for name in _SAMPLING}
    breakers, seed = context.params["dry_sequence_breaker"], context.params["seed"]
    if breakers is not None:
        given["dry_sequence_breakers"] = tuple(text for text in breakers if text != "none")
    if seed is not None and seed >= 0:
        given["seed"] = seed
    try:
        return replace(defaults, **{n: value for n, value in given.items() if value is not None})
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("[sampling] ")) from error


def constraint(context: typer.Context) -> dict[str, Any]:
    """The grammar, JSON schema or regex as arguments of `generate`; checked."""
    names = ("grammar", "grammar_file", "json_schema", "regex")
    given = {n: context.params[n] for n in names if context.params[n] is not None}
    if len(given) > 1:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise typer.BadParameter(f"Constrain the text once. Got {options}.")
    if not given:
        return {}
    from gristmill.constrain import Constraint
    from gristmill.errors import GrammarError

    ((name, value),) = given.items()
    path = value if name == "grammar_file" else None
    if name == "json_schema" and not value.lstrip().startswith(("{", "[", '"', "true", "false")):
        path = Path(value)
    where = f"--{name.replace('_', '-')}" if path is None else str(path)
    if path is not None:
        try:
            value = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{where} cannot be read: {error}.") from error
    arguments = {"grammar" if name == "grammar_file" else name: value}
    try:
        Constraint.of(**arguments)
    except GrammarError as error:
        raise GrammarError(f"{where}: {error}") from None
    return arguments
