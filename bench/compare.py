# SPDX-License-Identifier: MIT
"""Statistics of paired runs: medians, and ratios round by round.

On a shared machine the two sides of one round see about the same neighbours, so their ratio is
steadier than either figure. A ratio above 1 is always in gristmill's favour.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OWN = "gristmill"


@dataclass(frozen=True)
class Run:
    """One child process: what it measured, or why it did not.

    Attributes:
        model: name of the file measured.
        scenario: "quiet", "strangers", "oversubscribed".
        round: number of the round; runs of one round are comparable.
        side: "gristmill", or the peer with its setting ("llama.cpp repack flash").
        metrics: name -> value; empty if the run failed.
        error: last line of the failure; empty if there was none.
    """

    model: str
    scenario: str
    round: int
    side: str
    metrics: Mapping[str, float]
    error: str = ""


@dataclass(frozen=True)
class Comparison:
    """One metric of one model in one scenario.

    `ratio`, `low`, `high` are the median and the extremes of the per-round ratios; `best` names
    the peer's setting with the better median, which is the one compared with.
    """

    model: str
    scenario: str
    metric: str
    own: float
    best: str
    peer: float
    ratio: float
    low: float
    high: float
    rounds: int


def lower_is_better(metric: str) -> bool:
    """Times and bytes; everything else is a speed."""
    return metric.endswith(("_s", "_bytes"))


def _by_side(runs: Iterable[Run], metric: str) -> dict[str, dict[int, float]]:
    """side -> round -> value."""
    table: dict[str, dict[int, float]] = defaultdict(dict)
    for run in runs:
        if metric in run.metrics:
            table[run.side][run.round] = run.metrics[metric]
    return table


def compare_metric(
    runs: Iterable[Run], model: str, scenario: str, metric: str
) -> Comparison | None:
    """The comparison, or None where a side has no figures of a common round."""
    mine = [run for run in runs if run.model == model and run.scenario == scenario]
    table = _by_side(mine, metric)
    own = table.pop(OWN, {})
    shared = {side: rounds for side, rounds in table.items() if own.keys() & rounds.keys()}
    if not shared:
        return None
    pick = min if lower_is_better(metric) else max
    best = pick(shared, key=lambda side: statistics.median(shared[side].values()))
    peer = shared[best]
    rounds = sorted(own.keys() & peer.keys())
    ratios = [own[i] / peer[i] for i in rounds]
    if lower_is_better(metric):
        ratios = [1 / ratio for ratio in ratios]
    return Comparison(
        model, scenario, metric, statistics.median(own.values()), best,
        statistics.median(peer.values()), statistics.median(ratios), min(ratios), max(ratios),
        len(rounds),
    )  # fmt: skip


def unique(values: Iterable[str]) -> list[str]:
    """In order of first appearance."""
    return list(dict.fromkeys(values))


def compare(runs: Iterable[Run]) -> list[Comparison]:
    """Every metric of every model and scenario, in the order of appearance."""
    runs = list(runs)
    metrics = unique(metric for run in runs for metric in run.metrics)
    found = [
        compare_metric(runs, model, scenario, metric)
        for scenario in unique(run.scenario for run in runs)
        for model in unique(run.model for run in runs)
        for metric in metrics
    ]
    return [comparison for comparison in found if comparison is not None]


def hopeless(runs: Iterable[Run], sides: Iterable[str], within: float = 0.75) -> set[str]:
    """The peer's settings a quarter behind its best in every metric: not worth more rounds."""
    runs = [run for run in runs if run.side in set(sides)]
    useful: set[str] = set()
    for metric in unique(metric for run in runs for metric in run.metrics):
        medians = {
            side: statistics.median(rounds.values())
            for side, rounds in _by_side(runs, metric).items()
        }
        if metric == "peak_rss_bytes":
            continue  # the lean setting is not kept for its memory alone
        if lower_is_better(metric):
            limit = min(medians.values()) / within
            useful |= {side for side, value in medians.items() if value <= limit}
        else:
            limit = max(medians.values()) * within
            useful |= {side for side, value in medians.items() if value >= limit}
    return {run.side for run in runs} - useful


def fair_share(cores: int, threads: int, hogs: int) -> float:
    """The part of its quiet speed that a fair scheduler leaves to `threads` beside `hogs`.

    Quiet, the threads use min(threads, cores) cores; with hogs everybody gets cores / runnable.
    """
    quiet = min(threads, cores)
    runnable = threads + hogs
    return threads * min(1.0, cores / runnable) / quiet
