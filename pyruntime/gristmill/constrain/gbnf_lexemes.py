# SPDX-License-Identifier: MIT
"""Which parts of a GBNF grammar may be lexemes of several characters, and mean the same.

llguidance reads a lexeme as far as it goes, and several lexemes side by side. Two conditions make
that exact for a part of a sequence that is regular: no word of it continues another one (so it ends
where it ends), and none of its first characters occurs in the rest of the grammar (so nothing else
is read beside it). A JSON string is such a part: inside of it a mask takes a walk of one automaton
instead of a parser step per character.
"""

from __future__ import annotations

from collections.abc import Iterator

from .gbnf_nodes import Alt, Chars, Lexeme, Node, Ranges, Ref, Repeat, Seq, char_set, regex

Rules = dict[str, Node]
_STATES = 1500  # of the automata; larger parts stay as they are
_ITEMS = 12  # of a part


def merge_lexemes(rules: Rules) -> tuple[Rules, dict[str, str]]:
    """The rules with lexemes in them, and their regular expressions by name."""
    parts = _Parts(rules)
    kept = [text for text in parts.found() if parts.stands_alone(text)]
    names = {text: f"LEXEME_{index}" for index, text in enumerate(kept)}
    merged = {name: parts.merged(node, names) for name, node in rules.items()}
    used = _reached(merged)
    lexemes = {name: text for text, name in names.items() if Lexeme(name) in used}
    return {name: node for name, node in merged.items() if Ref(name) in used}, lexemes


def _reached(rules: Rules) -> set[Node]:
    """The rules and lexemes that a text can come to."""
    todo: list[Node] = [Ref("root")]
    seen: set[Node] = set()
    while todo:
        for part in _walk(todo.pop()):
            if isinstance(part, (Ref, Lexeme)) and part not in seen:
                seen.add(part)
                if isinstance(part, Ref):
                    todo.append(rules[part.name])
    return seen


class _Parts:
    """The parts of a grammar that might be lexemes, by their regular expressions."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._slices: dict[Seq, list[tuple[int, int, str]]] = {}
        self._first: dict[str, Ranges] = {}
        self._plain: dict[str, Node | None] = {}  # rules without rules

    def found(self) -> list[str]:
        """The expressions of all parts."""
        for node in self._rules.values():
            for part in _walk(node):
                if isinstance(part, Seq):
                    self._of(part)
        return list(self._first)

    def stands_alone(self, text: str) -> bool:
        """Whether no first character of a part occurs outside of it."""
        first, todo, seen = self._first[text], [self._rules["root"]], {"root"}
        while todo:
            node = todo.pop()
            if isinstance(node, Chars):
                if _overlap(node.ranges, first):
                    return False
            elif isinstance(node, Ref):
                if node.name not in seen:
                    seen.add(node.name)
                    todo.append(self._rules[node.name])
            elif isinstance(node, Seq):
                inside = {i for a, b, other in self._of(node) if other == text for i in range(a, b)}
                todo += [item for i, item in enumerate(node.items) if i not in inside]
            else:
                todo += _children(node)
        return True

    def merged(self, node: Node, names: dict[str, str]) -> Node:
        """A node with its parts as lexemes."""
        if isinstance(node, Alt):
            return Alt(tuple(self.merged(item, names) for item in node.items))
        if isinstance(node, Repeat):
            return Repeat(self.merged(node.item, names), node.least, node.most)
        if not isinstance(node, Seq):
            return node
        items: list[Node] = []
        at = 0
        for first, last, text in self._of(node):
            if text in names:
                items += [self.merged(item, names) for item in node.items[at:first]]
                items.append(Lexeme(names[text]))
                at = last
        items += [self.merged(item, names) for item in node.items[at:]]
        return Seq(tuple(items))

    def _of(self, node: Seq) -> list[tuple[int, int, str]]:
        """The parts of a sequence, from left to right: first item, end, expression."""
        if node in self._slices:
            return self._slices[node]
        found: list[tuple[int, int, str]] = []
        plain = [self._expanded(item, ()) for item in node.items]
        at = 0
        while at < len(plain):
            end = min(len(plain), at + _ITEMS)
            while end > at and not self._is_part(plain[at:end]):
                end -= 1
            if end > at:
                part = Seq(tuple(item for item in plain[at:end] if item is not None))
                found.append((at, end, regex(part)))
            at = max(end, at + 1)
        self._slices[node] = found
        return found

    def _is_part(self, items: list[Node | None]) -> bool:
        known = [item for item in items if item is not None]
        part = Seq(tuple(known))
        if len(known) < len(items) or not any(isinstance(n, Repeat) for n in _walk(part)):
            return False
        first = _first_if_prefix_free(part)
        if first:
            self._first[regex(part)] = first
        return bool(first)

    def _expanded(self, node: Node, inside: tuple[str, ...]) -> Node | None:
        """A node without rules, or None if a rule contains itself, or it gets too large."""
        if isinstance(node, Ref):
            if node.name in inside or len(inside) > 50:
                return None
            if node.name not in self._plain:
                found = self._expanded(self._rules[node.name], (*inside, node.name))
                self._plain[node.name] = found
            return self._plain[node.name]
        children = [self._expanded(child, inside) for child in _children(node)]
        known = tuple(child for child in children if child is not None)
        if len(known) < len(children):
            return None
        if isinstance(node, Repeat):
            new: Node = Repeat(known[0], node.least, node.most)
        elif isinstance(node, (Seq, Alt)):
            new = type(node)(known)
        else:
            new = node
        return new if sum(1 for _ in _walk(new)) < _STATES else None


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, (Seq, Alt)):
        return node.items
    return (node.item,) if isinstance(node, Repeat) else ()


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in _children(node):
        yield from _walk(child)


def _overlap(a: Ranges, b: Ranges) -> bool:
    return any(x[0] <= y[1] and y[0] <= x[1] for x in a for y in b)


class _TooLargeError(Exception):
    """An automaton has more than _STATES states."""


class _Automaton:
    """Thompson's automaton of a node; state 1 accepts."""

    def __init__(self, node: Node) -> None:
        self.empty: list[list[int]] = [[], []]  # steps without a character
        self.chars: list[tuple[Ranges, int] | None] = [None, None]
        self._add(node, 0, 1)

    def closure(self, states: set[int]) -> frozenset[int]:
        """What is reached without a character."""
        todo, seen = list(states), set(states)
        while todo:
            for state in self.empty[todo.pop()]:
                if state not in seen:
                    seen.add(state)
                    todo.append(state)
        return frozenset(seen)

    def _state(self) -> int:
        if len(self.empty) >= _STATES:
            raise _TooLargeError
        self.empty.append([])
        self.chars.append(None)
        return len(self.empty) - 1

    def _add(self, node: Node, start: int, end: int) -> None:
        if isinstance(node, Chars):
            state = self._state()
            self.empty[start].append(state)
            self.chars[state] = (node.ranges, end)
        elif isinstance(node, Seq):
            for item in node.items:
                after = self._state()
                self._add(item, start, after)
                start = after
            self.empty[start].append(end)
        elif isinstance(node, Alt):
            for item in node.items:
                self._add(item, start, end)
        elif isinstance(node, Repeat):
            self._repeat(node, start, end)

    def _repeat(self, node: Repeat, start: int, end: int) -> None:
        for _ in range(node.least):
            after = self._state()
            self._add(node.item, start, after)
            start = after
        if node.most is None:
            loop = self._state()
            self.empty[start].append(loop)
            self.empty[loop].append(end)
            back = self._state()
            self._add(node.item, loop, back)
            self.empty[back].append(loop)
            return
        for _ in range(node.most - node.least):
            self.empty[start].append(end)
            after = self._state()
            self._add(node.item, start, after)
            start = after
        self.empty[start].append(end)


def _first_if_prefix_free(node: Node) -> Ranges:
    """The first characters of a node, if no word of it begins another; else ()."""
    try:
        automaton = _Automaton(node)
        edges = {0}
        for step in automaton.chars:
            edges |= {edge for a, b in (step[0] if step else ()) for edge in (a, b + 1)}
        start = automaton.closure({0})
        todo, seen = [start], {start}
        while todo:
            state = todo.pop()
            steps = [step for s in state if (step := automaton.chars[s]) is not None]
            if 1 in state and steps:
                return ()
            for edge in edges:  # every character behaves like one of these
                ends = {end for ranges, end in steps if any(a <= edge <= b for a, b in ranges)}
                after = automaton.closure(ends)
                if ends and after not in seen:
                    if len(seen) >= _STATES:
                        return ()
                    seen.add(after)
                    todo.append(after)
    except _TooLargeError:
        return ()
    if 1 in start:
        return ()
    first = [pair for s in start if (step := automaton.chars[s]) for pair in step[0]]
    return char_set(first).ranges
