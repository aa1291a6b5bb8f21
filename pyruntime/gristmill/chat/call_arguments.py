# SPDX-License-Identifier: MIT
"""Arguments of tool calls in messages: an object, or its JSON text as in OpenAI's interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]


def argument_forms(messages: Messages) -> list[Messages]:
    """The messages as templates may want them: arguments as objects, then as texts."""
    items: Sequence[Any] = messages
    if not any(isinstance(item, Mapping) and item.get("tool_calls") for item in items):
        return [messages]
    return [[_changed(item, change) for item in items] for change in (_as_object, _as_text)]


def _changed(message: Any, change: Callable[[Any], Any]) -> Any:
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    if not isinstance(calls, (list, tuple)):
        return message
    return {**message, "tool_calls": [_call(call, change) for call in calls]}


def _call(call: Any, change: Callable[[Any], Any]) -> Any:
    if not isinstance(call, Mapping):
        return call
    if isinstance(call.get("function"), Mapping):
        return {**call, "function": _call(call["function"], change)}
    return {**call, "arguments": change(call["arguments"])} if "arguments" in call else call


def _as_object(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments


def _as_text(arguments: Any) -> Any:
    if not isinstance(arguments, Mapping):
        return arguments
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return arguments
