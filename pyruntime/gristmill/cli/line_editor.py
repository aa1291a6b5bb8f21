# SPDX-License-Identifier: MIT
"""The chat prompt on a terminal: history across runs, several lines by Alt-Enter or a backslash.

prompt_toolkit is imported here and nowhere else. A history file that cannot be written costs the
history, not the conversation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

_COMMANDS = ["/help", "/reset", "/system", "/save", "/load", "/stats", "/exit"]


def make_reader() -> Callable[[], str]:
    """A function that reads one message; EOFError and KeyboardInterrupt as input() does."""
    keys = KeyBindings()

    @keys.add("enter")
    def _accept(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        message=">>> ",
        multiline=True,
        prompt_continuation="... ",
        history=_history(),
        key_bindings=keys,
        completer=WordCompleter(_COMMANDS, sentence=True),
        complete_while_typing=False,
        enable_open_in_editor=False,
    )
    return session.prompt


def state_folder() -> Path:
    """Where this user's programs keep state, such as histories."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "gristmill"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "gristmill"


def _history() -> History:
    try:
        folder = state_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "history"
        path.touch(mode=0o600)
        if os.access(path, os.R_OK | os.W_OK):
            return FileHistory(str(path))
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        pass
    return InMemoryHistory()
