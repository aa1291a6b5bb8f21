# SPDX-License-Identifier: MIT
"""Replies of models that think, on a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest

from gristmill.chat import ReplyParser
from gristmill.cli.reply import ReplyWriter, reply_texts

THINKS = "{{ '<think>' }}{{ '</think>' }}"
HARMONY = "<|channel|><|message|><|start|>"
PIECES = ("<th", "ink>\nTwo and", " two?\n</thi", "nk>\n\nIt is ", "4.")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, term: str = "xterm") -> str:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    writer = ReplyWriter(ReplyParser(THINKS))
    for piece in PIECES:
        writer.write(piece)
    writer.end_line()
    assert writer.content == "It is 4."
    return stream.getvalue()


def test_thoughts_are_dimmed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = written(monkeypatch, Screen())
    assert shown == "\x1b[2mTwo and two?\n\x1b[0m\nIt is 4.\n"


def test_a_dumb_terminal_gets_no_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, Screen(), term="dumb") == "Two and two?\n\nIt is 4.\n"


def test_a_pipe_gets_the_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, io.StringIO()) == "It is 4.\n"


def test_thoughts_that_do_not_end_leave_the_terminal_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    writer = ReplyWriter(ReplyParser(THINKS))
    writer.write("<think>Hm")
    writer.end_line()
    import sys

    assert isinstance(sys.stdout, Screen)
    assert sys.stdout.getvalue().endswith("Hm\n\x1b[0m\n")
    assert writer.content == ""


def test_calls_that_nobody_answers_are_shown() -> None:
    text = '<|channel|>commentary to=functions.f <|message|>{"x": 1}<|call|>'
    assert reply_texts(ReplyParser(HARMONY), text) == {"text": 'f({"x": 1})', "reasoning": ""}


def test_plain_templates_need_no_markers() -> None:
    assert ReplyParser("{{ messages }}").is_plain
    assert not ReplyParser(THINKS).is_plain
