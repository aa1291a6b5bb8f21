# SPDX-License-Identifier: MIT
"""A chat template: messages in, prompt out.

Everything that goes wrong in a template (it refuses the conversation, it is broken, it is hostile)
is a TemplateError of one sentence with the template's line. Templates see plain JSON values only:
whatever else a caller passes is refused, because the sandbox cannot know what it could do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import CodeType
from typing import Any, TypeVar

from gristmill.errors import TemplateError

from .call_arguments import argument_forms
from .limits import Budget, LimitError, Limits, metered

_T = TypeVar("_T")
_OURS = frozenset(("messages", "tools", "documents", "add_generation_prompt"))
# strftime directives without widths: "%1000000d" would be a long line.
_DATE_FORMAT = re.compile(r"(?:[^%]|%[-_#]?[A-Za-z%])*")


class ChatTemplate:
    """A compiled chat template. Immutable; safe to share between threads.

    Args:
        source: Jinja source, as under tokenizer.chat_template.
        bos_token: What `bos_token` prints in the template.
        eos_token: What `eos_token` prints.
        limits: Bounds on one rendering.
        clock: What `strftime_now` calls the present.

    Raises:
        TemplateError: The source is no template, or too long.

    Example:
        >>> template = ChatTemplate(source, "<s>", "</s>")
        >>> template.render([{"role": "user", "content": "Hello"}])
    """

    def __init__(
        self,
        source: str,
        bos_token: str = "",
        eos_token: str = "",
        *,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.source = source
        self.bos_token = bos_token
        self.eos_token = eos_token
        self.limits = limits or Limits()
        self._clock = clock
        if len(source) > self.limits.source_chars:
            raise TemplateError(
                f"[chat template] is too long. Got {len(source)} characters,"
                f" expected at most {self.limits.source_chars}."
            )
        self._code: CodeType = _guarded(self._compile, Budget(self.limits))

    def _compile(self) -> CodeType:
        from .sandbox import compile_template

        code: CodeType = compile_template(self.source)
        return code

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt of a conversation.

        Args:
            messages: Turns with "role", "content" and whatever else the template reads. The
                arguments of "tool_calls" may be objects or their JSON texts: templates want the
                one or the other, and get what they can render.
            add_generation_prompt: End with the beginning of the assistant's turn.
            tools: JSON schemas of functions, or None.
            variables: More variables of the template, such as enable_thinking.

        Returns:
            The text; it contains the special tokens, bos often included.

        Raises:
            TemplateError: The template refuses the conversation, fails, or goes over a limit; a
                value is no JSON value; a variable has the name of one of the arguments.
        """
        forms = argument_forms(messages)
        for index, form in enumerate(forms):
            try:
                return self._render(form, add_generation_prompt, tools, variables)
            except TemplateError as error:
                if index == 0:
                    first = error
        raise first

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any] | None,
    ) -> str:
        extra = dict(variables or {})
        if clash := sorted(_OURS & extra.keys()):
            raise TemplateError(f"[chat template] variables cannot be named {', '.join(clash)}.")
        values = {
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            **extra,
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        size = _Size()
        try:
            plain = _plain(values, size)
        except RecursionError:
            raise TemplateError("[chat template] the messages are nested too deeply.") from None
        meter = Budget(self.limits, size.chars)
        return _guarded(lambda: self._run(plain, meter), meter)

    def _run(self, values: dict[str, Any], meter: Budget) -> str:
        from jinja2 import Template

        from .sandbox import environment, template_function

        env = environment()
        own = {**env.globals, "strftime_now": template_function(self._now)}
        template = Template.from_code(env, self._code, own)
        pieces = []
        for piece in template.root_render_func(template.new_context(values)):
            meter.emit(len(piece))
            pieces.append(piece)
        return "".join(pieces)

    def _now(self, form: Any) -> str:
        if not isinstance(form, str) or len(form) > 200 or not _DATE_FORMAT.fullmatch(form):
            raise LimitError(f"{form!r:.40} is no date format")
        return self._clock().strftime(form)


class _Size:
    """Counts the characters of the input."""

    chars = 0


def _plain(value: Any, size: _Size) -> Any:
    """A copy of JSON-like data made of the built-in types alone."""
    size.chars += 8
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        size.chars += len(value)
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {_plain(key, size): _plain(item, size) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, size) for item in value]
    raise TemplateError(
        f"[chat template] messages, tools and variables are JSON values. Got {type(value)!r:.80}."
    )


def _guarded(work: Callable[[], _T], meter: Budget) -> _T:
    """Runs template code; what goes wrong in it becomes a TemplateError."""
    import jinja2

    from .sandbox import RefusedError

    try:
        with metered(meter):
            return work()
    except RefusedError as error:
        problem = f"refuses the conversation: {error}"
        line = _line(error)
    except LimitError as error:
        problem, line = f"was stopped: {error}", _line(error)
    except RecursionError as error:
        problem, line = "was stopped: it is nested too deeply", _line(error)
    except MemoryError as error:
        problem, line = "was stopped: it takes too much memory", _line(error)
    except jinja2.TemplateError as error:
        problem, line = f"fails: {error.message or type(error).__name__}", _line(error)
    except Exception as error:  # noqa: BLE001 - whatever template code raises
        problem, line = f"fails: {type(error).__name__}: {error}", _line(error)
    # Outside of the handlers: the error must not keep the template's values alive.
    raise TemplateError(f"[chat template{line}] {problem:.500}")


def _line(error: BaseException) -> str:
    """', line N' of the template, where the error knows it."""
    line = getattr(error, "lineno", None)
    if isinstance(line, int) and not isinstance(error, SyntaxError):
        return f", line {line}"
    found = ""
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            found = f", line {template.get_corresponding_lineno(trace.tb_lineno)}"
        trace = trace.tb_next
    return found
