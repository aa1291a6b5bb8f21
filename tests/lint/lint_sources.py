# SPDX-License-Identifier: MIT
"""The sources as the lint tests see them: which files there are, where C++ functions begin and end.

The C++ function finder is a brace counter over comment- and string-free text, not a parser: it
knows enough of the house style (clang-format, no macros that open braces) to measure lengths.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREES = ("csrc", "pyruntime", "tests", "bench", "models", "examples")
CPP_SUFFIXES = {".cpp", ".h", ".def", ".mm", ".metal"}
PYTHON_SUFFIXES = {".py", ".pyi"}

_NOISE = re.compile(
    r'''R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"'''
    r"""|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_NOT_A_FUNCTION = re.compile(
    r"\b(namespace|struct|class|enum|union|if|for|while|switch|do|else|try|catch|extern)\b[^()]*"
    r"(\([^{]*)?$"
)


def sources(*suffixes: str, under: tuple[str, ...] = TREES) -> list[Path]:
    """The project's files with one of these suffixes, sorted."""
    found = []
    for tree in under:
        for path in sorted((ROOT / tree).rglob("*")):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
            if path.is_file() and path.suffix in suffixes and not hidden:
                found.append(path)
    return found


def name_of(path: Path) -> str:
    """A path as messages and exception lists write it."""
    return path.relative_to(ROOT).as_posix()


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function, decorators left out."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1


def strip_cpp(text: str) -> str:
    """The text without comments, literals and directives; line breaks stay."""

    def blank(match: re.Match[str]) -> str:
        return "\n" * match.group().count("\n") or " "

    return _DIRECTIVE.sub(blank, _NOISE.sub(blank, text))


def _opens_function(head: str) -> bool:
    """Whether the text between the last ; { } and a { is a function's signature."""
    head = " ".join(head.split())
    if not head or head.endswith(("=", ",", "(", "return")) or "(" not in head:
        return False
    if re.match(r"(template\s*<[^{]*>\s*)?(struct|class|union|enum)\b", head):
        return False
    return _NOT_A_FUNCTION.match(head) is None


def cpp_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of every outermost function body, signature included."""
    text = strip_cpp(text)
    depth = 0
    inside: tuple[str, int, int] | None = None  # name, offset of the signature, depth outside
    last = 0
    for match in re.finditer(r"[{};]", text):
        token, offset = match.group(), match.start()
        if token == "{":
            head = text[last:offset]
            if inside is None and _opens_function(head):
                name = re.search(r"([~\w:]+|operator[^(]*)\s*\(", head)
                start = last + len(head) - len(head.lstrip())
                inside = (name.group(1) if name else "?", start, depth)
            depth += 1
        elif token == "}":
            depth -= 1
            if inside is not None and depth == inside[2]:
                yield inside[0], text.count("\n", inside[1], offset) + 1
                inside = None
        last = match.end()
