# SPDX-License-Identifier: MIT
"""A reply in the terminal: the answer as it comes, and before it, dimmed, what the model thought.

In a pipe there is the answer alone.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .output import TextWriter, is_dumb, is_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gristmill.chat import ReplyParser, Text
    from gristmill.chat.events import Event
    from gristmill.model import Model

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def reply_parser(model: Model, messages: Sequence[Mapping[str, str]]) -> ReplyParser:
    """The parser of the reply to messages.

    Raises:
        UnsupportedError: The model has no chat template.
        TemplateError: The template refuses the messages.
    """
    from gristmill.chat import ReplyParser

    template = model.require_chat_template()
    prompt = template.render([dict(message) for message in messages], add_generation_prompt=True)
    return ReplyParser(template.source, prompt)


def reply_texts(parser: ReplyParser, text: str) -> dict[str, str]:
    """A whole reply as "text", the answer, and "reasoning"."""
    found = {"text": "", "reasoning": ""}
    for part in map(_as_text, [*parser.feed(text), *parser.flush()]):
        found["reasoning" if part.kind == "reasoning" else "text"] += part.text
    return found


def _as_text(event: Event) -> Text:
    """Nobody here can answer a call: it is shown."""
    from gristmill.chat import Text

    return event if isinstance(event, Text) else Text(f"{event.name}({event.arguments})")


class ReplyWriter:
    """Writes one reply to standard output, piece by piece.

    Attributes:
        content: The answer so far, without what was thought.
    """

    def __init__(self, parser: ReplyParser) -> None:
        self.content = ""
        self._parser = parser
        self._writer = TextWriter()
        self._shows_reasoning = is_terminal(sys.stdout)
        self._dims = self._shows_reasoning and not is_dumb() and not os.environ.get("NO_COLOR")
        self._thinking = False

    def write(self, text: str) -> None:
        """Shows what is certain now."""
        self._show(self._parser.feed(text))

    def end_line(self) -> None:
        """Shows what was held back, and ends the line if it was begun."""
        self._show(self._parser.flush())
        self._think(False)
        self._writer.end_line()

    def _show(self, events: Sequence[Event]) -> None:
        for part in map(_as_text, events):
            thought = part.kind == "reasoning"
            if not thought:
                self.content += part.text
            if not thought or self._shows_reasoning:
                self._think(thought)
                self._writer.write(part.text)

    def _think(self, thinking: bool) -> None:
        if thinking == self._thinking:
            return
        self._thinking = thinking
        if not thinking:
            self._writer.end_line()
        if self._dims:
            self._writer.control(_DIM if thinking else _PLAIN)
        if not thinking:
            self._writer.write("\n")
