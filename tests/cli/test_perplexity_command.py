# SPDX-License-Identifier: MIT
"""`gristmill perplexity` and `gristmill compare` as people meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal import one_sentence, run

TEXT = "Once upon a time there was a little dog. It saw a big red ball and was happy. " * 20
OPTIONS = ("-c", "64", "--chunks", "3", "--threads", "2")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def test_perplexity_and_divergence(text: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.logits"
    done = run("perplexity", "-f", str(text), *OPTIONS, "--save-base", str(base), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["windows"], found["tokens"]) == (3, 3 * 31)
    assert 1 < found["perplexity"] < 1000
    shown = run("perplexity", "-f", str(text), *OPTIONS).stdout.decode()
    assert shown.startswith(f"perplexity {found['perplexity']:.4f} +- ")
    other = run("perplexity", "--kl-base", str(base), "--kv", "q4_0", "--json")
    far = json.loads(other.stdout)
    assert far["base"]["perplexity"] == pytest.approx(found["perplexity"], rel=1e-6)
    assert far["kl"] > 1e-4
    lines = run("perplexity", "--kl-base", str(base), "--kv", "q4_0").stdout.decode()
    assert f"KL divergence         {far['kl']:.6f}" in lines


def test_wrong_usage(text: Path, tmp_path: Path) -> None:
    both = run("perplexity", "-f", str(text), "--kl-base", str(text))
    assert both.returncode == 2
    assert "Give --text" in one_sentence(both.stderr)
    none = run("perplexity", "--kl-base", str(tmp_path / "nothing"))
    assert none.returncode == 1
    assert "cannot be read" in one_sentence(none.stderr)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in one_sentence(run("perplexity", "-f", str(binary)).stderr)


def test_compare(text: Path, tmp_path: Path, bundled_model: Path) -> None:
    name = str(bundled_model)
    done = run("compare", name, name, "-f", str(text), *OPTIONS, "--kv", "q4_0", "--json")
    assert done.returncode == 0, done.stderr
    reference, other = json.loads(done.stdout)
    assert (reference["kl"], reference["ratio"]) == (0, 1)
    assert other["kl"] > 1e-4
    assert other["bytes"] == reference["bytes"] > 1e6
    assert 8 < reference["bits_per_weight"] < 9
    table = run("compare", name, name, "-f", str(text), *OPTIONS).stdout.decode().splitlines()
    assert len(table) == 3
    assert "KL divergence" in table[0]


def test_compare_draws(text: Path, tmp_path: Path, bundled_model: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    name, plot = str(bundled_model), tmp_path / "plot.svg"
    done = run("compare", name, name, "-f", str(text), *OPTIONS, "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    assert plot.read_text().count("<use") > 0
