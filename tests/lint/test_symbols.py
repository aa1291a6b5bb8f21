# SPDX-License-Identifier: MIT
"""ISA objects export one constant table and nothing else.

An object compiled with -mavx512f that holds a weak copy of any inline function can poison the
whole program: the linker may keep that copy for everyone. Objects are taken from the build folder
that GRISTMILL_BUILD_DIR names, or compiled here with the flags of CMakeLists.txt.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lint_sources import ROOT

# nm types: T D R B S are external definitions, V W u weak or unique ones, U is undefined.
DEFINED = set("TDRBSVWuvwC")
ARM = platform.machine().lower() in ("aarch64", "arm64")
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ISAS = {
    name: flags.split()
    for name, flags in re.findall(r"gm_add_isa\((\w+)((?: -m\S+)*)\)", CMAKE)
    if (ROOT / f"csrc/kernels/isa/{name}.cpp").exists()
    and (name == "scalar" or name.startswith("neon") == ARM)
}


def _compile(name: str, folder: Path) -> Path:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler, and GRISTMILL_BUILD_DIR is not set")
    target = folder / f"{name}.o"
    source = ROOT / f"csrc/kernels/isa/{name}.cpp"
    options = ["-std=c++20", "-O1", "-fPIC", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti"]
    command = [compiler, *options, *ISAS[name], f"-I{ROOT / 'csrc'}", "-c", source, "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized command" in done.stderr or "unsupported option" in done.stderr:
        pytest.skip(f"the compiler has no flags for {name}")
    assert done.returncode == 0, done.stderr
    return target


def _object(name: str, folder: Path) -> Path:
    build = os.environ.get("GRISTMILL_BUILD_DIR")
    if not build:
        return _compile(name, folder)
    found = sorted(Path(build).rglob(f"gm_isa_{name}.dir/**/*.o"))
    assert found, f"no object of {name} under GRISTMILL_BUILD_DIR"
    return found[0]


def test_isas_are_listed() -> None:
    assert "scalar" in ISAS


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ISAS))
def test_one_table_per_object(name: str, tmp_path: Path) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm")
    listing = subprocess.run(
        [nm, "-C", _object(name, tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    symbols = [line[17:].split(" ", 1) for line in listing.splitlines() if len(line) > 18]
    defined = [f"{kind} {symbol}" for kind, symbol in symbols if kind in DEFINED]
    assert len(defined) == 1, "\n".join(defined)
    # Constant data: R, or D where position-independent code relocates its pointers.
    assert re.match(rf"[RDS] gm::.*{name}.*", defined[0]), defined[0]
    # What it needs from outside: memory functions, and the two functions of libm that IEEE 754
    # rounds exactly, where the level has no instruction for them.
    needed = {symbol for kind, symbol in symbols if kind == "U"}
    allowed = {
        "memcpy",
        "memset",
        "memmove",
        "memcmp",
        "fmaf",
        "sqrtf",
        "__stack_chk_fail",
        "_GLOBAL_OFFSET_TABLE_",
    }
    assert needed <= allowed, sorted(needed - allowed)
