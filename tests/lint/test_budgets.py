# SPDX-License-Identifier: MIT
"""Size budgets: a file, a function, an architecture and an ISA stub stay readable.

An exception is a line in one of the tables below: the name and the reason. An entry that is no
longer needed fails too, so the tables only hold what is true today.
"""

from __future__ import annotations

import re

import pytest
from lint_sources import (
    CPP_SUFFIXES,
    PYTHON_SUFFIXES,
    ROOT,
    cpp_functions,
    name_of,
    python_functions,
    sources,
)

FILE_LINES = 400
FUNCTION_LINES = 60
KERNEL_LINES = 120
ARCHITECTURE_LINES = 80
STUB_LINES = 15
COLUMNS = 100
CMAKE_LINES = 200

# name -> reason
LONG_FILES: dict[str, str] = {}
# "file:function" -> reason
LONG_FUNCTIONS: dict[str, str] = {}


def _over(sizes: dict[str, int], limit: int, exceptions: dict[str, str]) -> list[str]:
    """What is too long, and what is excused without need."""
    long = {name: size for name, size in sizes.items() if size > limit}
    problems = [f"{n}: {s} lines, at most {limit}" for n, s in long.items() if n not in exceptions]
    return problems + [f"{n}: an exception without need" for n in exceptions if n not in long]


def _lines(path: str) -> int:
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def test_files_are_short() -> None:
    files = sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES)
    assert files, "no sources found"
    problems = _over({name_of(f): _lines(name_of(f)) for f in files}, FILE_LINES, LONG_FILES)
    assert not problems, "\n".join(problems)


def test_functions_are_short() -> None:
    sizes = {}
    kernels = {}
    for path in sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES):
        text = path.read_text(encoding="utf-8")
        functions = python_functions if path.suffix in PYTHON_SUFFIXES else cpp_functions
        table = kernels if path.name.endswith(".inl.h") else sizes
        for function, lines in functions(text):
            key = f"{name_of(path)}:{function}"
            table[key] = max(lines, table.get(key, 0))
    problems = _over(sizes, FUNCTION_LINES, LONG_FUNCTIONS) + _over(kernels, KERNEL_LINES, {})
    assert not problems, "\n".join(problems)


def test_architectures_are_short() -> None:
    folder = ROOT / "pyruntime/gristmill/architectures"
    registered = re.compile(r"^@register\(", re.MULTILINE)
    sizes = {
        name_of(f): _lines(name_of(f))
        for f in sorted(folder.glob("*.py"))
        if registered.search(f.read_text(encoding="utf-8"))
    }
    assert sizes, "no architectures found"
    problems = _over(sizes, ARCHITECTURE_LINES, {})
    assert not problems, "\n".join(problems)


def test_isa_stubs_are_short() -> None:
    stubs = sources(".cpp", under=("csrc/kernels/isa",))
    assert stubs, "no ISA stubs found"
    problems = _over({name_of(f): _lines(name_of(f)) for f in stubs}, STUB_LINES, {})
    assert not problems, "\n".join(problems)


def test_lines_are_narrow() -> None:
    problems = [
        f"{name_of(path)}:{number}: {len(line)} columns, at most {COLUMNS}"
        for path in sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > COLUMNS
    ]
    assert not problems, "\n".join(problems)


def test_cmake_is_short_and_explicit() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= CMAKE_LINES
    flags = re.sub(r"#.*", "", text)
    assert "GLOB" not in flags, "source lists are explicit"
    assert "-march=native" not in flags
    assert "-ffast-math" not in flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int f(int a) {\n  return a;\n}\n", [("f", 3)]),
        ("namespace gm {\nstruct S {\n  int x;\n  S() : x{1} {}\n};\n}\n", [("S", 1)]),
        ("void g() {\n  if (a) {\n  }\n  auto l = [](int b) {\n  };\n}\n", [("g", 6)]),
        ("template <class T>\nT h(T a) noexcept {\n\n}\n", [("h", 4)]),
        ("struct A {\n  int x = 0;\n};\nconst int t[] = {1, 2};\n", []),
        ('void s() {\n  const char* x = "}}{";  // }}\n}\n', [("s", 3)]),
    ],
)
def test_the_function_finder(text: str, expected: list[tuple[str, int]]) -> None:
    assert list(cpp_functions(text)) == expected
