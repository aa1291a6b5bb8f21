# SPDX-License-Identifier: MIT
"""`gristmill embed` and `gristmill rerank` through pipes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from terminal import one_sentence, run

TEXTS = ["Once upon a time", "a little fox"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """What the bundled model makes of TEXTS, from the arguments."""
    done = run("embed", "--pooling", "last", *TEXTS)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.array([json.loads(line) for line in done.stdout.splitlines()], dtype=np.float32)


def test_every_way_in_and_out_gives_the_same(vectors: np.ndarray, tmp_path: Path) -> None:
    assert vectors.shape[0] == 2
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    lines = "\n".join([TEXTS[0], "", TEXTS[1], ""]).encode()
    out = tmp_path / "vectors"
    done = run("embed", "--pooling", "last", "-o", str(out), stdin=lines)
    assert (done.returncode, done.stdout) == (0, b"")
    saved = np.load(io.BytesIO(out.read_bytes()))
    assert saved.dtype == np.float32
    assert saved.tobytes() == vectors.tobytes()
    paths = [tmp_path / f"{i}.txt" for i in range(2)]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text)
    done = run("embed", "--pooling", "last", "-f", str(paths[0]), "-f", str(paths[1]))
    printed = np.array([json.loads(line) for line in done.stdout.splitlines()], dtype=np.float32)
    assert printed.tobytes() == vectors.tobytes()


def test_lengths_are_kept_on_request(vectors: np.ndarray) -> None:
    done = run("embed", "--pooling", "last", "--no-normalize", TEXTS[0])
    raw = np.array(json.loads(done.stdout), dtype=np.float32)
    assert np.linalg.norm(raw) > 1.5
    assert raw / np.linalg.norm(raw) == pytest.approx(vectors[0], abs=1e-6)


def test_failures_are_one_sentence(tmp_path: Path) -> None:
    done = run("embed", "text")
    assert done.returncode == 1
    assert "pooling='last'" in one_sentence(done.stderr)
    done = run("embed", "--pooling", "max", "text")
    assert "none, mean, cls, last, rank" in one_sentence(done.stderr)
    done = run("embed", "--pooling", "last", stdin=b"\n\n")
    assert done.returncode == 2
    assert "no line with a text" in one_sentence(done.stderr)
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    done = run("embed", "--pooling", "last", "-f", str(tmp_path / "x"))
    assert "not UTF-8" in one_sentence(done.stderr)
    done = run("rerank", "query", "document")
    assert done.returncode == 1
    assert "loaded to generate text" in one_sentence(done.stderr)
