# SPDX-License-Identifier: MIT
"""Builds llama-cpp-python from its source package for this very CPU, in a virtual environment of
its own: a prebuilt wheel leaves out instructions, and nobody would believe the comparison.

A CPU with AMX gets three builds. GCC (12 is where it was seen) drops the stores that fill the tile
configuration of ggml-cpu/amx/mmq.cpp as dead, and the first batch of a plain native build dies of
a general protection fault (ggml-org/llama.cpp pull request 26954, issue 20824). So "native" is
what everybody gets, "amx-fixed" keeps those stores, and "no-amx" is the AVX-512 path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "llama-cpp-python"
CMAKE_ARGS = "-DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release"
# Build -> compiler flags besides those of the project.
BUILDS = {
    "native": "",
    "amx-fixed": "-fno-tree-dse -fno-dse",
    "no-amx": "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16",
}
NOTE = "built-for-comparison.json"  # in the environment: how it was built


@dataclass(frozen=True)
class Peer:
    """An environment that has the peer.

    Attributes:
        name: one of BUILDS.
        python: its interpreter.
        build: package, version and flags.
    """

    name: str
    python: Path
    build: dict[str, str]


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return environment / folder / name


def _version(python: Path) -> str | None:
    """The installed version, or None where it does not import."""
    code = "import llama_cpp; print(llama_cpp.__version__)"
    try:
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else None


def cmake_args(build: str) -> str:
    """CMAKE_ARGS of one of BUILDS."""
    flags = BUILDS[build]
    extra = f" -DCMAKE_C_FLAGS='{flags}' -DCMAKE_CXX_FLAGS='{flags}'" if flags else ""
    return CMAKE_ARGS + extra


def default_builds(cpu_flags: Sequence[str]) -> list[str]:
    """All builds where there is AMX, the native one elsewhere."""
    return list(BUILDS) if "amx_int8" in cpu_flags else ["native"]


def ensure_peer(
    folder: Path, build: str, version: str | None = None, jobs: int | None = None
) -> Peer:
    """One build of the peer in `folder`/`build`, made there first if need be.

    Args:
        folder: of the virtual environments; made if it is not there.
        build: one of BUILDS.
        version: the version of llama-cpp-python; None takes the newest, or what is there.
        jobs: compile jobs; None uses every core.

    Raises:
        RuntimeError: the build failed; the message names its log.
    """
    environment = folder / build
    python = python_of(environment)
    have = _version(python) if python.exists() else None
    if have is None or (version is not None and have != version):
        have = _build(environment, cmake_args(build), version, jobs)
    note = environment / NOTE
    known = {"package": PACKAGE, "cmake_args": "unknown (found installed)"}
    if note.exists():
        known |= json.loads(note.read_text(encoding="utf-8"))
    return Peer(build, python, {**known, "version": have})


def _build(environment: Path, flags: str, version: str | None, jobs: int | None) -> str:
    """Makes the environment and compiles; returns the version."""
    python = python_of(environment)
    environment.parent.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        venv.create(environment, with_pip=True)
    wanted = PACKAGE + (f"=={version}" if version else "")
    log = environment / "build.log"
    # --no-cache-dir: pip would reuse the wheel of another build, whose flags it does not know.
    command = [
        str(python), "-m", "pip", "install", "--verbose", "--force-reinstall", "--no-cache-dir",
        "--no-binary", PACKAGE, wanted,
    ]  # fmt: skip
    setting = {
        "CMAKE_ARGS": flags,
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs or os.cpu_count() or 1),
    }
    print(f"building {wanted} ({flags}); minutes; log: {log}", file=sys.stderr, flush=True)
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            command, env={**os.environ, **setting}, stdout=out, stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    have = _version(python) if done.returncode == 0 else None
    if have is None:
        raise RuntimeError(f"[peers] {wanted} did not build (pip: {done.returncode}). See {log}.")
    note = {"package": PACKAGE, "version": have, "cmake_args": flags}
    (environment / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    return have
