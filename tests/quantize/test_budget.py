# SPDX-License-Identifier: MIT
"""The choice of types under a budget, against trying everything; and the whole on a small model."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gristmill.errors import ResourceError
from gristmill.gguf import File
from gristmill.quantize.budget import Choice, choose


@pytest.mark.parametrize("seed", range(20))
def test_nearly_as_good_as_trying_everything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = ["a", "b", "c", "d"]
    options = {}
    for name in "uvwxyz":
        nbytes, price = rng.integers(1, 200), rng.lognormal(0, 2)
        options[name] = [
            Choice(kind, int(nbytes * bits), float(price * 4.0**-bits))
            for kind, bits in zip(kinds, (2, 3, 4, 6), strict=True)
        ]
    sizes = [sum(c.nbytes for c in choice) for choice in itertools.product(*options.values())]
    budget = int(rng.integers(min(sizes), max(sizes)))
    chosen = choose(options, budget)
    picked = [next(c for c in options[n] if c.kind == kind) for n, kind in chosen.items()]
    assert sum(c.nbytes for c in picked) <= budget
    best = min(
        sum(c.cost for c in choice)
        for choice in itertools.product(*options.values())
        if sum(c.nbytes for c in choice) <= budget
    )
    largest = max(c.cost for choices in options.values() for c in choices)
    assert sum(c.cost for c in picked) <= best * 1.5 + largest * 1e-3


def test_a_budget_that_is_too_small() -> None:
    options = {"x": [Choice("a", 100, 1.0)], "y": [Choice("a", 100, 1.0), Choice("b", 50, 2.0)]}
    with pytest.raises(ResourceError, match="at least"):
        choose(options, 149)
    assert choose(options, 150) == {"x": "a", "y": "b"}
    assert choose(options, 10**9) == {"x": "a", "y": "a"}


def command(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gristmill", "quantize", *words], capture_output=True, check=False
    )


def test_a_file_of_a_size(tmp_path: Path, bundled_model: Path) -> None:
    """The bundled model's vocabulary on a random body: prices need a text."""
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a little dog. It saw a big red ball. " * 20)
    options = ("--calibration", str(text), "-c", "64", "--chunks", "2", "--json")
    found = {}
    for bits in (4.0, 6.0):
        out = tmp_path / f"{bits}.gguf"
        done = command(str(bundled_model), str(out), "--target-bpw", str(bits), *options)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)
        assert bits - 0.3 < data["bits"] <= bits
        found[bits] = {t["after"] for t in data["tensors"]}
        assert len(File(out).tensors) == len(data["tensors"])
    assert len(found[4.0]) > 2
    small = command(str(bundled_model), str(tmp_path / "x"), "--target-size", "1M", *options)
    assert small.returncode == 1
    assert b"take at least" in small.stderr
    none = command(str(bundled_model), str(tmp_path / "x"), "--target-bpw", "4")
    assert b"needs a text" in none.stderr
    wrong = command(str(bundled_model), str(tmp_path / "x"), "--target-size", "many", *options)
    assert b"--target-size is a size such as 5G. Got 'many'" in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4.0.gguf", "6.0.gguf", "text.txt"]
