# SPDX-License-Identifier: MIT
"""What a worker measures, and that both sides are asked for the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_worker import FakeEngine

from worker import Job, measure, peak_rss_bytes, token_ids


def test_a_job_survives_the_command_line() -> None:
    job = Job("m.gguf", 2, depth=4096, kv="q8_0", settings={"repack": False})
    assert Job.from_json(job.to_json()) == job
    with pytest.raises(TypeError):
        Job.from_json('{"model": "m.gguf", "threads": 2, "speed": 9}')


def test_the_metrics_of_a_short_job() -> None:
    engine = FakeEngine()
    result = measure(engine, Job("m.gguf", 1, prompt=16, decode=3))
    assert set(result["metrics"]) == {
        "load_to_first_token_s", "pp16", "tg3", "peak_rss_bytes", "first_start_s",
    }  # fmt: skip
    assert all(value > 0 for value in result["metrics"].values())
    # The first token, a prefill that warms up, the one that counts, three single tokens; and the
    # first token of a load without a cache.
    assert engine.calls == [1, 16, 16, 1, 1, 1, 1]
    assert [job.settings for job in engine.loads] == [{}, {"cache": False}]


def test_a_depth_is_filled_and_decoded_from() -> None:
    engine = FakeEngine()
    result = measure(engine, Job("m.gguf", 1, prompt=16, decode=3, depth=40))
    assert {"pp40", "tg3@40"} <= set(result["metrics"])
    assert engine.calls[6:] == [40, 1, 1, 1, 1]
    assert engine.furthest == 43 == engine.context


def test_tokens_are_in_the_vocabulary_and_differ() -> None:
    tokens = token_ids(512, 32000)
    assert all(0 <= token < 32000 for token in tokens)
    assert len(set(tokens)) == 512


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_is_the_childs_own() -> None:
    """A child of a large process is small."""
    ballast = bytearray(os.urandom(1 << 20)) * 256
    code = "from worker import peak_rss_bytes; print(peak_rss_bytes())"
    bench = Path(__file__).resolve().parents[2] / "bench"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=bench)
    assert int(done.stdout) < 128 << 20 < len(ballast) <= peak_rss_bytes()


def test_the_result_is_the_last_line() -> None:
    script = Path(__file__).with_name("fake_worker.py")
    job = Job("m.gguf", 1, prompt=4, decode=1).to_json()
    done = subprocess.run([sys.executable, str(script), job], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["facts"]["version"] == "fake"
