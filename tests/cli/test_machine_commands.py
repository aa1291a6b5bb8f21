# SPDX-License-Identifier: MIT
"""`gristmill plan`, `doctor` and `cache` through pipes, and --no-cache."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import environment, one_sentence, run

# The bundled model is too small for the cache: this program lowers the bar.
PROGRAM = (
    "import sys, gristmill.panel_cache as cache; cache.MIN_FILE_BYTES = 0; "
    "from gristmill.cli.main import main; sys.argv[0] = 'gristmill'; main()"
)


def cached_run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        env=environment(GRISTMILL_CACHE=str(folder)),
        check=False,
    )


def test_plan_json_adds_up() -> None:
    done = run("plan", "-c", "256", "-b", "64", "-t", "1", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["context"], data["max_batch"], data["threads"], data["kv"]) == (256, 64, 1, "f16")
    assert data["total"] == sum(data["parts"].values())
    assert data["fits"] is True
    assert data["largest_context"] > data["trained_context"]


def test_plan_shows_a_table_and_the_verdict() -> None:
    text = run("plan").stdout.decode()
    for words in ("weights, packed", "KV cache", "total", "it fits", "largest context"):
        assert words in text


def test_a_plan_that_does_not_fit_exits_with_1() -> None:
    done = run("plan", "-c", "16000000")
    assert done.returncode == 1
    assert "it does not fit" in done.stdout.decode()


def test_plans_that_cannot_be_made() -> None:
    done = run("plan", "-c", "17000000")
    assert done.returncode == 1
    assert "16777216" in one_sentence(done.stderr)
    done = run("plan", "--kv", "q3")
    assert done.returncode == 1
    assert "'q3'" in one_sentence(done.stderr)
    done = run("plan", "a.gguf", "-m", "b.gguf")
    assert done.returncode == 2
    assert "once" in one_sentence(done.stderr)


def test_doctor_measures_and_tells() -> None:
    done = run("doctor", "tales", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["healthy"] is True
    assert data["level"] in data["levels"]
    assert data["speed"]["bandwidth_one"] > 1e8
    assert data["speed"]["int8"][data["level"]] > 1e8
    assert data["models"][0]["decode_bound"] > 0
    assert data["topology"]["cores"] >= 1


def test_doctor_in_words() -> None:
    done = run("doctor", "tales", "--no-measure", env=environment(GRISTMILL_ISA="scalar"))
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    for words in ("kernels", "scalar (GRISTMILL_ISA)", "threads", "huge pages", "unset"):
        assert words in text
    bad = run("doctor", "nothing.gguf", "--no-measure")
    assert bad.returncode == 1
    assert "problem: nothing.gguf" in bad.stdout.decode()
    assert bad.stderr == b""


def test_the_cache_from_the_first_run_to_clearing(tmp_path: Path) -> None:
    arguments = ("run", "Once upon", "-n", "4", "--temp", "0", "--stats")
    without = cached_run(*arguments, "--no-cache", folder=tmp_path)
    assert b"cache      off (as asked)" in without.stderr
    assert list(tmp_path.iterdir()) == []
    first = cached_run(*arguments, folder=tmp_path)
    assert b"there was no entry" in first.stderr
    second = cached_run(*arguments, folder=tmp_path)
    assert b"cache      hit: " in second.stderr or b"cache      compared: " in second.stderr
    assert without.stdout == first.stdout == second.stdout

    listed = json.loads(cached_run("cache", "ls", "--json", folder=tmp_path).stdout)
    assert listed["folder"] == str(tmp_path / "panels")
    (entry,) = listed["entries"]
    assert entry["model"].endswith("gristmill-tales-q8_0.gguf")
    assert entry["bytes"] == listed["bytes"] == Path(entry["path"]).stat().st_size
    table = cached_run("cache", "ls", folder=tmp_path).stdout.decode()
    assert Path(entry["path"]).name in table

    assert cached_run("cache", "clear", folder=tmp_path).stdout.startswith(b"removed 1 entry, ")
    cleared = json.loads(cached_run("cache", "clear", "--json", folder=tmp_path).stdout)
    assert cleared == {"removed": 0, "bytes": 0}


def test_a_cache_that_is_off() -> None:
    done = run("cache", "ls", env=environment(GRISTMILL_CACHE="off"))
    assert done.stdout == b"off (GRISTMILL_CACHE)\n"


@pytest.mark.parametrize("command", [("cache",), ("cache", "--help")])
def test_cache_explains_itself(command: tuple[str, ...]) -> None:
    text = run(*command).stdout.decode()
    for words in ("ls", "clear", "GRISTMILL_CACHE_SIZE", "--no-cache"):
        assert words in text
