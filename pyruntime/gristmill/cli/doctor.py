# SPDX-License-Identifier: MIT
"""`gristmill doctor`: this machine, what was chosen and why, and what models should reach on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .output import console

if TYPE_CHECKING:
    from rich.console import Console

    from gristmill.doctor import Diagnosis, ModelOutlook


def doctor(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Models to tell speeds for.")
    ] = None,
    *,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure this machine's peaks.")
    ] = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Check the machine and say what models should reach. Exit code 1: something is wrong."""
    del debug  # main() reads it
    from gristmill.doctor import diagnose

    found = diagnose(files or [], measure=measure)
    if as_json:
        import json

        print(json.dumps(found.to_dict(), ensure_ascii=False, indent=1))
    else:
        print_diagnosis(found)
    return 0 if found.healthy else 1


def print_diagnosis(found: Diagnosis) -> None:
    """Aligned lines, a paragraph per model, then the findings."""
    from gristmill.report import human_bytes

    out = console()
    others = ", ".join(name for name in found.levels if name != found.level)
    lines = {
        "gristmill": f"{found.version} on {found.system}",
        "cpu": found.cpu,
        "kernels": f"{found.level} ({found.level_why})" + (f"; also {others}" if others else ""),
        "cores": _cores(found),
        "threads": found.threads_why,
        "memory": f"{_size(found.memory_available)} available ({found.memory_why}), "
        f"huge pages: {found.huge_pages}",
        "cache": _cache(found),
    }
    speed = found.speed
    if speed.bandwidth_one is not None and speed.bandwidth_all is not None:
        lines["bandwidth"] = (
            f"{speed.bandwidth_one / 1e9:.1f} GB/s on 1 thread, "
            f"{speed.bandwidth_all / 1e9:.1f} GB/s on {speed.threads}"
        )
        rates = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in speed.int8.items())
        lines["INT8"] = f"{rates} (10^9 multiply-accumulates/s, {speed.threads} threads)"
    for name, text in lines.items():
        out.print(f"{name:<10} {text}", soft_wrap=True)
    for item in found.models:
        _print_model(out, item, human_bytes(item.total_bytes))
    for finding in found.findings:
        out.print(f"\n{finding.level}: {finding.text}\n  {finding.hint}", soft_wrap=True)
    if not found.findings:
        out.print("\nnothing is wrong")


def _print_model(out: Console, item: ModelOutlook, total: str) -> None:
    out.print(f"\n{item.path}", soft_wrap=True)
    if item.weight_bytes == 0:
        return  # a finding says why
    out.print(f"  memory   {total}")
    if item.decode_bound is None or item.decode_expected is None:
        return
    low, high = item.decode_expected
    note = " (its weights fit into the CPU's cache, so it may be faster)" if item.in_cache else ""
    out.print(
        f"  decode   {low:.1f} to {high:.1f} tokens/s expected, at most {item.decode_bound:.1f} "
        f"(bandwidth / {item.weight_bytes / 1e9:.3f} GB per token){note}",
        soft_wrap=True,
    )
    if item.prefill_bound is not None and item.prefill_expected is not None:
        low, high = item.prefill_expected
        out.print(
            f"  prefill  {low:.0f} to {high:.0f} tokens/s expected, at most "
            f"{item.prefill_bound:.0f} (INT8 rate / multiply-accumulates per token)",
            soft_wrap=True,
        )


def _size(nbytes: int | None) -> str:
    from gristmill.report import human_bytes

    return "unknown" if nbytes is None else human_bytes(nbytes)


def _cores(found: Diagnosis) -> str:
    t = found.topology
    if not t["cpus"]:
        return "the system does not say"
    kinds = ""
    if t["performance_cores"] < t["cores"]:
        kinds = f" ({t['performance_cores']} fast, {t['cores'] - t['performance_cores']} efficient)"
    sockets = f"{t['sockets']} socket{'s' if t['sockets'] > 1 else ''}, " if t["sockets"] else ""
    quota = f", cgroup quota {t['quota']:.2f} CPUs" if t["quota"] else ""
    online = f" of {t['online']}" if t["online"] else ""
    return (
        f"{sockets}{t['cores']} physical{kinds}, {t['threads_per_core']} hardware thread(s) each; "
        f"{len(t['cpus'])}{online} CPUs allowed{quota}"
    )


def _cache(found: Diagnosis) -> str:
    state = found.cache
    if state["folder"] is None:
        return f"off ({state['why']})"
    return (
        f"{state['folder']}: {state['entries']} entries, {_size(state['bytes'])} of "
        f"{_size(state['limit_bytes'])}, {_size(state['disk_free_bytes'])} free on the disk"
    )
