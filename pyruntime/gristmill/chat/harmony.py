# SPDX-License-Identifier: MIT
"""Harmony, the format of gpt-oss: messages with a header that names channel and recipient.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
    <|start|>assistant to=functions.f<|channel|>commentary json<|message|>{...}<|call|>

"analysis" is reasoning, a message to a function is a call, everything else is content. A prompt
ends with <|start|>assistant, so a reply begins inside of a header.
"""

from __future__ import annotations

import json
import re

from .events import Event, PieceParser, Text, ToolCall, cut

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


class HarmonyParser(PieceParser[Event]):
    """The events of a reply, in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self._header: str | None = ""  # None inside of a message
        self._kind = "content"
        self._call = ""  # the function that the message is for
        self._body = ""

    def flush(self) -> list[Event]:
        """What was held back, now that nothing follows; an unfinished call is content."""
        held, self._held = self._held, ""
        if self._header is not None:
            text = self._header + held
            return [Text(text)] if text.strip() else []
        out: list[Event] = []
        self._add(held, out)
        self._end(out)
        return out

    def _step(self, out: list[Event]) -> bool:
        if self._header is None:
            before, marker, self._held = cut(self._held, _ENDS)
            self._add(before, out)
            if marker:
                self._end(out)
                self._header = ""
            return bool(marker)
        before, marker, self._held = cut(self._held, (_MESSAGE,))
        self._header += before
        if marker:
            self._open(self._header)
            self._header = None
        return bool(marker)

    def _open(self, header: str) -> None:
        recipient, channel = _RECIPIENT.search(header), _CHANNEL.search(header)
        self._call = recipient[1] if recipient else ""
        self._kind = "reasoning" if channel and channel[1] == "analysis" else "content"
        self._body = header + _MESSAGE if self._call else ""

    def _add(self, text: str, out: list[Event]) -> None:
        if self._call:
            self._body += text
        elif text:
            out.append(Text(text, self._kind))

    def _end(self, out: list[Event]) -> None:
        """The end of a message."""
        if self._call:
            arguments = self._body.partition(_MESSAGE)[2]
            if _is_object(arguments):
                out.append(ToolCall(self._call, arguments.strip()))
            else:
                out.append(Text(self._body))
        self._call = self._body = ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
