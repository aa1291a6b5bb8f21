# SPDX-License-Identifier: MIT
"""JSON schemas for llguidance: what it cannot enforce is refused with its place in the schema.

llguidance refuses most of what it does not implement. What it takes without enforcing it is
refused or written exactly here: formats that are looser than their definition, keywords that it
ignores, keys that are repeated to reach minProperties. Escapes like \\u0061 are not generated: a
property written so would slip past its schema. Of a refusal llguidance says what, but not where, so
the place is searched for: the deepest subschema that alone is refused for the same reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.errors import GrammarError

from .engine import engine

_NAMED = frozenset("properties patternProperties $defs definitions dependentSchemas".split())
_DATA = frozenset("const enum default examples".split())  # values, not schemas
_UNENFORCED = frozenset("contentMediaType contentEncoding contentSchema x-guidance".split())
_ESCAPED = frozenset("\b\f\n\r\t")  # control characters that may be generated, as \b, \f ...
_TRIED = 200  # subschemas, for the sake of an error message

_DAY = "0[1-9]|[12][0-9]|3[01]"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    f"(?:[0-9]{{4}}-(?:(?:0[13578]|1[02])-(?:{_DAY})|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"
    f"02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_CLOCK}:[0-5][0-9](?:\\.[0-9]+)?(?:Z|[+-]{_CLOCK})"
_LABEL = "[A-Za-z0-9](?:-?[A-Za-z0-9]){0,14}"
# llguidance's own ignore leap years and seconds and the rules of punycode. These are subsets of the
# formats: no leap seconds, labels of up to 29 characters without "--".
_FORMATS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "hostname": f"^{_LABEL}(?:\\.{_LABEL}){{0,7}}$",
}
_OPTIONS = {
    "lenient": False,
    "coerce_one_of": False,
    "json_allowed_escapes": 'nrbtf"\\',
    "json_allow_general_unicode_escapes": False,
    # A space, or a line end and its indentation: small models go on with blanks for ever.
    "whitespace_pattern": "\\x20|\\x0A[\\x20\\x09]{0,40}",
}


# What \\s is in ECMAScript, whose expressions a schema has; llguidance takes Unicode's white space.
_BLANK = r"\t\n\x0B\x0C\r \xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\uFEFF"


def compile_schema(schema: object) -> str:
    """The grammar of a schema.

    Raises:
        GrammarError: It is no schema, or something of it cannot be enforced.
    """
    if not isinstance(schema, (bool, Mapping)):
        raise GrammarError(
            f"[json schema] must be an object, true or false. Got {type(schema).__name__}."
        )
    if schema is False:
        raise GrammarError("[json schema #] Unsatisfiable schema: false allows no value.")
    try:
        plain = {} if schema is True else json.loads(json.dumps(schema, allow_nan=False))
        json.dumps(plain, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError(f"[json schema] is no JSON. {error}") from None
    tuples = isinstance(plain, dict) and "draft-0" in str(plain.get("$schema", ""))
    for path, part in subschemas(plain):
        _check(path, part, tuples)
    exact = _exact(plain)
    grammar, problem = _try(exact)
    if problem:
        raise GrammarError(f"[json schema {_place(exact, problem)}] {problem}")
    return grammar


def subschemas(schema: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that may be a schema, with its JSON pointer, outer ones first."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from subschemas(part, f"{path}/{index}")
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key, value in schema.items():
        inner = f"{path}/{_escaped(key)}"
        if key in _NAMED and isinstance(value, dict):
            for name, part in value.items():
                yield from subschemas(part, f"{inner}/{_escaped(name)}")
        elif key not in _DATA:
            yield from subschemas(value, inner)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _check(path: str, schema: dict[str, Any], tuples: bool) -> None:
    """Refuses what llguidance would take without enforcing it."""

    def refuse(problem: str) -> None:
        raise GrammarError(f"[json schema {path}] {problem}")

    for keyword in sorted(_UNENFORCED & schema.keys()):
        refuse(f"{keyword} cannot be enforced.")
    if isinstance(schema.get("items"), list) and not tuples:
        refuse("items is one schema. For a list of them use prefixItems, or name an older $schema.")
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    least = schema.get("minProperties")
    if isinstance(least, (int, float)) and least > len({str(name) for name in names}) + 1:
        refuse("minProperties cannot be enforced beyond one more than the required properties.")
    written = [
        [schema.get("const"), schema.get("enum"), names],
        [part for key in _NAMED if isinstance(part := schema.get(key), dict)],
    ]
    if any(ord(c) < 32 and c not in _ESCAPED for text in _texts(written) for c in text):
        refuse("control characters in names and constants cannot be written.")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)


def _exact(schema: Any, named: bool = False) -> Any:
    """The schema with formats written out where llguidance's are looser."""
    if isinstance(schema, list):
        return [_exact(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {
        key: value if key in _DATA and not named else _exact(value, key in _NAMED and not named)
        for key, value in schema.items()
    }
    if named:
        return out
    if isinstance(out.get("pattern"), str):
        out["pattern"] = _ecma(out["pattern"])
    if isinstance(patterns := out.get("patternProperties"), dict):
        out["patternProperties"] = {_ecma(key): value for key, value in patterns.items()}
    pattern = _FORMATS.get(str(out.get("format")))
    if pattern is not None:
        del out["format"]
        others = out.get("allOf", [])
        out["allOf"] = [*(others if isinstance(others, list) else [others]), {"pattern": pattern}]
    return out


def _ecma(pattern: str) -> str:
    """The expression with ECMAScript's white space."""
    out, in_class, at = [], False, 0
    while at < len(pattern):
        part = pattern[at : at + 2] if pattern[at] == "\\" else pattern[at]
        at += len(part)
        if part == "[" and not in_class:
            in_class = True
        elif part == "]":
            in_class = False
        if part == "\\s":
            part = _BLANK if in_class else f"[{_BLANK}]"
        elif part == "\\S" and not in_class:
            part = f"[^{_BLANK}]"
        elif part == "\\S":
            raise GrammarError(f"[json schema] \\S inside of a class cannot be enforced: {pattern}")
        out.append(part)
    return "".join(out)


def _try(schema: Any) -> tuple[str, str]:
    """The grammar, and why it cannot be used or ""."""
    matcher = engine().LLMatcher
    try:
        grammar: str = matcher.grammar_from_json_schema(json.dumps(schema), overrides=_OPTIONS)
    except ValueError as error:
        return "", str(error)
    _, messages = matcher.validate_grammar_with_warnings(grammar)
    return grammar, messages[0] if messages else ""


def _place(schema: Any, problem: str) -> str:
    """Where a problem comes from."""
    found = "#"
    shared = {}
    if isinstance(schema, dict):
        shared = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
    for tried, (path, part) in enumerate(subschemas(schema)):
        if tried >= _TRIED:
            break
        in_shared = path.startswith(("#/$defs", "#/definitions"))
        if (
            path.startswith(found + "/")
            and _try(part if in_shared else {**shared, **part})[1] == problem
        ):
            found = path
    return found
