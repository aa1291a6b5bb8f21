# SPDX-License-Identifier: MIT
"""Text rules: licence lines, ASCII, no paths of somebody's machine, one README, pinned tools."""

from __future__ import annotations

import re

from lint_sources import CPP_SUFFIXES, PYTHON_SUFFIXES, ROOT, name_of, sources

SPDX = "SPDX-License-Identifier: MIT"
# Written in two pieces, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:ro" + r"ot|home/\w+|Users/\w+|wo" + r"rk|mnt)/")
TEXT = (".toml", ".md", ".txt", ".json", ".yaml", ".yml", ".jinja")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_licence_lines() -> None:
    problems = []
    for path in [*sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES), ROOT / "CMakeLists.txt"]:
        lines = path.read_text(encoding="utf-8").splitlines()[:2]
        first = lines[1] if lines and lines[0].startswith("#!") else "".join(lines[:1])
        if SPDX not in first:
            problems.append(f"{name_of(path)} does not begin with the SPDX line")
    assert not problems, "\n".join(problems)


def test_source_is_ascii() -> None:
    problems = []
    for path in sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES, under=("csrc", "pyruntime", "bench")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if not line.isascii():
                problems.append(f"{name_of(path)}:{number}: {line.decode('utf-8', 'replace')}")
    assert not problems, "\n".join(problems)


def test_no_machine_paths() -> None:
    files = [*sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES, *TEXT), *ROOT.glob("*.*"), ROOT / ".ci/run"]
    problems = [
        f"{name_of(path)}:{number}: {line.strip()[:120]}"
        for path in files
        if path.is_file() and path.suffix not in {".so", ".gguf", ".npz"}
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not problems, "\n".join(problems)


def test_todos_name_an_issue() -> None:
    todo = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!\(#\d+\))")
    problems = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in sources(*CPP_SUFFIXES, *PYTHON_SUFFIXES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if todo.search(line)
    ]
    assert not problems, "\n".join(problems)


def test_readme_has_its_two_commands() -> None:
    """.ci/run takes the second one from README, so the two cannot differ."""
    blocks = re.findall(r"^```sh\n(.*?)\n```$", _read("README.md"), re.DOTALL | re.MULTILINE)
    assert blocks[0] == 'pip install . && gristmill run "Once upon a time"'
    assert blocks[1] == 'pip install ".[test]" && pytest'
    assert "README.md" in _read(".ci/run")


def test_pinned_tools_agree() -> None:
    """pyproject.toml and .pre-commit-config.yaml pin the same versions."""
    hooks = _read(".pre-commit-config.yaml")
    pins = re.findall(r'"((?:clang-format|mypy|ruff)==[\d.]+)"', _read("pyproject.toml"))
    assert len(pins) == 3
    assert [p for p in pins if p not in hooks] == []


def test_versions_agree() -> None:
    project = re.search(r'^version = "([\d.]+)"', _read("pyproject.toml"), re.MULTILINE)
    cmake = re.search(r"project\(gristmill VERSION ([\d.]+)", _read("CMakeLists.txt"))
    assert project is not None
    assert cmake is not None
    assert project.group(1) == cmake.group(1)
    assert f"## {project.group(1)}" in _read("CHANGELOG.md")


def test_module_names_are_unique() -> None:
    """pytest imports test modules by base name; two of one name would shadow each other."""
    seen: dict[str, str] = {}
    problems = []
    for path in sources(".py", under=("tests",)):
        if path.name in {"__init__.py", "conftest.py"}:
            continue
        if path.name in seen:
            problems.append(f"{name_of(path)} and {seen[path.name]}")
        seen[path.name] = name_of(path)
    assert not problems, "\n".join(problems)
