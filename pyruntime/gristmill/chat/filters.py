# SPDX-License-Identifier: MIT
"""The filters and string methods that chat templates may use, each paid for before it works.

An allow list: what is not here is refused by name. A filter whose result is not longer than its
input runs as Jinja has it and pays afterwards; one that can grow its input (replace, center,
indent, join, ...) is priced first.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import Environment, filters, pass_environment, tests

from .limits import LimitError, budget


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


_NO_GROWTH = (
    "abs", "attr", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first",
    "float", "groupby", "int", "items", "last", "length", "list", "lower", "map", "max", "min",
    "reject", "rejectattr", "reverse", "safe", "select", "selectattr", "sort", "string", "title",
    "trim", "truncate", "unique", "upper", "wordcount",
)  # fmt: skip
STR_METHODS = _words(
    "capitalize casefold center count endswith find format format_map index isalnum isalpha"
    " isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper"
    " join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex rjust"
    " rpartition rsplit rstrip split splitlines startswith strip swapcase title upper zfill"
)
_COMPARING = _words("== != < > <= >= eq ne lt gt le ge equalto greaterthan lessthan in divisibleby")
_LONG_NUMBER = re.compile(r"[0-9]{5}")
_WIDTH_FROM_VALUES = re.compile(r"%[-#0 +]*[0-9]*\.?\*")
_MAX_ITEMS = 100_000


def width(value: Any) -> int:
    """A column count or an item count, within reason."""
    number = int(value)
    if not -_MAX_ITEMS <= number <= _MAX_ITEMS:
        raise LimitError("a width or count is too large")
    return number


def pay_for_replace(text: str, old: str, new: str, count: int = -1) -> None:
    """Prices text.replace(old, new, count)."""
    budget().pay(len(text))
    found = text.count(old)
    found = min(found, count) if count >= 0 else found
    budget().pay(max(0, found * (len(new) - len(old))))


def percent(text: str, values: Any) -> str:
    """text % values."""
    specs = text.count("%")
    after_first = text[text.find("%") :] if specs else ""
    if _LONG_NUMBER.search(after_first) or _WIDTH_FROM_VALUES.search(after_first):
        raise LimitError("a width is too large")
    repeats = specs if isinstance(values, dict) else 1
    budget().pay(len(text) + 9999 * specs + repeats * budget().printed(values))
    result: str = text % values
    return result


def joined(separator: str, items: Iterable[Any], convert: Callable[[Any], str] = str) -> str:
    """separator.join(items), each item made a text by `convert`."""
    meter = budget()
    texts = []
    for item in items:
        text = convert(item)
        meter.pay(len(text) + len(separator))
        texts.append(text)
    return separator.join(texts)


def only_text(item: Any) -> str:
    """The item itself, if it is text."""
    if not isinstance(item, str):
        raise TypeError(f"join takes text, not {type(item).__name__}")
    return item


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        meter = budget()
        meter.handle(*args, *kwargs.values())
        return meter.admit(function(*args, **kwargs))

    return wrapper


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old, new = str(value), str(old), str(new)
    times = -1 if count is None else int(count)
    pay_for_replace(text, old, new, times)
    return text.replace(old, new, times)


def _center(value: Any, width_: int = 80) -> str:
    text = str(value)
    budget().pay(len(text) + width(width_))
    return text.center(width(width_))


def _indent(value: Any, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    text = str(value)
    columns = len(width) if isinstance(width, str) else _width(width)
    budget().pay(len(text) + (text.count("\n") + 2) * max(columns, 0))
    return filters.do_indent(text, width, first, blank)


_width = width


@pass_environment
def _join(
    environment: Environment, value: Any, d: Any = "", attribute: str | int | None = None
) -> str:
    if attribute is not None:
        value = map(filters.make_attrgetter(environment, attribute), value)
    return joined(str(d), value)


@pass_environment
def _sum(
    environment: Environment, value: Any, attribute: str | int | None = None, start: Any = 0
) -> Any:
    if attribute is not None:
        value = map(filters.make_attrgetter(environment, attribute), value)
    total = start
    for number in value:
        if not isinstance(number, (int, float)) or not isinstance(total, (int, float)):
            raise TypeError("sum takes numbers")
        total = budget().admit(total + number)
    return total


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    return percent(str(value), kwargs or args)


def _round(value: Any, precision: int = 0, method: Any = "common") -> Any:
    if not -15 <= int(precision) <= 15:
        raise LimitError("a precision is too large")
    return filters.do_round(value, precision, method)


def _batch(value: Any, linecount: int, fill_with: Any = None) -> list[Any]:
    return list(filters.do_batch(value, width(linecount), fill_with))


def _slice(value: Any, slices: int, fill_with: Any = None) -> list[Any]:
    return list(filters.sync_do_slice(value, width(slices), fill_with))


def _pay_for_indents(value: Any, columns: int, level: int) -> None:
    """Prices the line breaks and margins of indented JSON."""
    if isinstance(value, (list, tuple, dict)):
        budget().pay((len(value) + 2) * (1 + columns * level))
        for part in value.values() if isinstance(value, dict) else value:
            _pay_for_indents(part, columns, level + 1)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models were trained on it: letters as they are, no HTML escapes."""
    meter = budget()
    nodes = meter.printed(value)
    longest = max((len(text) for text in separators or ()), default=2)
    meter.pay((6 if ensure_ascii else 1) * nodes + nodes // 4 * max(0, longest - 2))
    if indent is not None:
        columns = len(indent) if isinstance(indent, str) else max(width(indent), 0)
        _pay_for_indents(value, columns, 1)
    return json.dumps(
        value,
        ensure_ascii=bool(ensure_ascii),
        indent=indent,
        separators=separators,
        sort_keys=bool(sort_keys),
    )


def from_json(value: Any) -> Any:
    """The value of a JSON text."""
    budget().pay(8 * len(str(value)))
    return json.loads(str(value))


def chat_tests() -> dict[str, Callable[..., Any]]:
    """Every test of a chat template, by name; those that compare pay for it."""

    def paid(test: Any) -> Callable[..., Any]:
        @functools.wraps(test)
        def wrapper(*args: Any) -> Any:
            budget().handle(*args)
            return test(*args)

        return wrapper

    known: dict[str, Any] = dict(tests.TESTS)
    return {name: paid(test) if name in _COMPARING else test for name, test in known.items()}


def chat_filters() -> dict[str, Callable[..., Any]]:
    """Every filter of a chat template, by name."""
    own: dict[str, Callable[..., Any]] = {
        "batch": _batch,
        "center": _center,
        "format": _format,
        "from_json": from_json,
        "indent": _indent,
        "join": _join,
        "replace": _replace,
        "round": _round,
        "slice": _slice,
        "sum": _sum,
        "tojson": to_json,
    }
    builtin = {name: filters.FILTERS[name] for name in _NO_GROWTH}
    return {name: _metered(function) for name, function in (builtin | own).items()}
