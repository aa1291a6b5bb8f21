# SPDX-License-Identifier: MIT
"""`gristmill chat`: a conversation in the terminal.

Ctrl-C ends the answer and keeps what was said; at the prompt it clears the line, and Ctrl-D
leaves. The whole conversation is rendered by the model's chat template each turn and the session
keeps the common prefix, so only new text is computed. On a terminal prompt_toolkit edits lines;
elsewhere plain input() reads them, so a script can drive the same commands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import options as o
from .output import is_dumb, is_terminal, load_model, note
from .reply import ReplyWriter, reply_parser
from .run import as_messages, describe_stats
from .sampling import constraint, sampling_params, takes_sampling

if TYPE_CHECKING:
    from gristmill.generate import Generation
    from gristmill.model import Model
    from gristmill.sampling import SamplingParams

HELP = """\
/help             this list
/reset            forget the conversation (the system message stays)
/system [TEXT]    set the system message and start anew; without TEXT: show it
/save FILE        write the conversation as JSON
/load FILE        go on from a saved conversation
/stats            how the model was loaded, and the speed of the last answer
/exit             leave (Ctrl-D does too)
Alt-Enter or a \\ at the end of a line starts a new line; Ctrl-C ends an answer."""

_ROLES = ("system", "user", "assistant")


@takes_sampling
def chat(
    ctx: typer.Context,
    *,
    model: o.Model = None,
    system: o.System = None,
    max_tokens: o.MaxTokens = -1,
    stop: o.Stop = None,
    context: o.Context = None,
    kv: o.KvCache = "f16",
    threads: o.Threads = None,
    isa: o.Isa = None,
    cache: o.Cache = True,
    stats: o.Stats = False,
    debug: o.Debug = False,
) -> int:
    """Talk with a model. /help lists the commands."""
    del debug  # main() reads it
    constrained = constraint(ctx)
    loaded = load_model(model, threads=threads, context=context, isa=isa, kv=kv, cache=cache)
    loaded.require_chat_template()
    talk = Conversation(loaded, system, None if max_tokens < 0 else max_tokens, stop or [])
    talk.sampling = sampling_params(ctx, loaded.sampling)
    talk.constrained = constrained
    talk.shows_stats = stats
    read_line = line_reader()
    if is_terminal(sys.stdin):
        note(
            f"{loaded.report.name}, {talk.session.context} tokens of context. /help lists commands."
        )
    return loop(talk, read_line)


def loop(talk: Conversation, read_line: Callable[[], str]) -> int:
    """Reads and answers until the user leaves."""
    while True:
        try:
            line = read_line().strip()
            if line.startswith("/"):
                if not talk.command(line):
                    return 0
            elif line:
                talk.answer(line)
        except EOFError:
            return 0
        except KeyboardInterrupt:
            if not is_terminal(sys.stdin):
                raise
            note("")


class Conversation:
    """The messages, the session that computes them, and the commands that change them."""

    def __init__(
        self, model: Model, system: str | None, max_tokens: int | None, stop: list[str]
    ) -> None:
        self.model = model
        self.session = model.session()
        self.system = system
        self.messages: list[dict[str, str]] = []
        self.sampling: SamplingParams | None = None
        self.constrained: dict[str, Any] = {}  # how answers are constrained
        self.shows_stats = False
        self._max_tokens = max_tokens
        self._stop = stop
        self._last: Generation | None = None

    def answer(self, text: str) -> None:
        """Adds a user's message, streams the answer and keeps it."""
        from gristmill.errors import GristmillError

        self.messages.append({"role": "user", "content": text})
        before = len(self.messages)
        writer = None
        try:
            tokens = self._fitting_prompt()
            dropped = before - len(self.messages)
            parser = reply_parser(self.model, self._all_messages())
            writer = ReplyWriter(parser)
            generation = self.session.generate(
                tokens,
                max_tokens=self._max_tokens,
                stop=self._stop,
                sampling=self.sampling,
                special=not parser.is_plain,
                **self.constrained,
            )
            with _cancel_on_interrupt(generation):
                for piece in generation:
                    writer.write(piece.text)
        except (GristmillError, KeyboardInterrupt) as error:
            if writer is not None:
                writer.end_line()
            self.messages.pop()
            if isinstance(error, KeyboardInterrupt):  # the second Ctrl-C
                raise
            note(f"gristmill: {error}")
            return
        writer.end_line()
        self._last = generation
        self.messages.append({"role": "assistant", "content": writer.content})
        if dropped:
            note("(the oldest messages no longer fit into the context and were left out)")
        if generation.finish_reason == "context":
            note("(the context is full: /reset starts anew, -c makes it larger)")
        if self.shows_stats:
            note(describe_stats(generation))

    def command(self, line: str) -> bool:
        """Runs a /command; false means leave."""
        name, _, rest = line[1:].partition(" ")
        rest = rest.strip()
        if name in ("exit", "quit", "bye"):
            return False
        if name in ("help", "?"):
            print(HELP)
        elif name in ("reset", "clear"):
            self.messages = []
        elif name == "system":
            if rest:
                self.system, self.messages = rest, []
            print(self.system if self.system is not None else "(no system message)")
        elif name in ("save", "load"):
            self._file(name, rest)
        elif name == "stats":
            print(self.model.report.describe())
            if self._last is not None:
                print(describe_stats(self._last))
        else:
            note(f"There is no command /{name}. /help lists them.")
        sys.stdout.flush()
        return True

    def _all_messages(self) -> list[dict[str, str]]:
        return as_messages(self.messages, self.system)

    def _prompt(self) -> list[int]:
        return self.model.encode(self._all_messages())

    def _fitting_prompt(self) -> list[int]:
        """The prompt's tokens; the oldest exchanges go if no room is left for an answer."""
        room = min(256, self.session.context // 4)
        tokens = self._prompt()
        while len(tokens) + room > self.session.context and len(self.messages) > 2:
            del self.messages[:2]
            tokens = self._prompt()
        return tokens

    def _file(self, command: str, name: str) -> None:
        """/save and /load; a failure is a line, not the end."""
        if not name:
            note(f"/{command} needs a file name.")
            return
        import json

        path = Path(name).expanduser()
        try:
            if command == "save":
                data = {"system": self.system, "messages": self.messages}
                path.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
                note(f"Saved {len(self.messages)} messages to {path}.")
            else:
                self.system, self.messages = parse_conversation(path.read_text(encoding="utf-8"))
                note(f"Loaded {len(self.messages)} messages from {path}.")
        except (OSError, ValueError) as error:
            note(f"gristmill: /{command} {name}: {error}")


def parse_conversation(text: str) -> tuple[str | None, list[dict[str, str]]]:
    """The system message and the messages of a saved conversation.

    Raises:
        ValueError: It is not one.
    """
    import json

    data = json.loads(text)
    if isinstance(data, list):  # a bare list of messages, as other programs write them
        data = {"system": None, "messages": data}
    if not isinstance(data, dict) or not isinstance(data.get("messages"), list):
        raise ValueError('a conversation is {"system": ..., "messages": [...]}')
    system = data.get("system")
    messages: list[dict[str, str]] = []
    for item in data["messages"]:
        role = item.get("role") if isinstance(item, dict) else None
        if role not in _ROLES or not isinstance(item.get("content"), str):
            raise ValueError(f"message {len(messages) + 1} needs a role and a text as content")
        if role == "system":
            system = item["content"]
        else:
            messages.append({"role": role, "content": item["content"]})
    if system is not None and not isinstance(system, str):
        raise ValueError("the system message must be a text")
    return system, messages


@contextmanager
def _cancel_on_interrupt(generation: Generation) -> Iterator[None]:
    """While inside, Ctrl-C ends the answer at the next token; a second one raises."""
    import signal

    def interrupt(*_: object) -> None:
        if generation.cancelled:
            raise KeyboardInterrupt
        generation.cancel()

    try:
        old = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread: no signals here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


def line_reader() -> Callable[[], str]:
    """prompt_toolkit on a terminal, plain input elsewhere."""
    if not is_terminal(sys.stdin) or not is_terminal(sys.stdout) or is_dumb():
        return _read_plain
    from .line_editor import make_reader

    return make_reader()


def _read_plain() -> str:
    """A line from stdin; a backslash at its end joins the next one."""
    prompt = ">>> " if is_terminal(sys.stdin) else ""
    lines = [input(prompt)]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input("... " if prompt else ""))
    return "\n".join(lines)
