# SPDX-License-Identifier: MIT
"""The parts of a GBNF grammar, and how they are written in Lark and as a regular expression."""

from __future__ import annotations

from dataclasses import dataclass

LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]  # of code points, ascending, without overlap


@dataclass(frozen=True)
class Chars:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Seq:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Alt:
    """One of them."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """So many times; `most` None has no end."""

    item: Node
    least: int
    most: int | None


@dataclass(frozen=True)
class Ref:
    """What a rule describes."""

    name: str


@dataclass(frozen=True)
class Lexeme:
    """What a regular expression describes, as one lexeme."""

    name: str


Node = Chars | Seq | Alt | Repeat | Ref | Lexeme


def char_set(ranges: list[tuple[int, int]], negated: bool = False) -> Chars:
    """The set of these ranges, in any order, or of all other characters."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    if not negated:
        return Chars(tuple(merged))
    gaps = [-1, *(edge for pair in merged for edge in pair), LAST + 1]
    outside = [(a + 1, b - 1) for a, b in zip(gaps[::2], gaps[1::2], strict=True) if a + 1 < b]
    return Chars(tuple(outside))


def regex(node: Node) -> str:
    """A regular expression, for a node without rules."""
    if isinstance(node, Chars):
        return f"[{''.join(map(_range, node.ranges))}]"
    if isinstance(node, Seq):
        return "".join(map(regex, node.items))
    if isinstance(node, Alt):
        return f"(?:{'|'.join(map(regex, node.items))})"
    assert isinstance(node, Repeat)
    return f"(?:{regex(node.item)}){_times(node)}"


def lark(node: Node, names: dict[str, str]) -> str:
    """A part of a Lark rule, in which every character is a lexeme."""
    if isinstance(node, Chars):
        return f"/{regex(node)}/"
    if isinstance(node, Ref):
        return names[node.name]
    if isinstance(node, Lexeme):
        return node.name
    if isinstance(node, Seq):
        return f"({' '.join(lark(item, names) for item in node.items)})"
    if isinstance(node, Alt):
        return f"({' | '.join(lark(item, names) for item in node.items)})"
    if node.most == 0:
        return "()"
    return f"({lark(node.item, names)}){_times(node)}"


def _times(node: Repeat) -> str:
    bounds = (node.least, node.most)
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get(bounds)
    return short or f"{{{node.least},{'' if node.most is None else node.most}}}"


def _range(pair: tuple[int, int]) -> str:
    first, last = (f"\\x{{{code:X}}}" for code in pair)
    return first if pair[0] == pair[1] else f"{first}-{last}"
