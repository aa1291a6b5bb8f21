# SPDX-License-Identifier: MIT
"""GBNF, llama.cpp's grammars, as Lark for llguidance.

GBNF describes characters, Lark describes lexemes, which are as long as they can be: "a" "b" "c" |
"ab" "d" read as lexemes has no "abc". So every lexeme here is one character, and everything above
it is a rule, but for the parts that gbnf_lexemes.py shows to mean the same; llguidance's own
converter keeps literals and rules of characters as lexemes, and changes what such grammars mean.
What llama.cpp documents in grammars/README.md is read; tokens in angle brackets are refused.
"""

from __future__ import annotations

from gristmill.errors import GrammarError

from .gbnf_lexemes import Rules, merge_lexemes
from .gbnf_nodes import Alt, Chars, Node, Ref, Repeat, Seq, char_set, lark

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]"}
_HEX = {"x": 2, "u": 4, "U": 8}
_MOST_REPEATS = 10_000
_MOST_DEPTH = 100
_MARKS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def gbnf_to_lark(text: str) -> str:
    """The grammar in Lark; `root` becomes `start`.

    Raises:
        GrammarError: It is no GBNF, or uses what cannot be translated; says line and column.
    """
    parser = _Parser(text)
    rules = parser.rules()
    if "root" not in rules:
        raise GrammarError('[gbnf] needs a rule named "root". It has none.')
    names = {name: f"r{index}_{_plain(name)}" for index, name in enumerate(rules)}
    names["root"] = "start"
    for name, at in parser.used.items():
        if name not in rules:
            raise parser.error(f'there is no rule "{name}"', at)
    merged, lexemes = merge_lexemes(rules)
    lines = ["%llguidance {}"]
    lines += [f"{names[name]}: {lark(node, names)}" for name, node in merged.items()]
    lines += [f"{name}: /{text}/" for name, text in lexemes.items()]
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).lower()


class _Parser:
    """A recursive descent over the text."""

    def __init__(self, text: str) -> None:
        self.used: dict[str, int] = {}  # rules -> where they are first used
        self._text = text
        self._at = 0
        self._depth = 0

    def error(self, problem: str, at: int | None = None) -> GrammarError:
        """An error with its place."""
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return GrammarError(f"[gbnf, line {line}, column {column}] {problem}.")

    def rules(self) -> Rules:
        """All rules by name."""
        found: Rules = {}
        self._space(lines=True)
        while self._at < len(self._text):
            at = self._at
            name = self._name()
            if name in found:
                raise self.error(f'the rule "{name}" is there twice', at)
            self._space()
            self._expect("::=")
            self._space(lines=True)
            found[name] = self._alternatives(nested=False)
            if self._at < len(self._text) and self._peek() not in "\r\n":
                raise self.error(
                    f"an item or the end of the line is expected. Got {self._peek()!r}"
                )
            self._space(lines=True)
        return found

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _expect(self, what: str) -> None:
        if not self._text.startswith(what, self._at):
            raise self.error(f"{what!r} is expected. Got {self._peek()!r}")
        self._at += len(what)

    def _space(self, lines: bool = False) -> None:
        """Skips blanks and comments, and with `lines` ends of lines."""
        blank = " \t\r\n" if lines else " \t"
        while self._peek() and (self._peek() in blank or self._peek() == "#"):
            if self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                self._at += 1

    def _name(self) -> str:
        start = self._at
        while (c := self._peek()) and c.isascii() and (c.isalnum() or c in "-_"):
            self._at += 1
        if start == self._at:
            raise self.error(f"the name of a rule is expected. Got {self._peek()!r}")
        return self._text[start : self._at]

    def _alternatives(self, nested: bool) -> Node:
        found = [self._sequence(nested)]
        while self._peek() == "|":
            self._at += 1
            self._space(lines=True)
            found.append(self._sequence(nested))
        return found[0] if len(found) == 1 else Alt(tuple(found))

    def _sequence(self, nested: bool) -> Node:
        found: list[Node] = []
        while self._peek() and self._peek() not in "|)\r\n":
            item = self._repeated(self._item())
            found += item.items if isinstance(item, Seq) else (item,)
            self._space(lines=nested)
        return Seq(tuple(found))

    def _item(self) -> Node:
        """A literal, class, group, rule or any character."""
        c = self._peek()
        if c == '"':
            return self._literal()
        if c == "[":
            return self._class()
        if c == ".":
            self._at += 1
            return char_set([], negated=True)
        if c == "(":
            return self._group()
        if c == "<" or self._text.startswith("!<", self._at):
            raise self.error("tokens in angle brackets are not supported: write their text")
        at = self._at
        name = self._name()
        self.used.setdefault(name, at)
        return Ref(name)

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise self.error("groups are nested too deeply")
        self._at += 1
        self._space(lines=True)
        inner = self._alternatives(nested=True)
        self._expect(")")
        self._depth -= 1
        return inner

    def _literal(self) -> Node:
        self._at += 1
        found = []
        while self._peek() != '"':
            code = self._code()
            found.append(Chars(((code, code),)))
        self._at += 1
        return Seq(tuple(found))

    def _class(self) -> Node:
        at = self._at
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            first = last = self._code()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._code()
            if last < first:
                raise self.error("a range goes from its lower to its higher character", at)
            ranges.append((first, last))
        self._at += 1
        found = char_set(ranges, negated)
        if not found.ranges:
            raise self.error("an empty class matches nothing", at)
        return found

    def _code(self) -> int:
        """The code point of a character, which may be written as an escape."""
        c = self._peek()
        if not c or c in "\r\n":
            raise self.error("the line ends inside a literal or class")
        self._at += 1
        if c != "\\":
            return ord(c)
        c = self._peek()
        self._at += 1
        if c in _HEX:
            digits = self._text[self._at : self._at + _HEX[c]]
            self._at += _HEX[c]
            if len(digits) == _HEX[c] and all(d in "0123456789abcdefABCDEF" for d in digits):
                code = int(digits, 16)
                if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                    return code
            raise self.error(f"\\{c}{digits} is no character", self._at - _HEX[c] - 2)
        if c not in _ESCAPES or not c:
            raise self.error(f"there is no escape \\{c}", self._at - 2)
        return ord(_ESCAPES[c])

    def _repeated(self, item: Node) -> Node:
        """The item with the repetitions that follow it."""
        while self._peek() and self._peek() in "*+?{":
            mark = self._peek()
            self._at += 1
            bounds = _MARKS[mark] if mark in _MARKS else self._counts()
            item = Repeat(item, *bounds)
        return item

    def _counts(self) -> tuple[int, int | None]:
        at = self._at
        end = self._text.find("}", self._at)
        numbers = self._text[self._at : end].replace(" ", "").split(",") if end >= 0 else []
        self._at = end + 1
        if len(numbers) == 1:
            numbers = numbers * 2
        good = len(numbers) == 2 and numbers[0].isdecimal() and (numbers[1] or "0").isdecimal()
        if not good or not all(n.isascii() for n in numbers):
            raise self.error("{n}, {n,} or {n,m} is expected", at)
        least, most = int(numbers[0]), int(numbers[1]) if numbers[1] else None
        if least > _MOST_REPEATS or (most is not None and not least <= most <= _MOST_REPEATS):
            raise self.error(f"repetitions are n <= m <= {_MOST_REPEATS}", at)
        return least, most
