# SPDX-License-Identifier: MIT
"""Medians and ratios of canned rounds."""

from __future__ import annotations

import pytest

from compare import OWN, Run, compare, compare_metric, fair_share, hopeless


def runs(side: str, metric: str, values: list[float], scenario: str = "quiet") -> list[Run]:
    return [Run("m", scenario, i, side, {metric: value}) for i, value in enumerate(values)]


def test_ratios_are_taken_round_by_round() -> None:
    """A slow machine in one round moves both sides, not the ratio."""
    found = compare_metric(
        [*runs(OWN, "pp512", [300, 30, 330]), *runs("peer", "pp512", [100, 10, 100])],
        "m", "quiet", "pp512",
    )  # fmt: skip
    assert found is not None
    assert (found.own, found.peer, found.best) == (300, 100, "peer")
    assert (found.ratio, found.low, found.high) == pytest.approx((3.0, 3.0, 3.3))
    assert found.rounds == 3


def test_the_peers_better_setting_counts() -> None:
    both = [*runs("repack", "tg64", [40, 44]), *runs("plain", "tg64", [30, 31])]
    found = compare_metric([*runs(OWN, "tg64", [42, 42]), *both], "m", "quiet", "tg64")
    assert found is not None
    assert found.best == "repack"
    assert found.ratio == pytest.approx((42 / 40 + 42 / 44) / 2)


def test_less_time_and_memory_is_better() -> None:
    data = [
        *runs(OWN, "load_to_first_token_s", [0.5]),
        *runs("slow", "load_to_first_token_s", [2.0]),
        *runs("fast", "load_to_first_token_s", [1.0]),
    ]
    found = compare_metric(data, "m", "quiet", "load_to_first_token_s")
    assert found is not None
    assert (found.best, found.ratio) == ("fast", 2.0)


def test_without_common_rounds_there_is_no_comparison() -> None:
    data = [*runs(OWN, "pp512", [1.0]), Run("m", "quiet", 1, "peer", {"pp512": 1.0})]
    assert compare_metric(data, "m", "quiet", "pp512") is None
    assert compare([Run("m", "quiet", 0, OWN, {}, "broken")]) == []


def test_scenarios_and_models_stay_apart() -> None:
    data = [
        *runs(OWN, "pp512", [10.0]), *runs("peer", "pp512", [5.0]),
        *runs(OWN, "pp512", [3.0], "strangers"), *runs("peer", "pp512", [1.0], "strangers"),
    ]  # fmt: skip
    assert [(c.scenario, c.ratio) for c in compare(data)] == [("quiet", 2.0), ("strangers", 3.0)]


def test_a_setting_that_wins_nothing_is_hopeless() -> None:
    data = [
        Run("m", "quiet", 0, "a", {"pp512": 100, "tg64": 10, "peak_rss_bytes": 9}),
        Run("m", "quiet", 0, "b", {"pp512": 10, "tg64": 20, "peak_rss_bytes": 9}),
        Run("m", "quiet", 0, "c", {"pp512": 60, "tg64": 9, "peak_rss_bytes": 1}),
    ]
    assert hopeless(data, ["a", "b", "c"]) == {"c"}


@pytest.mark.parametrize(
    ("cores", "threads", "strangers", "share"),
    [(2, 2, 0, 1.0), (2, 2, 2, 0.5), (8, 2, 2, 1.0), (2, 8, 0, 1.0), (4, 4, 4, 0.5)],
)
def test_fair_share(cores: int, threads: int, strangers: int, share: float) -> None:
    assert fair_share(cores, threads, strangers) == pytest.approx(share)
