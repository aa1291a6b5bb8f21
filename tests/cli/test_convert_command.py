# SPDX-License-Identifier: MIT
"""`gristmill convert` and what becomes of its file."""

from __future__ import annotations

import json
from pathlib import Path

from checkpoints import LLAMA, write_model
from terminal import one_sentence, run


def test_convert_then_run(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    out = tmp_path / "out.gguf"
    done = run("convert", str(folder), str(out), "--type", "q8_0", "--name", "Tiny")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith(f"{out}: llama, Q8_0, 21 tensors, ")
    shown = json.loads(run("inspect", str(out), "--json").stdout)
    assert shown["metadata"]["general.name"] == "Tiny"
    assert run("verify", str(out)).returncode == 0
    assert run("run", "-m", str(out), "Hi", "-n", "2", "--ignore-eos").returncode == 0


def test_convert_json_and_notes(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", LLAMA | {"vocab_size": 400})
    done = run("convert", str(folder), str(tmp_path / "o.gguf"), "--json")
    data = json.loads(done.stdout)
    assert data["type"] == "F16"
    assert data["path"] == str(tmp_path / "o.gguf")
    assert "no row in the embedding table" in data["notes"][0]
    done = run("convert", str(folder), str(tmp_path / "o.gguf"))
    assert done.stderr.decode().startswith("note: 112 tokens have no row")


def test_failures_are_one_sentence_and_leave_nothing(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", LLAMA | {"architectures": ["NoSuchModel"]})
    done = run("convert", str(folder), str(tmp_path / "o.gguf"))
    assert done.returncode == 1
    assert "NoSuchModel" in one_sentence(done.stderr)
    done = run("convert", str(tmp_path / "nothing"), str(tmp_path / "o.gguf"))
    assert done.returncode == 1
    one_sentence(done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
