# SPDX-License-Identifier: MIT
"""_core.pyi says what the extension has: no name more, no name less."""

from __future__ import annotations

import ast

from lint_sources import ROOT

from gristmill import _core

STUB = ast.parse((ROOT / "pyruntime/gristmill/_core.pyi").read_text(encoding="utf-8"))


def _names(body: list[ast.stmt]) -> set[str]:
    """Public names that a class or module body declares."""
    names = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def _public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_module() -> None:
    assert _public(_core) == _names(STUB.body)


def test_classes() -> None:
    classes = [node for node in STUB.body if isinstance(node, ast.ClassDef)]
    assert classes
    for node in classes:
        declared = _names(node.body)
        bases = {ast.unparse(base) for base in node.bases}
        inherited = (
            _public(Exception) if any("Error" in b or b == "Exception" for b in bases) else set()
        )
        assert _public(getattr(_core, node.name)) - inherited == declared - inherited, node.name
