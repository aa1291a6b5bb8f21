# SPDX-License-Identifier: MIT
"""bench/peers.py with fake sides; with a real llama.cpp where GRISTMILL_PEER names its folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import peers
from compare import OWN
from gristmill.quantize.recipe import FILE_TYPES
from make_model import random_model
from peer_install import BUILDS, Peer, cmake_args, default_builds, ensure_peer, python_of
from shapes import Shape

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
TINY = Shape(dim=256, ffn=512, layers=2, heads=4, kv_heads=2, vocab=500, context=128)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Three fake sides, one of which fails; returns the words of a short run."""
    found = [
        peers.Side(OWN, FAKE),
        peers.Side("llama.cpp repack", (*FAKE, "--fail")),
        peers.Side("llama.cpp plain", FAKE, {"repack": False}),
    ]
    monkeypatch.setattr(peers, "sides", lambda _: found)
    peer = Peer("native", Path("python"), {"package": "p", "version": "1", "cmake_args": "-D"})
    monkeypatch.setattr(peers, "ensure_peer", lambda *_: peer)
    monkeypatch.setattr(peers, "fill_panel_cache", lambda _: None)
    monkeypatch.setenv("GRISTMILL_CACHE", "off")
    model = tmp_path / "model-q4_0.gguf"
    model.write_bytes(b"GGUF")
    return [
        "--peer-env", "env", "--out", str(tmp_path / "out"), "--files", str(model),
        "--rounds", "2", "--threads", "1", "--prompt", "8", "--decode", "2",
    ]  # fmt: skip


def test_defaults() -> None:
    options = peers.parse(["--peer-env", "e", "--out", "o"])
    assert options.types == ["Q4_K_M", "Q4_0", "Q8_0", "Q6_K", "Q5_K_M"]
    assert list(peers.scenarios(options)) == ["quiet"]
    assert options.builds[0] == "native"
    with pytest.raises(SystemExit):
        peers.parse(["--peer-env", "e", "--out", "o", "--rounds", "0"])


def test_a_failing_side_is_recorded_and_the_rest_goes_on(
    fake: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main([*fake, "--scenarios", "quiet", "strangers", "--hogs", "1"]) == 0
    document = json.loads((tmp_path / "out/peers.json").read_text())
    order = [(r["scenario"], r["round"], r["side"]) for r in document["runs"]]
    assert order[:5] == [
        ("quiet", 0, OWN), ("quiet", 0, "llama.cpp repack"), ("quiet", 0, "llama.cpp plain"),
        ("quiet", 1, "llama.cpp plain"), ("quiet", 1, OWN),  # by turns; the failed one is out
    ]  # fmt: skip
    failed = [r for r in document["runs"] if r["error"]]
    assert {r["error"] for r in failed} == {"[fake] It does not work. (exit 3)"}
    assert document["scenarios"]["strangers"] == {"threads": 1, "hogs": 1}
    assert document["own"] == {"version": "fake", "isa": "none"}
    report = (tmp_path / "out/peers.md").read_text()
    assert "| model-q4_0 | pp8, tokens/s |" in report
    assert "## strangers: 1 threads, 1 busy processes beside" in report
    assert "- model-q4_0, quiet, llama.cpp repack: [fake] It does not work. (exit 3)" in report
    assert "FAILED: [fake] It does not work." in capsys.readouterr().out


def test_the_plot_has_a_panel_per_speed(fake: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib (pip install matplotlib)")
    assert peers.main(fake) == 0
    drawing = (tmp_path / "out/ratios.svg").read_text()
    assert drawing.count("axes_") >= 2
    assert (tmp_path / "out/ratios.png").stat().st_size > 1000


def test_an_interrupt_keeps_what_was_measured(
    fake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = peers.run_worker
    calls = []

    def interrupted(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measured(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(peers, "run_worker", interrupted)
    assert peers.main(fake) == 0
    assert len(json.loads((tmp_path / "out/peers.json").read_text())["runs"]) == 3
    assert "| model-q4_0 | pp8, tokens/s |" in (tmp_path / "out/peers.md").read_text()


def test_a_run_in_which_everything_fails_says_so(
    fake: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "sides", lambda _: [peers.Side(OWN, ("no-such-program",))])
    assert peers.main(fake) == 1


def test_a_hanging_side_is_ended() -> None:
    sleeper = peers.Side("sleeper", (sys.executable, "-c", "import time; time.sleep(60)"))
    result, error = peers.run_worker(sleeper, peers.Job("m", 1), 0.3)
    assert (result, error) == ({}, "not done after 0 s")


def test_a_crash_is_named() -> None:
    crash = (sys.executable, "-c", "import os; os.kill(os.getpid(), 11)")
    result, error = peers.run_worker(peers.Side("crash", crash), peers.Job("m", 1), 30)
    assert (result, error) == ({}, "no message (SIGSEGV)")


def test_a_build_that_fails_names_its_log(fake: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Peer:
        raise RuntimeError("[peers] did not build. See build.log.")

    monkeypatch.setattr(peers, "ensure_peer", refuse)
    assert peers.main(fake) == 1


def test_missing_files_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapes.SHAPES", {"tiny": TINY})
    options = peers.parse(
        ["--peer-env", "e", "--out", "o", "--models", str(tmp_path), "--shape", "tiny",
         "--types", "Q8_0"]
    )  # fmt: skip
    paths = list(peers.model_files(options))
    assert [path.name for path in paths] == ["tiny-q8_0.gguf"]
    assert paths[0].read_bytes()[:4] == b"GGUF"


def test_builds() -> None:
    assert cmake_args("native") == "-DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release"
    assert "-DCMAKE_CXX_FLAGS='-fno-tree-dse -fno-dse'" in cmake_args("amx-fixed")
    assert default_builds(["avx2"]) == ["native"]
    assert default_builds(["avx2", "amx_int8"]) == list(BUILDS)


def test_only_the_first_build_runs_plain() -> None:
    found = peers.sides([Peer(name, Path(name), {}) for name in ("native", "no-amx")])
    assert [side.name for side in found] == [
        OWN, "llama.cpp repack flash", "llama.cpp repack", "llama.cpp plain flash",
        "llama.cpp plain", "llama.cpp no-amx repack flash", "llama.cpp no-amx repack",
    ]  # fmt: skip
    assert found[3].settings == {"repack": False, "flash": True}


@pytest.mark.skipif(
    not os.environ.get("GRISTMILL_PEER"), reason="GRISTMILL_PEER names no folder of peer builds"
)
@pytest.mark.parametrize("kind", sorted(FILE_TYPES))
def test_the_real_peer_loads_our_files(kind: str, tmp_path: Path) -> None:
    """Random-weight files are whole for llama.cpp too, and plain decoding measures something."""
    folder = Path(os.environ["GRISTMILL_PEER"])
    build = next(name for name in BUILDS if python_of(folder / name).exists())
    path = tmp_path / "m.gguf"
    random_model(path, TINY, kind)
    side = next(s for s in peers.sides([ensure_peer(folder, build)]) if "plain flash" in s.name)
    job = peers.Job(str(path), 1, prompt=16, decode=4, depth=32, settings=side.settings)
    result, error = peers.run_worker(side, job, 120)
    assert error == ""
    assert result["metrics"]["tg4@32"] > 0
