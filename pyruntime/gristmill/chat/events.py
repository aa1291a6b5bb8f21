# SPDX-License-Identifier: MIT
"""What a reply consists of, and how markers are found in a text that comes in pieces.

Whatever the pieces, the same events come out once neighbouring texts are joined: a decision is
taken only at a complete marker, and what may still become one is held back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..stop_strings import begun


@dataclass(frozen=True)
class Text:
    """Text of a reply; `kind` is "content", or "reasoning" for what is thought before it."""

    text: str
    kind: str = "content"


@dataclass(frozen=True)
class ToolCall:
    """A call of a function; `arguments` is the text of a JSON object."""

    name: str
    arguments: str


Event = Text | ToolCall
E = TypeVar("E")


def joined(events: Iterable[Event]) -> list[Event]:
    """The events with neighbouring texts of one kind as one, and no empty ones."""
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, Text):
            if not event.text:
                continue
            if isinstance(last, Text) and last.kind == event.kind:
                out[-1] = Text(last.text + event.text, event.kind)
                continue
        out.append(event)
    return out


def cut(text: str, markers: Sequence[str]) -> tuple[str, str, str]:
    """Cuts a text at the first marker.

    Returns:
        The text before it, the marker, the text after it. Without a marker: the text that is
        certain, "", and the end that may become a marker.
    """
    found = [(text.index(marker), -len(marker), marker) for marker in markers if marker in text]
    if found:
        at, _, marker = min(found)
        return text[:at], marker, text[at + len(marker) :]
    held = max((begun(text, marker) for marker in markers), default=0)
    return text[: len(text) - held], "", text[len(text) - held :]


class PieceParser(ABC, Generic[E]):
    """Takes a text that comes in pieces apart, decision by decision."""

    def __init__(self) -> None:
        self._held = ""  # what is not decided yet

    def feed(self, text: str) -> list[E]:
        """What is certain now."""
        self._held += text
        out: list[E] = []
        while self._step(out):
            pass
        return out

    @abstractmethod
    def flush(self) -> list[E]:
        """What was held back, now that nothing follows."""

    @abstractmethod
    def _step(self, out: list[E]) -> bool:
        """Takes one decision; false if more text is needed for the next."""


class JsonEnd:
    """Finds where a JSON object or array ends, character by character."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = self._escaped = False

    def feed(self, text: str) -> int:
        """How many characters of the text belong to the value if it ends in it, else -1."""
        for at, c in enumerate(text):
            if self._in_text:
                if self._escaped:
                    self._escaped = False
                elif c == "\\":
                    self._escaped = True
                elif c == '"':
                    self._in_text = False
            elif c == '"':
                self._in_text = True
            elif c in "[{":
                self._depth += 1
            elif c in "]}":
                self._depth -= 1
                if self._depth <= 0:
                    return at + 1
        return -1
