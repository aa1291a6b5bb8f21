# SPDX-License-Identifier: MIT
"""The command line as people and pipes meet it: a child process, with or without a terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time

_ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
COMMAND = [sys.executable, "-m", "gristmill"]


def environment(**changes: str) -> dict[str, str]:
    """This environment without what would change the command's behaviour."""
    dropped = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "GRISTMILL_ISA", "GRISTMILL_DEBUG"}
    return {k: v for k, v in os.environ.items() if k not in dropped} | {"TERM": "xterm"} | changes


def run(
    *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs `gristmill ARGUMENTS` with pipes."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        env=env or environment(),
        timeout=120,
        check=False,
    )


def one_sentence(stderr: bytes) -> str:
    """The error, checked to be one line of the right form and no traceback."""
    text = stderr.decode()
    assert text.startswith("gristmill: "), text
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text.strip()


class Terminal:
    """`gristmill ARGUMENTS` on a pseudo-terminal."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        import pty

        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            # A background job, which the tests may be, ignores Ctrl-C, and so would its children.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvpe(COMMAND[0], [*COMMAND, *arguments], env)
        self.raw = ""
        self.output = ""  # what is not yet expected, without escape sequences

    def send(self, text: str) -> None:
        """Types this."""
        os.write(self._fd, text.encode())

    def expect(self, pattern: str, seconds: float = 60) -> str:
        """Waits for a pattern in what is shown from here on; returns what came up to its end."""
        deadline = time.monotonic() + seconds
        while (match := re.search(pattern, self.output, re.DOTALL)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.output!r}"
            if not self._read(left):
                raise AssertionError(f"ended without {pattern!r}: {self.output!r}")
        shown = self.output[: match.end()]
        self.output = self.output[match.end() :]
        return shown

    def end(self, seconds: float = 60) -> int:
        """Waits for the end; returns the exit code (minus the signal's number if killed)."""
        deadline = time.monotonic() + seconds
        while self._read(max(0.1, deadline - time.monotonic())):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, seconds: float) -> bool:
        """Takes what is there; false at the end."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        text = data.decode(errors="replace")
        self.raw += text
        self.output += _ESCAPES.sub("", text)
        return bool(data)
