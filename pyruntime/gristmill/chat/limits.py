# SPDX-License-Identifier: MIT
"""What a chat template may cost, and the meter that stops it.

A template is stopped from inside: everything in it that can repeat or grow asks a `Budget` first.
Nothing outside is reliable: signals reach only the main thread, exceptions sent to a thread wait
for the C call in progress, and a child process per prompt costs more than the prompt. It suffices
to meter loops, calls, filters, operators and literals, because

- without loops and calls a template takes time linear in its own, bounded, length;
- no single operation is long: its result is paid for before it is made, and containers are limited
  by the length they would have when printed, so nested sharing cannot explode in one C call;
- what is paid for is never refunded, so memory in use stays below what was paid.

Time is the thread's processor time: a busy machine does not fail honest templates.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_MAX_NESTING = 100  # containers in containers
_CLOCK_EVERY = 128  # ticks between looks at the clock, which costs a system call
_CONTAINER_COST = 200  # what one takes in memory, entry in the table of sizes included
_CONTAINERS = (list, tuple, dict)
# dict.keys() and friends print all they see.
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))

_PRINTED = (*_CONTAINERS, *_VIEWS)

_clock = getattr(time, "thread_time", time.monotonic)


class LimitError(Exception):
    """A template went over a limit. Derives from nothing that Jinja catches."""


@dataclass(frozen=True)
class Limits:
    """Bounds on one rendering.

    Args:
        seconds: Processor time.
        output_chars: Length of the prompt, not counting four times the input.
        work_chars: Characters that all operations may make, not counting 16 times the input.
        calls: Depth of calls of macros in macros.
        source_chars: Length of the template itself.
    """

    seconds: float = 1.5
    output_chars: int = 1 << 23
    work_chars: int = 1 << 25
    calls: int = 100
    source_chars: int = 1 << 16


class Budget:
    """The meter of one rendering.

    Args:
        limits: What may be spent.
        input_chars: Length of the messages, tools and variables.
    """

    def __init__(self, limits: Limits, input_chars: int = 0) -> None:
        self.limits = limits
        self.depth = 0
        self._deadline = _clock() + limits.seconds
        self._ticks = _CLOCK_EVERY
        self._work = limits.work_chars + 16 * input_chars
        self._output = limits.output_chars + 4 * input_chars
        self._printed = limits.work_chars // 8 + 8 * input_chars
        # By identity; the containers are kept alive so that an identity stays theirs.
        self._sizes: dict[int, tuple[Any, int, int]] = {}

    def tick(self, cost: int = 1) -> None:
        """Pays for `cost` steps of roughly a microsecond."""
        self._ticks -= cost
        if self._ticks <= 0:
            self._ticks = _CLOCK_EVERY
            if _clock() > self._deadline:
                raise LimitError(f"it ran longer than {self.limits.seconds:g} seconds")

    def pay(self, chars: int) -> None:
        """Pays for text or items about to be made."""
        self._work -= chars
        if self._work < 0:
            raise LimitError("it makes too much text")
        self.tick(1 + (chars >> 9))

    def emit(self, chars: int) -> None:
        """Pays for a piece of the prompt."""
        self._output -= chars
        if self._output < 0:
            raise LimitError(f"the prompt is longer than {self.limits.output_chars} characters")
        self.tick()

    def admit(self, value: Any) -> Any:
        """Pays for a value just made, and checks how long it would print; returns it."""
        if isinstance(value, str):
            self.pay(len(value))
        elif isinstance(value, _CONTAINERS):
            self.printed(value)
        elif type(value) is int and value.bit_length() > MAX_BITS:
            raise LimitError("a number is too large")
        return value

    def handle(self, *values: Any) -> None:
        """Pays for the time of one pass over values that exist."""
        chars = sum(map(self.printed, values))
        if chars > self._printed:
            raise LimitError("a list or mapping is too large")
        self.tick(1 + (chars >> 7))

    def printed(self, value: Any) -> int:
        """Characters that a value takes when printed, or a little more.

        Raises:
            LimitError: That is too long, or it is nested too deeply.
        """
        return self._measure(value, 0)[0]

    def _measure(self, value: Any, level: int) -> tuple[int, int]:
        """(characters, nesting) of a value."""
        if isinstance(value, str):
            return 2 * len(value) + 4, 0
        if isinstance(value, range):
            return 8 * len(value), 1
        if not isinstance(value, _PRINTED):
            return 32, 0
        known = self._sizes.get(id(value))
        if known is not None:
            return known[1], known[2]
        chars, nesting = 4, 0
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        for part in parts:
            self.tick()
            if level > _MAX_NESTING:
                raise LimitError(f"values are nested more than {_MAX_NESTING} deep")
            size, inner = self._measure(part, level + 1)
            chars += size + 2
            nesting = max(nesting, inner)
            if chars > self._printed:
                raise LimitError("a list or mapping is too large")
        if nesting >= _MAX_NESTING:
            raise LimitError(f"values are nested more than {_MAX_NESTING} deep")
        if isinstance(value, _CONTAINERS):
            self.pay(_CONTAINER_COST + 8 * len(value))
            self._sizes[id(value)] = (value, chars, nesting + 1)
        return chars, nesting + 1


MAX_BITS = 4096  # of an integer: no operation on such numbers takes long

_current: ContextVar[Budget] = ContextVar("gristmill_template_budget")


def budget() -> Budget:
    """The meter of the rendering in progress in this thread."""
    return _current.get()


@contextmanager
def metered(meter: Budget) -> Iterator[Budget]:
    """Makes `meter` the current one."""
    token = _current.set(meter)
    try:
        yield meter
    finally:
        _current.reset(token)
