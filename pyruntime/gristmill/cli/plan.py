# SPDX-License-Identifier: MIT
"""`gristmill plan`: the memory that a model will take, from its header alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .output import console

if TYPE_CHECKING:
    from gristmill.memory import MemoryEstimate


def plan(
    path: Annotated[
        str | None, typer.Argument(metavar="FILE", help="GGUF file. [default: bundled]")
    ] = None,
    *,
    model: o.Model = None,
    context: o.Context = None,
    kv: o.KvCache = "f16",
    batch: Annotated[
        int, typer.Option("-b", "--batch", "--batch-size", min=1, help="Tokens of a forward pass.")
    ] = 512,
    threads: o.Threads = None,
    isa: o.Isa = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Say how much memory a model will take, before loading it. Exit code 1: it does not fit."""
    del debug  # main() reads it
    if path is not None and model is not None:
        raise typer.BadParameter("Name the file once: as an argument or with -m.")
    from gristmill import gguf, hub, memory

    estimate = memory.estimate(
        gguf.File(hub.resolve(path or model)),
        context,
        kv=kv,
        max_batch=batch,
        threads=threads or 0,
        isa=isa or "",
    )
    if as_json:
        import json

        print(json.dumps(estimate.to_dict(), ensure_ascii=False, indent=1))
    else:
        print_estimate(estimate)
    return 0 if estimate.fits else 1


def print_estimate(estimate: MemoryEstimate) -> None:
    """A table, what is available, and the largest context that fits."""
    from rich import box
    from rich.table import Table

    from gristmill.memory import LABELS
    from gristmill.report import human_bytes

    out = console()
    out.print(
        f"{estimate.path}: context {estimate.context} ({estimate.context_why}), "
        f"{estimate.kv} KV cache, batches of {estimate.max_batch}, {estimate.threads} threads"
    )
    table = Table(box=box.SIMPLE, show_header=False, show_footer=True)
    table.add_column("for", footer="total")
    table.add_column("size", justify="right", footer=human_bytes(estimate.total))
    for name, size in estimate.parts.items():
        table.add_row(LABELS[name], human_bytes(size))
    out.print(table)
    if estimate.available is None:
        out.print("available: the system does not say")
        return
    verdict = "it fits" if estimate.fits else "it does not fit"
    out.print(f"available: {human_bytes(estimate.available)} ({estimate.available_why}): {verdict}")
    largest = estimate.largest_context
    text = "none" if largest is None else f"{largest} tokens"
    out.print(f"largest context that fits: {text} (trained on {estimate.trained_context})")
