# SPDX-License-Identifier: MIT
"""`gristmill verify`: exit codes, the table, JSON."""

from __future__ import annotations

import json
from pathlib import Path

from terminal import one_sentence, run


def test_a_good_file_in_words_and_json() -> None:
    done = run("verify")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        [name, "ok"] for name in ("structure", "values", "model", "tokenizer", "template")
    ]
    assert lines[-1].endswith(": good")
    data = json.loads(run("verify", "tales", "-t", "1", "--json").stdout)
    assert data["good"] is True
    assert {check["state"] for check in data["checks"]} == {"ok"}


def test_a_damaged_file_exits_with_1(bundled_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(bundled_model.read_bytes()[:100_000])
    done = run("verify", str(path))
    assert (done.returncode, done.stderr) == (1, b"")
    text = done.stdout.decode()
    assert "structure  problem" in text
    assert text.splitlines()[-1] == f"{path}: damaged"
    done = run("verify", str(path), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["good"] is False


def test_a_wrong_hash_exits_with_1() -> None:
    done = run("verify", "--sha256", "0" * 64)
    assert done.returncode == 1
    assert "the hash is another" in done.stdout.decode()


def test_wrong_usage_exits_with_2() -> None:
    for arguments in (("--sha256", "12"), ("a.gguf", "-m", "b.gguf"), ("--nonsense",)):
        done = run("verify", *arguments)
        assert done.returncode == 2
        one_sentence(done.stderr)


def test_a_file_that_is_not_there() -> None:
    done = run("verify", "absent.gguf")
    assert done.returncode == 1
    assert "absent.gguf" in one_sentence(done.stderr)
