# SPDX-License-Identifier: MIT
"""The memory plan against the peak that a child process really reached, and what is available."""

from __future__ import annotations

from pathlib import Path

import pytest

import memory_error
from gristmill import gguf, host_memory, hub, machine, memory
from gristmill.errors import UnsupportedError
from make_model import random_model
from shapes import Recurrence, Shape

# A vocabulary and a KV cache that weigh as much as the weights, and an odd shape of small blocks.
WIDE = Shape(dim=512, ffn=1024, layers=4, heads=8, kv_heads=8, vocab=24000, context=8192)
MIXTURE = Shape(
    dim=512, ffn=1024, layers=4, heads=8, kv_heads=4, vocab=6000, context=1024, experts=16,
    experts_used=4, expert_ffn=512, architecture="qwen3moe", tokenizer="qwen2",
)  # fmt: skip
ODD = Shape(dim=320, ffn=864, layers=5, heads=5, kv_heads=1, vocab=4099, context=2048, tied=True)

# States and their checkpoints weigh as much as the weights.
HYBRID = Shape(
    dim=320, ffn=864, layers=4, heads=5, kv_heads=1, vocab=4099, context=4096, tied=True,
    architecture="qwen35",
    recurrence=Recurrence((3,), taps=4, key_heads=8, heads=8, key_dim=128, value_dim=128),
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("memory")
    made = {name: folder / f"{name}.gguf" for name in ("wide", "odd", "mixture", "hybrid")}
    random_model(made["mixture"], MIXTURE, "Q4_K_M")
    random_model(made["wide"], WIDE, "Q4_K_M")
    random_model(made["odd"], ODD, {"default": "Q8_0", "token_embd": "F16"})
    random_model(made["hybrid"], HYBRID, "Q4_K_M")
    return {**made, "bundled": hub.bundled_model()}


@pytest.mark.measures
@pytest.mark.parametrize(
    ("name", "context", "batch"),
    [
        ("bundled", 1024, 512),
        ("wide", 6000, 256),
        ("wide", 64, 64),
        ("odd", 2048, 2048),
        ("mixture", 1024, 512),
        ("hybrid", 4096, 512),
    ],
)
def test_the_plan_is_within_3_percent_of_the_peak(
    files: dict[str, Path], name: str, context: int, batch: int
) -> None:
    outcome = memory_error.compare(memory_error.Case(str(files[name]), context, batch))
    assert abs(outcome.error) < 0.03, memory_error.row(outcome)


def test_the_largest_context_is_the_last_that_fits(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gguf.File(files["wide"])
    small = memory.estimate(file, 640, threads=1)
    room = small.total - small.parts["process"]
    monkeypatch.setattr(host_memory, "available_bytes", lambda: (room, "test"))
    exact = memory.estimate(file, 640, threads=1)
    assert (exact.fits, exact.largest_context) == (True, 640)
    beyond = memory.estimate(file, 641, threads=1)
    assert (beyond.fits, beyond.largest_context) == (False, 640)
    monkeypatch.setattr(host_memory, "available_bytes", lambda: (2**20, "test"))
    assert memory.estimate(file, 640).largest_context is None
    monkeypatch.setattr(host_memory, "available_bytes", lambda: (None, "test"))
    unknown = memory.estimate(file, 640)
    assert (unknown.fits, unknown.largest_context) == (True, None)


def test_parts_grow_with_what_they_belong_to(files: dict[str, Path]) -> None:
    file = gguf.File(files["wide"])
    small = memory.estimate(file, 1024, max_batch=128, threads=1).parts
    longer = memory.estimate(file, 2048, max_batch=128, threads=1).parts
    assert longer["kv_cache"] == pytest.approx(2 * small["kv_cache"], rel=1e-3)
    assert longer["rope_tables"] == 2 * small["rope_tables"]
    wider = memory.estimate(file, 1024, max_batch=256, threads=1).parts
    assert wider["activations"] == pytest.approx(2 * small["activations"], rel=0.01)
    parallel = memory.estimate(file, 1024, max_batch=128, threads=3).parts
    # Scratch for each thread and, for several, a place for the results of attention's chunks.
    assert 2.85 * small["scratch"] <= parallel["scratch"] <= 3.6 * small["scratch"]
    assert {name for name in small if small[name] == parallel[name]} >= {"panels", "kv_cache"}
    assert set(small) == set(memory.LABELS)


def test_unknown_kv_types_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"f16.*'q3'"):
        memory.estimate(gguf.File(hub.bundled_model()), kv="q3")


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


MEMINFO = "MemTotal: 8000 kB\nMemFree: 1000 kB\nMemAvailable:    5000 kB\n"


def test_what_is_available(tmp_path: Path) -> None:
    assert host_memory.available_bytes(str(tmp_path)) == (None, "the system does not say")
    write(tmp_path, "proc/meminfo", MEMINFO)
    assert host_memory.available_bytes(str(tmp_path))[0] == 5000 * 1024
    # cgroup v2: no limit of its own, one of its parent, whose file pages can be given back.
    write(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    write(tmp_path, "sys/fs/cgroup/a/b/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/a/b/memory.current", "100\n")
    assert host_memory.available_bytes(str(tmp_path))[0] == 5000 * 1024
    write(tmp_path, "sys/fs/cgroup/a/memory.max", "4000000\n")
    write(tmp_path, "sys/fs/cgroup/a/memory.current", "3000000\n")
    write(tmp_path, "sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500000\n")
    left, why = host_memory.available_bytes(str(tmp_path))
    assert left == 1_500_000
    assert "control group" in why
    write(tmp_path, "sys/fs/cgroup/a/memory.high", "3200000\n")
    assert host_memory.available_bytes(str(tmp_path))[0] == 700_000


def test_what_a_version_1_group_leaves(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/docker/7\n")
    write(tmp_path, "sys/fs/cgroup/memory/docker/7/memory.limit_in_bytes", "2000000\n")
    write(tmp_path, "sys/fs/cgroup/memory/docker/7/memory.usage_in_bytes", "1500000\n")
    assert host_memory.available_bytes(str(tmp_path))[0] == 500_000
    write(tmp_path, "sys/fs/cgroup/memory/docker/7/memory.usage_in_bytes", "2500000\n")
    assert host_memory.available_bytes(str(tmp_path))[0] == 0


def test_this_process_has_memory() -> None:
    now, peak = machine.resident_bytes(), machine.peak_rss_bytes()
    assert now is not None
    assert peak is not None
    assert 2**20 < now <= peak
