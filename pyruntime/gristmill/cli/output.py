# SPDX-License-Identifier: MIT
"""What reaches the terminal.

Model text goes out raw through one writer, never through rich, so "[bold]" stays what it is. On a
terminal its control characters are dropped (a model must not move the cursor or set the title);
in a pipe the bytes are exact. Rich draws tables and the progress bar, and only when used.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from gristmill.model import Model

_QUIET_SECONDS = 1.0  # loading that takes less shows nothing
_CONTROLS = {c: None for c in (*range(32), *range(127, 160)) if c not in (9, 10)}


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person may look at this stream."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def is_dumb() -> bool:
    """Whether the terminal cannot move its cursor."""
    return os.environ.get("TERM", "") in ("dumb", "unknown")


def prepare_streams() -> None:
    """Text that the terminal's encoding lacks is replaced, not an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


class TextWriter:
    """Writes streamed model text to standard output, piece by piece."""

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._filter = is_terminal(self._stream)
        self._at_line_start = True

    def write(self, text: str) -> None:
        """Writes text as it is and flushes."""
        if self._filter:
            text = text.translate(_CONTROLS)
        if text:
            self._at_line_start = text.endswith("\n")
            self._stream.write(text)
            self._stream.flush()

    def control(self, sequence: str) -> None:
        """Writes a control sequence of ours."""
        self._stream.write(sequence)

    def end_line(self) -> None:
        """Ends the line if it was begun."""
        if not self._at_line_start:
            self.write("\n")


def note(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def console() -> Console:
    """A rich console on stdout: no markup, no colours in pipes, dumb terminals or NO_COLOR."""
    from rich.console import Console

    plain = is_dumb() or not is_terminal(sys.stdout)
    return Console(
        markup=False,
        highlight=False,
        emoji=False,
        no_color=True if plain else None,
        width=None if is_terminal(sys.stdout) else 100,
        soft_wrap=not is_terminal(sys.stdout),
    )


class LoadingBar:
    """A progress bar on stderr for what takes over a second, on a terminal only.

    Args:
        what: What is done.
        counts: It is counted in pieces, not in bytes.
    """

    def __init__(self, what: str = "loading", *, counts: bool = False) -> None:
        self._what = what
        self._counts = counts
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._task: Any = None
        self._shows = is_terminal(sys.stderr) and not is_dumb()

    def __enter__(self) -> Callable[[int, int], None]:
        return self.update

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """Called with what is done and what there is in all."""
        if not self._shows or time.monotonic() - self._began < _QUIET_SECONDS:
            return
        if self._progress is None:
            from rich import progress as r
            from rich.console import Console

            self._progress = r.Progress(
                self._what,
                r.BarColumn(),
                r.MofNCompleteColumn() if self._counts else r.DownloadColumn(binary_units=True),
                r.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(self._what, total=total)
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total)


def load_model(
    path: str | None,
    *,
    threads: int | None,
    context: int | None,
    isa: str | None,
    kv: str,
    cache: bool,
    pooling: str | None = None,
) -> Model:
    """`Model.load` with a progress bar."""
    from gristmill.kv import checked
    from gristmill.model import Model

    with LoadingBar() as progress:
        return Model.load(
            path,
            threads=threads,
            context=context,
            isa=isa,
            kv=checked(kv),
            pooling=pooling,
            cache=cache,
            progress=progress,
        )
