# SPDX-License-Identifier: MIT
"""`gristmill chat` driven by a script, on a dumb terminal, and on a real one with Ctrl-C."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from terminal import Terminal, environment, run

from gristmill.cli.chat import parse_conversation

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
OPTIONS = ("--temp", "0", "-n", "24")


def test_a_script_talks_through_a_pipe(tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    script = (
        f"Hello\n/save {saved}\nHow are\\\nyou?\n/stats\n/reset\n/save {saved}2\n/exit\nnever\n"
    )
    done = run("chat", *OPTIONS, stdin=script.encode())
    assert done.returncode == 0, done.stderr
    data = json.loads(saved.read_text())
    roles = [message["role"] for message in data["messages"]]
    assert roles == ["user", "assistant"]
    answer = data["messages"][1]["content"]
    assert done.stdout.decode().startswith(answer)
    assert "kernels" in done.stdout.decode()
    assert json.loads(Path(f"{saved}2").read_text())["messages"] == []
    assert b"\x1b" not in done.stdout
    again = run("chat", *OPTIONS, stdin=f"/load {saved}\n/save {saved}3\n".encode())
    assert again.returncode == 0
    assert json.loads(Path(f"{saved}3").read_text()) == data


def test_a_conversation_longer_than_the_context_loses_its_beginning() -> None:
    script = "Tell me a story about a dog and a cat.\n" * 6
    done = run("chat", "--temp", "0", "-c", "128", "-n", "30", stdin=script.encode())
    assert done.returncode == 0, done.stderr
    assert b"oldest messages" in done.stderr


def test_mistakes_do_not_end_the_conversation(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"messages": [{"role": "robot"}]}')
    script = (
        f"/nonsense\n/load {tmp_path}/nothing.json\n/load {tmp_path}/bad.json\n/save\n"
        f"/save /no/such/folder/x\n{'word ' * 2000}\n/help\n"
    )
    done = run("chat", stdin=script.encode())
    assert done.returncode == 0
    errors = done.stderr.decode()
    for words in ("no command /nonsense", "nothing.json", "message 1 needs", "needs a file name"):
        assert words in errors
    assert "does not fit" in errors
    assert "Traceback" not in errors
    assert "/reset" in done.stdout.decode()


@pytest.mark.parametrize(
    "text", ["{", "3", '{"messages": 3}', '[{"role": "user"}]', '{"messages": [], "system": 3}']
)
def test_files_that_are_no_conversations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_conversation(text)


def test_bare_message_lists_are_conversations_too() -> None:
    text = '[{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]'
    assert parse_conversation(text) == ("S", [{"role": "user", "content": "U"}])


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_ctrl_c_ends_the_answer_and_ctrl_d_the_program(tmp_path: Path, term: str) -> None:
    env = environment(TERM=term, XDG_STATE_HOME=str(tmp_path), PROMPT_TOOLKIT_NO_CPR="1")
    terminal = Terminal("chat", "--temp", "1.5", "--stats", env=env)
    terminal.expect("/help lists commands")
    terminal.expect(">>>")
    terminal.send("Tell me a very long story about a dragon.\r")
    terminal.expect("dragon.*?\n.*?[a-z]{2,}")
    terminal.send("\x03")
    shown = terminal.expect("ended by [a-z]+")
    assert shown.endswith(("ended by cancelled", "ended by stop"))
    terminal.expect(">>>")
    time.sleep(0.3)  # Python's input() misses a signal between the prompt and its read
    terminal.send("\x03")  # at the prompt it clears the line
    terminal.expect(">>>")
    terminal.send("/stats\r")
    terminal.expect("kernels")
    terminal.expect(">>>")
    terminal.send("\x04")
    assert terminal.end() == 0
    if term == "xterm":
        assert "dragon" in (tmp_path / "gristmill" / "history").read_text()
    else:
        assert "\x1b" not in terminal.raw


def test_several_lines_by_alt_enter_and_backslash(tmp_path: Path) -> None:
    env = environment(XDG_STATE_HOME=str(tmp_path), PROMPT_TOOLKIT_NO_CPR="1")
    terminal = Terminal("chat", *OPTIONS, env=env)
    terminal.expect(">>>")
    terminal.send("first\x1b\rsecond\\\rthird\r")
    terminal.expect("third.*>>>")
    terminal.send(f"/save {tmp_path}/talk.json\r")
    terminal.expect("Saved 2 messages.*>>>")
    terminal.send("\x04")
    assert terminal.end() == 0
    messages = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert messages[0]["content"] == "first\nsecond\nthird"


def test_ctrl_c_outside_an_answer_is_130() -> None:
    terminal = Terminal("run", "-", env=environment())
    terminal.expect("", 5)
    time.sleep(1.0)  # it waits for the prompt on its standard input
    terminal.send("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.output
