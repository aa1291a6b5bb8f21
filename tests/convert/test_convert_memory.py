# SPDX-License-Identifier: MIT
"""A conversion takes the same memory for any model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import LLAMA, bf16, llama_tensors, write_model

PROGRAM = r"""
import re, sys
from gristmill.convert import convert
# ru_maxrss would count what the parent had before exec.
peak = lambda: re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]
convert(sys.argv[1], sys.argv[2], "q8_0")
before = peak()
convert(sys.argv[3], sys.argv[2], "q8_0")
print(before, peak())
"""


@pytest.mark.measures
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    small = write_model(tmp_path / "small")
    config = LLAMA | {"intermediate_size": 64 * 1024}
    weights = {name: bf16(value) for name, value in llama_tensors(config).items()}
    large = write_model(tmp_path / "large", config, weights)
    largest = max(value.nbytes for value in weights.values())
    assert sum(value.nbytes for value in weights.values()) > 45 << 20
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(small), str(tmp_path / "o.gguf"), str(large)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, after = (int(word) << 10 for word in done.stdout.split())
    print(json.dumps({"grew_mib": (after - before) >> 20, "largest_mib": largest >> 20}))
    # A chunk of 2**20 values as read, as F32 and as encoded, with what NumPy copies on the way.
    assert after - before < 24 << 20
