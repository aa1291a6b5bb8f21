# SPDX-License-Identifier: MIT
"""bench/sweep.py on a tiny model: the figures of a row, and going on after an interrupt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sweep
from shapes import SHAPES, Shape

TINY = Shape(dim=256, ffn=512, layers=2, heads=4, kv_heads=2, vocab=500, context=128)
WORDS = "--shapes tiny --types Q8_0 Q4_0 --threads 1 --prompts 8 24 --depths 0 32 --decode 2"


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    return [*WORDS.split(), "--models", str(tmp_path), "--out", str(tmp_path / "out")]


def test_a_sweep_measures_and_goes_on(words: list[str], tmp_path: Path) -> None:
    assert sweep.main(words) == 0
    journal = tmp_path / "out/sweep.jsonl"
    lines = journal.read_text().splitlines()
    results = [json.loads(line)["result"] for line in lines]
    assert [json.loads(line)["row"]["type"] for line in lines] == ["Q8_0", "Q4_0"]
    for result in results:
        assert set(result["pp"]) == {"8", "24"}
        assert set(result["tg"]) == {"0", "32"}
        assert set(result["batch"]) == {"1", "2", "4", "8"}
        assert result["of_bandwidth"] > 0 < result["of_int8_peak"]
    assert "| tiny | Q4_0 | 1 |" in (tmp_path / "out/sweep.md").read_text()

    journal.write_text(lines[0] + "\n" + lines[1][:40])  # as an interrupt may leave it
    assert sweep.main(words) == 0
    again = journal.read_text().splitlines()
    assert again[0] == lines[0]
    assert json.loads(again[1])["row"]["type"] == "Q4_0"
    assert len(again) == 2


def test_a_broken_line_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.jsonl"
    path.write_text('{"row": {}}\n{"row": {"sha')
    assert sweep.read_records(path) == [{"row": {}}]
    assert "measured again" in capsys.readouterr().err


def test_a_failing_row_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"no model")
    row = sweep.Row("tiny", "Q8_0", 1, "", (8,), (0,), 2)
    result = sweep.run_row(path, row, 60)
    assert "exit 1" in result["error"]
    record = {"row": json.loads(row.key), "result": result}
    assert "failed: " in sweep.table([record]).splitlines()[-1]
    assert sweep.run_row(path, row, 0.01) == {"error": "not done after 0 s"}
