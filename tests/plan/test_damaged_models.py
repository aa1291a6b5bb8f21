# SPDX-License-Identifier: MIT
"""Damaged model files through the public API, to the last step: a typed error, or tokens.

tests/gguf/test_gguf_fuzz.py does so for the reader; here plan, weights and forward passes follow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_llama import Tiny

from gristmill import _core, gguf
from gristmill.architectures import build_plan
from gristmill.errors import GristmillError
from gristmill.verify import verify

MakeFile = Callable[[Tiny], Path]
SHAPE = Tiny(weights="Q8_0", head_dim=32)
EDGES = [0, 1, 2, 3, 9, 255, 2**16, 2**31, 2**32 - 1]


@pytest.fixture(scope="module")
def whole(tiny: MakeFile) -> bytes:
    return tiny(SHAPE).read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "case.gguf"


def use(path: Path) -> None:
    """Loads the file and runs it; a file that cannot says why."""
    try:
        verify(path, threads=1)
        file = gguf.File(path)
        model = _core.Model(file.core, build_plan(file).to_dict(), 1)
        session = _core.Session(model, 8, 8)
        for _ in range(3):
            session.forward([0, model.vocab_size - 1])
            session.candidates(2)
    except GristmillError:
        pass


changes = st.tuples(
    st.sampled_from(["u32", "flip"]), st.floats(0, 1), st.sampled_from(EDGES), st.booleans()
)


@settings(max_examples=300)
@given(st.lists(changes, min_size=1, max_size=3))
def test_damage_is_a_typed_error(
    whole: bytes, scratch: Path, changes: list[tuple[str, float, int, bool]]
) -> None:
    content = bytearray(whole)
    header = whole.rindex(b"output.weight") + 60
    for kind, place, value, in_header in changes:
        at = int(place * ((header if in_header else len(content)) - 5))
        if kind == "u32":
            content[at : at + 4] = struct.pack("<I", value)
        else:
            content[at] ^= value % 255 + 1
    scratch.write_bytes(content)
    use(scratch)
