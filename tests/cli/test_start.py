# SPDX-License-Identifier: MIT
"""Starting: instant help and import, versions, and usage errors."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import pytest
from terminal import COMMAND, environment, one_sentence, run

HEAVY = ("numpy", "rich", "prompt_toolkit", "jinja2", "sentencepiece", "tokenizers", "asyncio")


def quickest(command: list[str]) -> float:
    """The least of wall and CPU seconds over ten runs: what the command costs, not its rivals."""
    best = float("inf")
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment())
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        best = min(best, wall, cpu)
    return best


def test_help_answers_in_a_fifth_of_a_second() -> None:
    assert quickest([*COMMAND, "--help"]) < 0.2


def test_import_takes_at_most_0_15_s() -> None:
    assert quickest([sys.executable, "-c", "import gristmill"]) < 0.15


@pytest.mark.parametrize(
    "code",
    ["import gristmill", "import gristmill.cli.main"],
)
def test_nothing_heavy_is_imported_early(code: str) -> None:
    code += f"; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_lists_the_commands() -> None:
    text = run("--help").stdout.decode()
    for command in ("run", "chat", "inspect", "plan", "bench", "doctor", "cache"):
        assert f"\n  {command} " in text
    assert run().stdout.decode() == text


@pytest.mark.parametrize("command", ["run", "chat", "inspect", "plan", "bench"])
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert b"--model" in done.stdout
    assert b"--debug" in done.stdout


def test_version() -> None:
    import gristmill

    done = run("--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"gristmill {gristmill.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["runn"], "runn"),
        (["run", "hi", "--nope"], "--nope"),
        (["run", "hi", "-n", "many"], "--max-tokens"),
        (["run", "hi", "--top-p", "1.5"], "--top-p"),
        (["run", "hi", "-t", "0"], "--threads"),
        (["run", "hi", "--repeat-penalty", "0"], "repeat_penalty"),
        (["run", "hi", "--temp", "nan"], "temperature"),
        (["run", "a", "-p", "b"], "once"),
        (["run"], "empty"),
        (["bench", "a.gguf", "-m", "b.gguf"], "once"),
        (["bench", "-p", "100", "-c", "10"], "too small"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments: list[str], names: str) -> None:
    done = run(*arguments)
    assert names in one_sentence(done.stderr)
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_model_file_as_prompt_is_a_hint(tmp_path: object) -> None:
    path = f"{tmp_path}/x.gguf"
    with open(path, "wb") as file:
        file.write(b"GGUF")
    done = run("run", path)
    assert done.returncode == 2
    assert f"-m {path}" in one_sentence(done.stderr)


def test_prompt_bytes_must_be_utf_8() -> None:
    done = run("run", "-", stdin=b"\xff\xfe")
    assert done.returncode == 2
    assert "not UTF-8" in one_sentence(done.stderr)


def test_a_missing_core_is_said_in_one_sentence(tmp_path: object) -> None:
    """A copy of the package without its extension: what a failed build leaves."""
    import shutil
    from pathlib import Path

    import gristmill

    source = Path(gristmill.__file__).parent
    ignore = shutil.ignore_patterns("_core*.so", "_core*.pyd", "data", "__pycache__")
    shutil.copytree(source, f"{tmp_path}/gristmill", ignore=ignore)
    # -S keeps an editable install's import hook out; the dependencies come through PYTHONPATH.
    paths = [str(tmp_path), *(p for p in sys.path if p.endswith("-packages"))]
    env = environment(PYTHONPATH=":".join(paths))
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gristmill", "run", "hi"],
        capture_output=True,
        env=env,
        check=False,
    )
    assert done.returncode == 1
    assert "compiled core is missing: reinstall with `pip install .`" in one_sentence(done.stderr)
