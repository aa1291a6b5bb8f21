# SPDX-License-Identifier: MIT
"""bench/kernels.py: cases, fractions and the table, with times that nobody measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kernels
from kernels import Case, Peaks, figure

PEAKS = Peaks(bandwidth=20e9, int8=500e9)


def test_fractions_of_the_peaks() -> None:
    found = figure(Case("Q4_K", "scalar", "cache", 1, 4), 1e-3, PEAKS)
    assert found.gb_per_s == pytest.approx(256 * 2048 * 144 / 256 / 1e-3 / 1e9)
    assert found.gmac_per_s == pytest.approx(256 * 2048 * 4 / 1e-3 / 1e9)
    assert found.of_bandwidth == pytest.approx(found.gb_per_s / 20)
    assert found.of_peak == pytest.approx(found.gmac_per_s / 500)
    assert figure(Case("F16", "scalar", "cache", 1, 4), 1e-3, PEAKS).of_peak is None


def test_bytes_are_those_in_memory() -> None:
    assert kernels.bytes_per_value("Q4_K") == 144 / 256
    assert kernels.bytes_per_value("NVFP4") == 36 / 64
    assert kernels.bytes_per_value("IQ2_XXS") == 108 / 256  # 66 in the file


@pytest.mark.parametrize("name", ["F32", "Q8_0", "Q4_K", "IQ1_S", "Q1_0"])
def test_the_memory_matrix_is_larger_than_caches(name: str) -> None:
    rows, K = Case(name, "scalar", "memory", 1, 1).shape
    assert rows % 16 == 0
    assert 630e6 < rows * K * kernels.bytes_per_value(name) <= 640e6


def test_a_run_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "SECONDS", 1e-4)
    monkeypatch.setattr("gristmill._core.measure_bandwidth", lambda *_: 20e9)
    monkeypatch.setattr("gristmill._core.measure_int8_peak", lambda *_: 500e9)
    words = "--formats Q4_K F16 --isa scalar --tokens 1 8 --matrices cache --threads 1 --out"
    assert kernels.main([*words.split(), str(tmp_path)]) == 0
    document = json.loads((tmp_path / "kernels.json").read_text())
    assert [(f["case"]["format"], f["case"]["tokens"]) for f in document["figures"]] == [
        ("Q4_K", 1), ("Q4_K", 8), ("F16", 1), ("F16", 8),
    ]  # fmt: skip
    assert all(f["seconds"] > 0 for f in document["figures"])
    table = (tmp_path / "kernels.md").read_text()
    assert "### scalar, 1 threads, cache\n\n| format | T=1 | T=8 |\n|---|---|---|\n" in table
    assert "GMAC/s (" in table


def test_many_tokens_do_not_run_over_the_memory_matrix() -> None:
    options = kernels.parse("--formats Q4_K --tokens 1 16 512 --matrices memory layer".split())
    found = [(c.matrix, c.tokens) for c in kernels.cases(options, "scalar", 1)]
    assert found == [
        ("memory", 1), ("memory", 16), ("layer", 1), ("layer", 16), ("layer", 512),
    ]  # fmt: skip


def test_unknown_formats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        kernels.parse(["--formats", "Q9_Z"])
    assert "invalid choice" in capsys.readouterr().err
