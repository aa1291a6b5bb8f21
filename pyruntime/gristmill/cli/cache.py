# SPDX-License-Identifier: MIT
"""`gristmill cache`: what the panel cache holds, and emptying it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from . import options as o
from .output import console

if TYPE_CHECKING:
    from gristmill.panel_cache import Entry

cache = typer.Typer(
    name="cache",
    help="""The panel cache: packed weights, so that the next load of a model is instant.

    GRISTMILL_CACHE names its folder ("off": none), GRISTMILL_CACHE_SIZE how large it may grow
    ("5G"; 20 GiB or a tenth of the disk if not given). Each entry takes about as much disk as its
    model. --no-cache leaves it alone for one run.""",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@cache.callback()
def _group(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


@cache.command("ls")
def show(*, as_json: o.Json = False, debug: o.Debug = False) -> int:
    """List the entries, the most recently used first."""
    del debug  # main() reads it
    from gristmill import panel_cache
    from gristmill.report import human_bytes

    place = panel_cache.folder()
    entries = panel_cache.entries()
    total = sum(entry.nbytes for entry in entries)
    limit = None if place is None else panel_cache.limit_bytes(place)
    if as_json:
        import json

        data = {
            "folder": None if place is None else str(place),
            "bytes": total,
            "limit_bytes": limit,
            "entries": [_plain(entry) for entry in entries],
        }
        print(json.dumps(data, ensure_ascii=False, indent=1))
        return 0
    out = console()
    if entries:
        _print_table(entries)
    if limit is None:
        out.print("off (GRISTMILL_CACHE)")
    else:
        out.print(f"{place}: {human_bytes(total)} of {human_bytes(limit)}", soft_wrap=True)
    return 0


@cache.command()
def clear(*, as_json: o.Json = False, debug: o.Debug = False) -> int:
    """Remove all entries. Programs that have one mapped keep it until they end."""
    del debug  # main() reads it
    from gristmill import panel_cache
    from gristmill.report import human_bytes

    count, size = panel_cache.clear()
    if as_json:
        import json

        print(json.dumps({"removed": count, "bytes": size}))
    else:
        print(f"removed {count} {'entry' if count == 1 else 'entries'}, {human_bytes(size)}")
    return 0


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "model": entry.model,
        "bytes": entry.nbytes,
        "last_used": entry.last_used,
    }


def _print_table(entries: list[Entry]) -> None:
    import time

    from rich import box
    from rich.table import Table

    from gristmill.report import human_bytes

    table = Table(box=box.SIMPLE)
    table.add_column("model", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    table.add_column("entry", no_wrap=True)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        model = entry.model.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        table.add_row(model or "?", human_bytes(entry.nbytes), used, entry.path.name)
    console().print(table)
