# SPDX-License-Identifier: MIT
"""`gristmill inspect`: what a GGUF file holds and what running it would take.

Only the header is read; no weights are touched. A file that this build cannot run is shown all the
same, with the reason where the memory plan would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .output import console

if TYPE_CHECKING:
    from gristmill.blueprint import Blueprint
    from gristmill.gguf import File

_SHOWN_ITEMS = 6
_SHOWN_CHARS = 160


def inspect(
    path: Annotated[
        str | None, typer.Argument(metavar="FILE", help="GGUF file. [default: bundled]")
    ] = None,
    *,
    model: o.Model = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the operations of a forward pass.")
    ] = False,
    context: o.Context = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Show metadata, tensors and the memory plan of a GGUF file."""
    del debug  # main() reads it
    if path is not None and model is not None:
        raise typer.BadParameter("Name the file once: as an argument or with -m.")
    from gristmill import gguf, hub
    from gristmill.blueprint import Blueprint

    file = gguf.File(hub.resolve(path or model))
    blueprint = Blueprint.of(file, context)
    if as_json:
        import json

        print(json.dumps(describe(file, blueprint, plan), ensure_ascii=False, indent=1))
        return 0
    if plan:
        print(blueprint.require().describe())
        return 0
    print_file(file, blueprint)
    return 0


def describe(file: File, blueprint: Blueprint, with_plan: bool) -> dict[str, Any]:
    """Everything as plain data. Arrays longer than a few items give their type and length."""
    data: dict[str, Any] = {
        "paths": file.paths,
        "version": file.version,
        "file_bytes": file.nbytes,
        "metadata": {key: _value(file, key) for key in file.metadata},
        "tensors": [
            {"name": t.name, "type": t.type, "shape": list(t.shape), "bytes": t.nbytes}
            for t in file.tensors.values()
        ],
        "memory_plan": blueprint.to_dict(),
    }
    if with_plan and blueprint.plan is not None:
        data["plan"] = blueprint.plan.to_dict()
    return data


def print_file(file: File, blueprint: Blueprint) -> None:
    """Three tables: metadata, tensors, memory."""
    from rich import box
    from rich.table import Table

    from gristmill.report import human_bytes

    out = console()
    out.print(f"{file.paths[0]}: GGUF v{file.version}, {human_bytes(file.nbytes)}")
    table = Table(box=box.SIMPLE, title=f"{len(file.metadata)} keys", title_justify="left")
    table.add_column("key", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("value", overflow="fold")
    for key in file.metadata:
        table.add_row(_safe(key), file.metadata.type(key), _text(file, key))
    out.print(table)
    table = Table(box=box.SIMPLE, title=f"{len(file.tensors)} tensors", title_justify="left")
    table.add_column("tensor", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("shape", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for t in file.tensors.values():
        shape = " x ".join(map(str, t.shape))
        table.add_row(_safe(t.name), t.type, shape, human_bytes(t.nbytes))
    out.print(table)
    if blueprint.problem is not None:
        out.print(f"memory plan: none. {blueprint.problem}")
        return
    table = Table(box=box.SIMPLE, title="memory plan", title_justify="left")
    table.add_column("for")
    table.add_column("size", justify="right")
    for name, size in blueprint.memory_bytes.items():
        table.add_row(name, human_bytes(size))
    table.add_row("total", human_bytes(sum(blueprint.memory_bytes.values())))
    out.print(table)
    out.print(f"context {blueprint.context} ({blueprint.context_why})")


def _value(file: File, key: str) -> Any:
    """A metadata value for JSON; arrays beyond a few items become a summary."""
    kind = file.metadata.type(key)
    if not kind.startswith("array"):
        value = file.metadata[key]
        return _safe_json(value)
    length = file.metadata.length(key)
    if length > _SHOWN_ITEMS:
        return {"type": kind, "length": length, "first": _items(file, key)}
    return _items(file, key)


def _items(file: File, key: str) -> list[Any]:
    values = file.metadata[key][:_SHOWN_ITEMS]
    return [_safe_json(value) for value in (getattr(values, "tolist", lambda: values)())]


def _text(file: File, key: str) -> str:
    """A metadata value for the table, abbreviated."""
    kind = file.metadata.type(key)
    if not kind.startswith("array"):
        value = file.metadata[key]
        return f"{value:.7g}" if kind == "float32" else _cut(_safe(str(value)))
    length = file.metadata.length(key)
    shown = ", ".join(_cut(_safe(repr(item)), 24) for item in _items(file, key))
    return f"[{shown}{', ...' if length > _SHOWN_ITEMS else ''}] ({length})"


def _safe_json(value: Any) -> Any:
    """Strings without lone surrogates, which JSON readers refuse."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, list):
        return [_safe_json(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _safe(text: str) -> str:
    """One line without control characters."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = text.replace("\n", "\\n").replace("\t", "\\t")
    return "".join(c if c.isprintable() else "?" for c in text)


def _cut(text: str, limit: int = _SHOWN_CHARS) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
