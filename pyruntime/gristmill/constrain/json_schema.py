# SPDX-License-Identifier: MIT
"""JSON schemas for llguidance: what it cannot enforce is refused with its place in the schema.

llguidance refuses most of what it does not implement; the rest is found here. Of a refusal it says
what, but not where, so the place is searched for: the deepest subschema that alone is refused for
the same reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.errors import GrammarError

from .engine import engine

# Keywords whose values are schemas, lists of them, or objects of them.
_ONE = "additionalProperties items contains not if then else propertyNames additionalItems".split()
_LIST = "allOf anyOf oneOf prefixItems items".split()
_NAMED = "properties patternProperties $defs definitions dependentSchemas".split()
_TRIED = 200  # subschemas, for the sake of an error message


def compile_schema(schema: object) -> str:
    """The grammar of a schema.

    Raises:
        GrammarError: It is no schema, or something of it cannot be enforced.
    """
    if not isinstance(schema, (bool, Mapping)):
        raise GrammarError(
            f"[json schema] must be an object, true or false. Got {type(schema).__name__}."
        )
    try:
        text = json.dumps(schema, allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError(f"[json schema] is no JSON. {error}") from None
    for path, part in subschemas(schema):
        _check(path, part)
    grammar, problem = _try(text)
    if problem:
        raise GrammarError(f"[json schema {_place(schema, problem)}] {problem}")
    return grammar


def subschemas(schema: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema that is an object, with its JSON pointer, outer ones first."""
    if not isinstance(schema, Mapping):
        return
    yield path, dict(schema)
    for key, value in schema.items():
        inner = f"{path}/{_escaped(str(key))}"
        if key in _NAMED and isinstance(value, Mapping):
            for name, part in value.items():
                yield from subschemas(part, f"{inner}/{_escaped(str(name))}")
        elif key in _LIST and isinstance(value, list):
            for index, part in enumerate(value):
                yield from subschemas(part, f"{inner}/{index}")
        elif key in _ONE:
            yield from subschemas(value, inner)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _check(path: str, schema: Mapping[str, Any]) -> None:
    """Refuses what llguidance would take without enforcing it."""


def _try(text: str) -> tuple[str, str]:
    """The grammar, and why it cannot be used or ""."""
    matcher = engine().LLMatcher
    try:
        grammar: str = matcher.grammar_from_json_schema(text)
    except ValueError as error:
        return "", str(error)
    _, messages = matcher.validate_grammar_with_warnings(grammar)
    return grammar, messages[0] if messages else ""


def _place(schema: Any, problem: str) -> str:
    """Where a problem comes from."""
    found = "#"
    shared = {}
    if isinstance(schema, Mapping):
        shared = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
    for tried, (path, part) in enumerate(subschemas(schema)):
        if tried >= _TRIED:
            break
        if len(path) > len(found) and path.startswith(found):
            alone = (
                {**shared, **part} if not path.startswith(("#/$defs", "#/definitions")) else part
            )
            if _try(json.dumps(alone))[1] == problem:
                found = path
    return found
