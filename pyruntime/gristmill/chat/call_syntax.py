# SPDX-License-Identifier: MIT
"""What stands between the markers of a tool call, family by family.

Each function reads the whole text of a call and returns its calls, or None if it is none. A call
that is malformed becomes text, so nothing here raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .events import ToolCall

Schemas = Mapping[str, Mapping[str, Any]]  # function -> its parameters' JSON schema


def parse_json(text: str) -> Any:
    """The JSON value of a text, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def from_object(value: Any) -> ToolCall | None:
    """{"name": ..., "arguments" or "parameters": {...}}, arguments as an object or its text."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = parse_json(arguments)
    if not isinstance(arguments, dict):
        return None
    return ToolCall(value["name"], json.dumps(arguments, ensure_ascii=False))


def hermes(body: str, schemas: Schemas) -> list[ToolCall] | None:
    """One JSON object."""
    del schemas
    call = from_object(parse_json(body))
    return None if call is None else [call]


_FUNCTION = re.compile(r"\s*<function=([^>\s]+)\s*>(.*)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(
    r"\s*<parameter=([^>\s]+)\s*>\n?(.*?)\n?</parameter>(?=\s*(?:<parameter=|$))", re.DOTALL
)


def qwen_xml(body: str, schemas: Schemas) -> list[ToolCall] | None:
    """<function=f><parameter=x>value</parameter></function>; values are texts.

    A value is JSON where the function's schema does not say that it is a string.
    """
    function = _FUNCTION.fullmatch(body)
    if function is None:
        return None
    name, inside = function.groups()
    properties = schemas.get(name, {}).get("properties", {})
    arguments: dict[str, Any] = {}
    at = 0
    for found in _PARAMETER.finditer(inside):
        if found.start() != at:
            return None
        at = found.end()
        key, value = found.groups()
        schema = properties.get(key) if isinstance(properties, Mapping) else None
        kind = schema.get("type", "string") if isinstance(schema, Mapping) else "string"
        arguments[key] = value if kind == "string" else _from_xml(value, kind)
    if inside[at:].strip():
        return None
    return [ToolCall(name, json.dumps(arguments, ensure_ascii=False))]


def _from_xml(value: str, kind: object) -> Any:
    """A value that is no string; templates write true as Python does, too."""
    if kind == "boolean" and value in ("True", "False"):
        return value == "True"
    parsed = parse_json(value)
    return value if parsed is None and value != "null" else parsed


def xml_goes_on(body: str) -> bool:
    """Whether an end marker is part of a parameter."""
    return body.lstrip().startswith("<function=") and not body.rstrip().endswith("</function>")


def json_goes_on(body: str) -> bool:
    """Whether an end marker is part of a text in the JSON."""
    try:
        json.loads(body[max(body.find("{"), 0) :])
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated string")
    except RecursionError:
        return False
    return False


def gemma_goes_on(body: str) -> bool:
    """Whether an end marker is part of a text."""
    return body.count(_GEMMA_TEXT) % 2 == 1


def deepseek(body: str, schemas: Schemas) -> list[ToolCall] | None:
    """NAME<sep>{...} (V3.1), or function<sep>NAME and a block of JSON (R1, V3)."""
    del schemas
    left, _, right = body.partition("<\uff5ctool\u2581sep\uff5c>")
    name, _, rest = right.partition("\n")
    fenced = re.fullmatch(r"\s*```json\n(.*)\n?```\s*", rest, re.DOTALL)
    text = right if fenced is None else fenced[1]
    name = (left if fenced is None else name).strip()
    arguments = parse_json(text)
    if not name or not isinstance(arguments, dict):
        return None
    return [ToolCall(name, text.strip())]


_GEMMA_TEXT = '<|"|>'
_GEMMA_KEY = re.compile(r"\s*([\w.$-]+)\s*:")
_GEMMA_PLAIN = re.compile(r"\s*(true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")


def gemma(body: str, schemas: Schemas) -> list[ToolCall] | None:
    """call:NAME{key:value,...} with texts between <|"|>."""
    del schemas
    found = re.match(r"\s*call:([^{\s]+)\s*", body)
    if found is None:
        return None
    try:
        value, at = _gemma_value(body, found.end(), 0)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or body[at:].strip():
        return None
    return [ToolCall(found[1], json.dumps(value, ensure_ascii=False))]


def _gemma_value(text: str, at: int, depth: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends. Raises ValueError."""
    if depth > 100:
        raise ValueError
    at += len(text[at:]) - len(text[at:].lstrip())
    if text.startswith(_GEMMA_TEXT, at):
        start = at + len(_GEMMA_TEXT)
        end = text.index(_GEMMA_TEXT, start)
        return text[start:end], end + len(_GEMMA_TEXT)
    if text[at : at + 1] in ("{", "["):
        return _gemma_items(text, at, depth)
    plain = _GEMMA_PLAIN.match(text, at)
    if plain is None:
        raise ValueError
    return json.loads(plain[1]), plain.end()


def _gemma_items(text: str, at: int, depth: int) -> tuple[Any, int]:
    """An object or a list."""
    close = "}" if text[at] == "{" else "]"
    keys: list[str] = []
    values: list[Any] = []
    at += 1
    while True:
        at += len(text[at:]) - len(text[at:].lstrip())
        if text.startswith(close, at) and not values:
            break
        if close == "}":
            key = _GEMMA_KEY.match(text, at)
            if key is not None:
                keys.append(key[1])
                at = key.end()
            else:
                name, at = _gemma_value(text, at, depth + 1)
                keys.append(str(name))
                at = text.index(":", at) + 1
        value, at = _gemma_value(text, at, depth + 1)
        values.append(value)
        at += len(text[at:]) - len(text[at:].lstrip())
        if text.startswith(close, at):
            break
        if not text.startswith(",", at):
            raise ValueError
        at += 1
    return (dict(zip(keys, values, strict=True)) if close == "}" else values), at + 1
