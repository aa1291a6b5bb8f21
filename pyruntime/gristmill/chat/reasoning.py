# SPDX-License-Identifier: MIT
"""Reasoning: the part of a reply that comes before its answer, between a template's own markers.

A template that has the markers says that its model thinks; a prompt that ends with the opening one
says that the reply begins inside. Markers that are plain text (`<think>`) count at the start of a
reply only, where models put them: an answer may speak of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from .events import PieceParser, Text, cut


@dataclass(frozen=True)
class ReasoningFormat:
    """How a model writes its reasoning.

    Args:
        start: The marker that opens it.
        end: The marker that closes it.
        anywhere: It may come more than once, not only at the start.
    """

    start: str
    end: str
    anywhere: bool = False


_FORMATS = (
    ReasoningFormat("[THINK]", "[/THINK]", anywhere=True),  # Mistral
    ReasoningFormat("<|channel>thought\n", "<channel|>", anywhere=True),  # Gemma 4
    ReasoningFormat("<|START_THINKING|>", "<|END_THINKING|>", anywhere=True),  # Command
    ReasoningFormat("<seed:think>", "</seed:think>"),
    ReasoningFormat("<think>", "</think>"),  # DeepSeek, Qwen, Hermes and most others
)


def reasoning_format(source: str) -> ReasoningFormat | None:
    """The format that a template (its source) has, or None."""
    for form in _FORMATS:
        if form.start in source.replace("\\n", "\n") and form.end in source:
            return form
    # Templates that only take the reasoning out of older turns name the closing marker alone.
    return _FORMATS[-1] if "</think>" in source else None


class ReasoningParser(PieceParser[Text]):
    """Tells reasoning from content, in pieces.

    Args:
        form: The model's format.
        opened: The prompt ends inside of the reasoning (see `opens`).
    """

    def __init__(self, form: ReasoningFormat, opened: bool = False) -> None:
        super().__init__()
        self._form = form
        self._inside = opened
        self._begun = False  # whether the present part has text that is not blank
        self._seen = opened  # whether there was reasoning

    def flush(self) -> list[Text]:
        """What was held back, now that nothing follows. Reasoning that was not closed stays one."""
        held, self._held = self._held, ""
        if self._inside:
            return self._reasoning(held.rstrip())
        return [Text(held)] if held else []

    def _step(self, out: list[Text]) -> bool:
        if self._inside:
            before, marker, rest = cut(self._held, (self._form.end,))
            kept = before if marker else before[: len(before.rstrip())]
            out += self._reasoning(kept.rstrip() if marker else kept)
            self._held = rest if marker else before[len(kept) :] + rest
            if marker:
                self._inside, self._begun = False, False
            return bool(marker)
        if not self._begun:
            return self._begin(out)
        markers = (self._form.start,) if self._form.anywhere else ()
        before, marker, self._held = cut(self._held, markers)
        if before:
            out.append(Text(before))
        self._open(marker)
        return bool(marker)

    def _begin(self, out: list[Text]) -> bool:
        """At the start of content: a marker, or text."""
        start = self._form.start
        body = self._held.lstrip()
        may_open = self._form.anywhere or not self._seen
        if may_open and body.startswith(start):
            self._held = body[len(start) :]
            self._open(start)
            return True
        if not body or (may_open and start.startswith(body)):
            return False
        if self._seen:  # blanks between reasoning and answer belong to neither
            self._held = body
        self._begun = True
        return True

    def _open(self, marker: str) -> None:
        if marker:
            self._inside, self._seen, self._begun = True, True, False

    def _reasoning(self, text: str) -> list[Text]:
        if not self._begun:
            text = text.lstrip()
        self._begun = self._begun or bool(text)
        return [Text(text, "reasoning")] if text else []


def opens(form: ReasoningFormat, prompt: str) -> bool:
    """Whether a prompt ends inside of the reasoning."""
    tail = prompt.rstrip()
    return tail.endswith(form.start.rstrip())
