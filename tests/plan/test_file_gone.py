# SPDX-License-Identifier: MIT
"""Files that are shortened while they are mapped: a ResourceError, where SIGBUS ended the process.

Each case is a process of its own: a handler that fails takes its process with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from random_llama import Tiny

from make_model import random_model
from shapes import Recurrence, Shape

MakeFile = Callable[[Tiny], Path]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGBUS"), reason="this system has no SIGBUS")

# Its embedding (the first tensor, in the map) is 800 kB, the panels 3 MB.
SHAPE = Tiny(dim=256, ffn=512, vocab=3000, weights="Q8_0")
# The same with a layer that keeps a state.
RECURRENT = Shape(
    dim=256, ffn=512, layers=2, heads=4, kv_heads=2, vocab=3000, context=256, architecture="lfm2",
    recurrence=Recurrence((1,), taps=3),
)  # fmt: skip

START = """
import faulthandler, mmap, os, signal, sys
import numpy as np
from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.errors import ContextError, ResourceError
from gristmill.gguf import File

def refused(call, words):
    try:
        call()
    except ResourceError as error:
        assert words in str(error), error
    else:
        raise SystemExit("no error: " + words)

path, cache = sys.argv[1:]
file = File(path)
plan = build_plan(file).to_dict()
"""

WHILE_LOADING = """
def shorten(done, total):
    if done >= total * part:
        os.truncate(path, 4096 * 40)
refused(lambda: _core.Model(file.core, plan, 2, "", shorten), path)
refused(file.check, "shortened")
"""

BEFORE_FORWARD = """
model = _core.Model(file.core, plan, 2)
first, second = _core.Session(model, 16), _core.Session(model, 16)
first.forward([2999])
os.truncate(path, 4096 * 40)
refused(lambda: first.forward([2999, 1]), path)
assert first.position == 1
for call in (first.logits, lambda: first.candidates(3)):
    try:
        call()
        raise SystemExit("logits of zeros")
    except ContextError:
        pass
refused(lambda: second.forward([1]), "shortened")
refused(lambda: first.forward([1]), "shortened")
"""

# The pass that failed has changed the state: it goes back to the last checkpoint.
BEFORE_A_STATE = """
model = _core.Model(file.core, plan, 2)
session = _core.Session(model, 64)
session.forward([1, 2, 3])
session.checkpoint()
session.forward([4, 5])
os.truncate(path, 4096 * 40)
refused(lambda: session.forward([2999, 1]), path)
assert session.position == 3
"""

CACHE_ENTRY = """
writer = _core.Model(file.core, plan, 2, "", None, cache).cache_writer()
while writer.step():
    pass
writer.commit()
model = _core.Model(file.core, plan, 2, "", None, cache)
state, entry, _ = model.cache
assert state in ("hit", "compared"), state
session = _core.Session(model, 16)
session.forward([1])
os.truncate(entry, 8192)
refused(lambda: session.forward([1]), entry)
again = _core.Model(file.core, plan, 2, "", None, cache)
assert again.cache[0] == "miss"
_core.Session(again, 16).forward([1])
"""

READING = """
view = file.data("token_embd.weight")
assert view.any()
os.truncate(path, 0)
refused(lambda: file.core.value("llama.block_count"), "shortened")
assert not view[-1].any()
refused(file.check, path)
refused(lambda: file.dequantize("token_embd.weight"), path)
refused(lambda: file.data("output.weight"), path)
"""

REPLACED = """
model = _core.Model(file.core, plan, 2)
with open(path + ".new", "wb") as other:
    other.write(b"something else")
os.replace(path + ".new", path)
session = _core.Session(model, 16)
session.forward([2999])
file.check()
assert np.isfinite(file.dequantize("token_embd.weight")).all()
"""

THEIR_MAP = """
with open(path, "rb") as other:
    theirs = mmap.mmap(other.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(path, 0)
theirs[0]
print("alive")
"""

SENT = """
os.kill(os.getpid(), signal.SIGBUS)
print("alive")
"""

IGNORED = """
signal.signal(signal.SIGBUS, signal.SIG_IGN)
File(path)
os.kill(os.getpid(), signal.SIGBUS)
"""


@pytest.fixture
def path(tiny: MakeFile, tmp_path: Path) -> Path:
    """A copy that may be ruined."""
    return Path(shutil.copy(tiny(SHAPE), tmp_path / "model.gguf"))


def run(path: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    cache = path.parent / "cache"
    cache.mkdir()
    return subprocess.run(
        [sys.executable, "-c", "".join(parts), str(path), str(cache)],
        capture_output=True,
        text=True,
        timeout=120,
    )


CASES = {
    "before the first byte": "part = 0\n" + WHILE_LOADING,
    "in the middle": "part = 0.3\n" + WHILE_LOADING,
    "after the last byte": "part = 1\n" + WHILE_LOADING,
    "before a forward": BEFORE_FORWARD,
    "a cache entry": CACHE_ENTRY,
    "reading": READING,
    "replaced": REPLACED,
    "a signal that is ignored": IGNORED,
}


@pytest.mark.parametrize("case", CASES)
def test_the_process_goes_on(path: Path, case: str) -> None:
    done = run(path, START, CASES[case])
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_state_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    random_model(path, RECURRENT, {"default": "Q8_0"})
    done = run(path, START, BEFORE_A_STATE)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_beside_a_fault_handler(path: Path) -> None:
    done = run(path, START, "faulthandler.enable()\n", "File(path)\n", BEFORE_FORWARD)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="AddressSanitizer ends the process at such a signal itself",
)
@pytest.mark.parametrize("fault", [THEIR_MAP, SENT])
@pytest.mark.parametrize("handler", ["none", "before", "after", "after and mapped again"])
def test_other_faults_end_it_as_before(path: Path, fault: str, handler: str) -> None:
    enable = "import faulthandler\nfaulthandler.enable()\n"
    before, after = {
        "none": ("", ""),
        "before": (enable, ""),
        "after": ("", enable),
        "after and mapped again": ("", enable + "again = File(path)\n"),
    }[handler]
    done = run(path, before, START, after, fault)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")
    told = done.stderr.count("Fatal Python error: Bus error")
    assert told == (handler != "none"), done.stderr
