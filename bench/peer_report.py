# SPDX-License-Identifier: MIT
"""Markdown and a plot of what bench/peers.py measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare import OWN, Comparison, Run, compare, fair_share, unique


def _title(metric: str) -> str:
    if metric == "load_to_first_token_s":
        return "load to first token, s"
    if metric == "first_start_s":
        return "the same on the first start, s"
    if metric == "peak_rss_bytes":
        return "peak memory, MB"
    return f"{metric}, tokens/s"


def _value(metric: str, value: float) -> str:
    if metric == "peak_rss_bytes":
        return f"{value / 1e6:.0f}"
    return f"{value:.2f}" if metric.endswith("_s") else f"{value:.1f}"


def _machine(document: dict[str, Any]) -> list[str]:
    machine = document["machine"]
    own = document.get("own", {})
    lines = [
        (
            f"- {machine['cpu']}, {machine['cores']} cores ({' '.join(machine['flags'])}), "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}, "
            f"Python {machine['python']}; {machine['date']}"
        ),
        f"- {OWN} {own.get('version', '?')}, kernels {own.get('isa', '?')}",
    ]
    for name, build in document["peers"].items():
        lines.append(
            f"- llama.cpp {name}: {build['package']} {build['version']}, "
            f"`CMAKE_ARGS={build['cmake_args']}`"
        )
    return lines


def _table(rows: Sequence[Comparison]) -> list[str]:
    lines = [
        f"| model | metric | {OWN} | llama.cpp, better setting | setting | ratio | of rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        setting = row.best.removeprefix("llama.cpp").strip() or "default"
        lines.append(
            f"| {row.model} | {_title(row.metric)} | {_value(row.metric, row.own)} | "
            f"{_value(row.metric, row.peer)} | {setting} | **{row.ratio:.2f}** | "
            f"{row.low:.2f}..{row.high:.2f} ({row.rounds}) |"
        )
    return lines


def _fraction_rows(document: dict[str, Any], runs: Sequence[Run]) -> list[str]:
    """Both sides against what they do alone, for the scenarios with company."""
    quiet = {(row.model, row.metric): row for row in compare(runs) if row.scenario == "quiet"}
    lines = []
    for row in compare(runs):
        base = quiet.get((row.model, row.metric))
        if row.scenario == "quiet" or base is None or row.metric[:2] not in {"pp", "tg"}:
            continue
        scenario = document["scenarios"][row.scenario]
        share = fair_share(document["machine"]["cores"], scenario["threads"], scenario["hogs"])
        lines.append(
            f"| {row.scenario} | {row.model} | {row.metric} | {row.own / base.own / share:.0%} | "
            f"{row.peer / base.peer / share:.0%} |"
        )
    if not lines:
        return []
    head = ["", "Speed as a part of the quiet speed times the fair share of the cores:", ""]
    return [*head, f"| scenario | model | metric | {OWN} | llama.cpp |", "|---|---|---|---|---|",
            *lines]  # fmt: skip


def markdown(document: dict[str, Any], runs: Sequence[Run]) -> str:
    """The whole report; see peers.py for the document."""
    lines = ["# gristmill and llama.cpp, run by turns", "", *_machine(document), ""]
    lines.append(f"Command: `{document['command']}`")
    rows = compare(runs)
    for name in unique(run.scenario for run in runs):
        scenario = document["scenarios"][name]
        lines += [
            "",
            f"## {name}: {scenario['threads']} threads, {scenario['hogs']} busy processes beside",
            "",
            (
                "Medians over the rounds; a ratio above 1 is in gristmill's favour, its spread is "
                "over the rounds."
            ),
            "",
            *_table([row for row in rows if row.scenario == name]),
        ]
    lines += _fraction_rows(document, runs)
    failures = [run for run in runs if run.error]
    if failures:
        lines += ["", "## Failed", ""]
        lines += unique(f"- {r.model}, {r.scenario}, {r.side}: {r.error}" for r in failures)
    return "\n".join(lines) + "\n"


def plot(runs: Sequence[Run], folder: Path) -> list[Path]:
    """ratios.svg and .png: bars of the ratio by model, one panel per speed; [] without matplotlib.

    Only the first scenario is drawn; whiskers reach from the lowest to the highest round.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        print("no plot: pip install 'gristmill[bench]' brings matplotlib", file=sys.stderr)
        return []
    rows = [row for row in compare(runs) if row.metric[:2] in {"pp", "tg"}]
    rows = [row for row in rows if row.scenario == rows[0].scenario]
    metrics = unique(row.metric for row in rows)
    if not metrics:
        return []
    models = unique(row.model for row in rows)
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(3.2 * len(metrics) + 1, 0.5 * len(models) + 1.6),
        sharey=True, squeeze=False,
    )  # fmt: skip
    for axis, metric in zip(axes[0], metrics, strict=True):
        bars = [row for row in rows if row.metric == metric]
        places = [models.index(row.model) for row in bars]
        values = [row.ratio for row in bars]
        spread = [[r.ratio - r.low for r in bars], [r.high - r.ratio for r in bars]]
        colours = ["#2a7f62" if value >= 1 else "#b3541e" for value in values]
        axis.barh(places, values, xerr=spread, color=colours, height=0.6, capsize=2)
        for place, row in zip(places, bars, strict=True):
            axis.text(0.02, place, f"{row.ratio:.2f}x", va="center", color="white", fontsize=8)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(metric, fontsize=10)
        axis.set_yticks(range(len(models)), models, fontsize=8)
    axes[0][0].invert_yaxis()  # shared: the first model on top
    figure.supxlabel("speed of gristmill / speed of llama.cpp at its better setting", fontsize=9)
    figure.tight_layout()
    paths = [folder / "ratios.svg", folder / "ratios.png"]
    for path in paths:
        figure.savefig(path, dpi=150)
    plt.close(figure)
    return paths
