# SPDX-License-Identifier: MIT
"""Tool calls in a reply, by the markers of the model's own chat template.

A call is reported when it is complete and well-formed. What begins like one and is none, or is not
finished when the reply ends, is text: nothing is lost. A template whose markers are not known has
no parser, and its calls stay text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import call_syntax
from .call_syntax import Schemas
from .events import Event, JsonEnd, PieceParser, Text, ToolCall, cut

_CALL = "<\uff5ctool\u2581call\u2581{}\uff5c>"
_CALLS = "<\uff5ctool\u2581calls\u2581{}\uff5c>"


@dataclass(frozen=True)
class ToolFormat:
    """Calls between markers.

    Args:
        name: The family, for people.
        start: Opens a call.
        end: Closes it.
        read: Makes calls of what is between.
        goes_on: Whether the end marker after this much is part of an argument.
        ignored: Markers around a list of calls.
    """

    name: str
    start: str
    end: str
    read: Callable[[str, Schemas], list[ToolCall] | None]
    goes_on: Callable[[str], bool]
    ignored: tuple[str, ...] = ()


_HERMES = ToolFormat(
    "Hermes", "<tool_call>", "</tool_call>", call_syntax.hermes, call_syntax.json_goes_on
)
_QWEN = ToolFormat(
    "Qwen XML", "<tool_call>", "</tool_call>", call_syntax.qwen_xml, call_syntax.xml_goes_on
)
_GEMMA = ToolFormat(
    "Gemma", "<|tool_call>", "<tool_call|>", call_syntax.gemma, call_syntax.gemma_goes_on
)
_DEEPSEEK = ToolFormat(
    "DeepSeek",
    _CALL.format("begin"),
    _CALL.format("end"),
    call_syntax.deepseek,
    call_syntax.json_goes_on,
    (_CALLS.format("begin"), _CALLS.format("end")),
)


def tool_parser(
    source: str, tools: Sequence[Mapping[str, Any]] | None = None
) -> PieceParser[Event] | None:
    """The parser for a template (its source), or None if its calls are not known.

    Args:
        source: The template.
        tools: The functions of the request; their schemas tell texts from numbers in XML.
    """
    schemas = schemas_of(tools or ())
    if "<arg_key>" in source or "DSML" in source:  # GLM, DeepSeek V3.2: other forms
        return None
    if "[TOOL_CALLS]" in source:
        return MistralParser()
    if _DEEPSEEK.start in source:
        return DelimitedParser(_DEEPSEEK, schemas)
    if _GEMMA.start in source:
        return DelimitedParser(_GEMMA, schemas)
    if "<tool_call>" in source:
        form = _QWEN if "<function=" in source and "<parameter=" in source else _HERMES
        return DelimitedParser(form, schemas)
    if "<|python_tag|>" in source or ('{"name":' in source and '"parameters":' in source):
        return LlamaParser()
    return None


def schemas_of(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Function -> the JSON schema of its parameters."""
    found = {}
    for tool in tools:
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and isinstance(function.get("parameters"), Mapping):
            found[str(function.get("name"))] = function["parameters"]
    return found


class DelimitedParser(PieceParser[Event]):
    """Calls between a start and an end marker."""

    def __init__(self, form: ToolFormat, schemas: Schemas) -> None:
        super().__init__()
        self._form = form
        self._schemas = schemas
        self._body: str | None = None  # of the call that is open
        self._blank = ""  # dropped if a call follows
        self._called = False

    def flush(self) -> list[Event]:
        """What was held back; an unfinished call is text."""
        text = self._held if self._body is None else self._form.start + self._body + self._held
        text = self._blank + text
        self._held, self._body, self._blank = "", None, ""
        return [Text(text)] if text.strip() or (text and not self._called) else []

    def _step(self, out: list[Event]) -> bool:
        form = self._form
        if self._body is not None:
            before, marker, self._held = cut(self._held, (form.end,))
            self._body += before
            if marker:
                self._close(out)
            return bool(marker)
        before, marker, self._held = cut(self._held, (form.start, *form.ignored))
        text = self._blank + before
        kept = text.rstrip()  # blanks around calls belong to them
        if kept:
            out.append(Text(kept))
        self._blank = text[len(kept) :]
        if marker == form.start:
            self._body = ""
        return bool(marker)

    def _close(self, out: list[Event]) -> None:
        """An end marker: the call's, or part of a text in it."""
        form, body = self._form, self._body or ""
        calls = form.read(body, self._schemas)
        if calls is None and form.goes_on(body):
            self._body = body + form.end
            return
        self._body = None
        self._called = self._called or calls is not None
        out += [Text(self._blank + form.start + body + form.end)] if calls is None else calls
        self._blank = ""


class MistralParser(PieceParser[Event]):
    """[TOOL_CALLS][{...}, ...] or [TOOL_CALLS]name[ARGS]{...}, the latter once per call."""

    _START = "[TOOL_CALLS]"
    _ARGS = "[ARGS]"

    def __init__(self) -> None:
        super().__init__()
        self._body: str | None = None  # what follows the marker
        self._end = JsonEnd()
        self._scanned = 0

    def flush(self) -> list[Event]:
        """What was held back; an unfinished call is text."""
        text = self._held if self._body is None else self._START + self._held
        self._held, self._body = "", None
        return [Text(text)] if text else []

    def _step(self, out: list[Event]) -> bool:
        if self._body is None:
            before, marker, self._held = cut(self._held, (self._START,))
            if before:
                out.append(Text(before))
            if marker:
                self._body, self._end, self._scanned = "", JsonEnd(), 0
            return bool(marker)
        return self._call(out)

    def _call(self, out: list[Event]) -> bool:
        """The text after the marker: a list, or a name and arguments."""
        body = self._held
        if not body.strip():
            return False
        start = 0
        if body.lstrip()[0] != "[":
            head, marker, _ = cut(body, (self._ARGS, self._START))
            if marker == self._START:  # the first one was text
                out.append(Text(self._START + head))
                self._held = body[len(head) + len(marker) :]
            if marker != self._ARGS:
                return bool(marker)
            start = len(head) + len(marker)
        self._scanned = max(self._scanned, start)
        size = self._end.feed(body[self._scanned :])
        if size < 0:
            self._scanned = len(body)
            return False
        end = self._scanned + size
        calls = self._read(body[:start], body[start:end])
        out += [Text(self._START + body[:end])] if calls is None else calls
        self._held, self._body = body[end:], None
        return True

    def _read(self, head: str, value: str) -> list[ToolCall] | None:
        parsed = call_syntax.parse_json(value)
        if head:
            name = head.removesuffix(self._ARGS).partition("[CALL_ID]")[0].strip()
            good = name and isinstance(parsed, dict)
            return [ToolCall(name, value.strip())] if good else None
        if not isinstance(parsed, list) or not parsed:
            return None
        calls = [call_syntax.from_object(item) for item in parsed]
        known = [call for call in calls if call is not None]
        return known if len(known) == len(calls) else None


class LlamaParser(PieceParser[Event]):
    """A reply that is {"name": ..., "parameters": {...}}, or several with ";" between."""

    _TAG = "<|python_tag|>"

    def __init__(self) -> None:
        super().__init__()
        self._is_text = False  # the reply is no call
        self._end = JsonEnd()
        self._scanned = 0

    def feed(self, text: str) -> list[Event]:
        """What is certain now."""
        out = super().feed(text)
        if self._is_text and self._held:
            out.append(Text(self._held))
            self._held = ""
        return out

    def flush(self) -> list[Event]:
        """What was held back; an unfinished call is text."""
        text, self._held = self._held, ""
        return [Text(text)] if text.strip() else []

    def _step(self, out: list[Event]) -> bool:
        if self._is_text:
            return False
        body = self._held.lstrip(" \t\r\n;")
        if body.startswith(self._TAG):
            body = body[len(self._TAG) :].lstrip()
        elif not body or self._TAG.startswith(body):
            return False
        if not body:
            return False
        if body[0] != "{":
            self._is_text = True
            return False
        start = len(self._held) - len(body)
        self._scanned = max(self._scanned, start)
        size = self._end.feed(self._held[self._scanned :])
        if size < 0:
            self._scanned = len(self._held)
            return False
        end = self._scanned + size
        call = call_syntax.from_object(call_syntax.parse_json(self._held[start:end]))
        if call is None:
            self._is_text = True
            return False
        out.append(call)
        self._held, self._end, self._scanned = self._held[end:], JsonEnd(), 0
        return True
