# SPDX-License-Identifier: MIT
"""A reply taken apart as it comes: reasoning, content, tool calls.

What to look for is read from the chat template. The text must hold the control tokens
(`generate(..., special=True)`), because many markers are such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .events import Event, Text
from .harmony import HarmonyParser
from .reasoning import ReasoningParser, opens, reasoning_format
from .tools import tool_parser


class ReplyParser:
    """The events of one reply.

    Args:
        source: The chat template.
        prompt: The rendered prompt, which may end inside of the reasoning.
        tools: The functions of the request; None: calls are not looked for, except in Harmony,
            whose messages say what they are.

    Example:
        >>> parser = ReplyParser(template.source, prompt, tools)
        >>> for piece in session.generate(prompt, special=True):
        ...     for event in parser.feed(piece.text):
        ...         print(event)
        >>> parser.flush()
    """

    def __init__(
        self, source: str, prompt: str = "", tools: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        self._harmony = HarmonyParser() if _is_harmony(source) else None
        form = reasoning_format(source)
        self._reasoning = None if form is None else ReasoningParser(form, opens(form, prompt))
        self._tools = tool_parser(source, tools) if tools else None

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to look for: all text is content."""
        return self._harmony is None and self._reasoning is None and self._tools is None

    def feed(self, text: str) -> list[Event]:
        """What is certain now."""
        if self._harmony is not None:
            return self._harmony.feed(text)
        return self._calls([Text(text)] if self._reasoning is None else self._reasoning.feed(text))

    def flush(self) -> list[Event]:
        """What was held back, now that nothing follows."""
        if self._harmony is not None:
            return self._harmony.flush()
        out = self._calls([] if self._reasoning is None else self._reasoning.flush())
        return out + ([] if self._tools is None else self._tools.flush())

    def _calls(self, texts: Sequence[Text]) -> list[Event]:
        out: list[Event] = []
        for text in texts:
            if text.kind != "content" or self._tools is None:
                out.append(text)
            elif text.text:
                out += self._tools.feed(text.text)
        return out


def _is_harmony(source: str) -> bool:
    return all(mark in source for mark in ("<|channel|>", "<|message|>", "<|start|>"))
