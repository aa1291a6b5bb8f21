# SPDX-License-Identifier: MIT
"""The doctor's arithmetic, and what it finds on machines that are not like this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill import Model, doctor, hub, memory

TOPOLOGY = {
    "cpus": [0, 1, 2, 3], "online": 4, "sockets": 1, "cores": 4, "performance_cores": 4,
    "threads_per_core": 1, "quota": 0.0,
}  # fmt: skip
LEVELS = ["scalar", "avx2", "avx512_vnni"]


def texts(findings: list[doctor.Finding]) -> str:
    return "\n".join(f"{item.level}: {item.text} ({item.hint})" for item in findings)


def findings(level: str = "avx512_vnni", levels: list[str] = LEVELS, **changes: Any) -> str:
    return texts(doctor._cpu_findings(levels, level, {**TOPOLOGY, **changes}, 2))


def test_a_healthy_machine_has_no_findings() -> None:
    assert findings() == ""


def test_what_slows_a_machine_down_is_a_warning_with_a_way_out() -> None:
    assert "no AVX2" in findings("scalar", ["scalar"])
    assert "holds the kernels to avx2" in findings("avx2")
    assert "grants 2.50 of 4 cores" in findings(quota=2.5)
    assert "--cpus" in findings(quota=2.5)
    assert findings(quota=4.0) == ""
    assert "leaves 4 of 64 CPUs" in findings(online=64)
    assert findings(online=0) == ""  # not known
    assert findings(cpus=[]) == ""


def test_expected_speeds_are_fractions_of_the_bounds() -> None:
    model = Model.load(threads=1)
    speed = doctor.Speed(1, bandwidth_one=10e9, bandwidth_all=10e9, int8={"scalar": 2e12})
    found = doctor.outlook("tales", speed, "scalar")
    assert found.problem is None
    assert found.weight_bytes == model.weight_bytes
    assert found.decode_bound == pytest.approx(10e9 / model.weight_bytes)
    macs = model.macs_per_token + model.macs_per_logits_row / 512
    assert found.prefill_bound == pytest.approx(2e12 / macs)
    assert found.decode_expected is not None
    assert found.decode_expected[0] < found.decode_expected[1] < found.decode_bound
    assert found.total_bytes > found.weight_bytes
    unmeasured = doctor.outlook("tales", doctor.Speed(1, None, None, {}), "scalar")
    assert unmeasured.decode_bound is unmeasured.prefill_expected is None


def test_models_that_cannot_run_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    bad = doctor.diagnose([str(tmp_path / "bad.gguf"), "nothing.gguf"], measure=False)
    assert not bad.healthy
    assert "There is no file 'nothing.gguf'" in texts(bad.findings)
    monkeypatch.setattr(memory.host_memory, "available_bytes", lambda: (2**20, "test"))
    large = doctor.diagnose([str(hub.bundled_model())], measure=False)
    assert not large.healthy
    assert "no context fits" in texts(large.findings)
    assert "-c" in texts(large.findings)


def test_the_cache_is_looked_at_but_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "a/b"))
    found = doctor.diagnose([], measure=False)
    assert found.cache["folder"] == str(tmp_path / "a/b/panels")
    assert found.cache["entries"] == 0
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert "cannot be written" in texts(doctor.diagnose([], measure=False).findings)
    monkeypatch.setenv("GRISTMILL_CACHE", "off")
    off = doctor.diagnose([], measure=False)
    assert off.cache == {"folder": None, "why": "GRISTMILL_CACHE"}


def test_throttling_is_counted(tmp_path: Path) -> None:
    assert doctor._throttled(str(tmp_path)) == 0
    for name, text in {
        "proc/self/cgroup": "3:cpu,cpuacct:/y\n0::/x\n",
        "sys/fs/cgroup/x/cpu.stat": "usage_usec 5\nnr_throttled 4\n",
        "sys/fs/cgroup/cpu/y/cpu.stat": "nr_periods 9\nnr_throttled 3\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert doctor._throttled(str(tmp_path)) == 7
