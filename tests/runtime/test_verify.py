# SPDX-License-Identifier: MIT
"""What `verify` finds: each kind of damage is put into a file, and named."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gristmill import _core, gguf
from gristmill.errors import ResourceError
from gristmill.verify import Check, Verification, check_text, check_values, verify

EMBEDDING = "token_embd.weight"
KEY = "tokenizer.ggml."
SUPPORTED = [row for row in _core.tensor_types() if row[4] == "supported"]


def check(found: Verification, name: str) -> Check:
    (one,) = (c for c in found.checks if c.name == name)
    return one


def patched(source: Path, target: Path, changes: dict[int, bytes]) -> Path:
    """A copy with these bytes at these offsets."""
    content = bytearray(source.read_bytes())
    for offset, data in changes.items():
        content[offset : offset + len(data)] = data
    target.write_bytes(content)
    return target


def rewritten(source: Path, target: Path, changes: dict[str, Any]) -> gguf.File:
    """A file of the same keys, with these changes (None: left out), and the embedding alone."""
    file = gguf.File(source)
    with gguf.Writer(target) as writer:
        for key in file.metadata:
            value = changes.get(key, file.metadata[key])
            if value is not None:
                inferred = None if key in changes else file.metadata.type(key)
                writer.add(key, value, inferred)
        rows = changes.get("rows", file.tensors[EMBEDDING].shape[0])
        writer.add_tensor(EMBEDDING, np.zeros((rows, 32), np.float32), "Q8_0")
    return gguf.File(target)


def test_a_good_file(bundled_model: Path) -> None:
    calls: list[tuple[int, int]] = []
    digest = hashlib.sha256(bundled_model.read_bytes()).hexdigest()
    found = verify(
        bundled_model, sha256=f" {digest.upper()}\n", progress=lambda a, b: calls.append((a, b))
    )
    assert found.good
    names = ["sha256", "structure", "values", "model", "tokenizer", "template"]
    assert [(c.name, c.state) for c in found.checks] == [(name, "ok") for name in names]
    assert [a for a, _ in calls] == sorted(a for a, _ in calls)
    assert calls[-1][0] == calls[-1][1]
    assert found.to_dict()["good"] is True


@pytest.mark.parametrize(
    ("scale", "state", "words"),
    [
        (0x7E00, "problem", "32 NaN and 0 infinite values, the first in row 5, column 64"),
        (0x7BFF, "problem", "no trained weight is that large. Got 8.32e.06 in row 5, column 64"),
        (0x6000, "warning", "far larger than the others. Got 6.5e.04 in row 5, column 64"),
    ],
)
def test_a_damaged_scale(
    bundled_model: Path, tmp_path: Path, scale: int, state: str, words: str
) -> None:
    info = gguf.File(bundled_model).tensors[EMBEDDING]
    assert info.type == "Q8_0"
    block = info.offset + (5 * info.shape[1] + 64) // 32 * 34
    changes = {block: struct.pack("<H", scale) + b"\x7f" * 32}
    found = verify(patched(bundled_model, tmp_path / "bad.gguf", changes))
    values = check(found, "values")
    assert values.state == state
    assert found.good == (state != "problem")
    (text,) = values.problems + values.warnings
    assert f"tensor '{EMBEDDING}' (Q8_0)" in text
    assert re.search(words, text), text


@pytest.mark.parametrize("row", SUPPORTED, ids=[row[0] for row in SUPPORTED])
def test_the_scan_of_every_format(tmp_path: Path, row: tuple[str, int, int, int, str]) -> None:
    """Against NumPy on decoded values: random bytes, of which some make no finite number."""
    name, _, values, nbytes, _ = row
    shape = (3, 5, 2048 // values * values + values)
    blocks = shape[-1] // values * 15
    raw = np.random.default_rng(7).integers(0, 256, blocks * nbytes, np.uint8)
    with gguf.Writer(tmp_path / "x.gguf") as writer:
        writer.add("general.architecture", "none")
        writer.add_tensor("t", raw, name, shape=shape, raw=True)
    file = gguf.File(tmp_path / "x.gguf")
    with np.errstate(all="ignore"):
        flat = file.dequantize("t").ravel()
        size = np.abs(flat)
    finite = np.where(np.isfinite(flat), size, 0)
    bad = np.flatnonzero(~np.isfinite(flat))
    for threads in (1, 3):
        found = _core.scan_values(file.core, "t", threads)
        assert found is not None
        nans, infinities, first_bad, largest, largest_at, typical = found
        assert (nans, infinities) == (np.isnan(flat).sum(), np.isinf(flat).sum())
        assert not len(bad) or first_bad == bad[0]
        assert largest == finite.max()
        assert finite[largest_at] == finite.max()
        pieces = [finite[i : i + 4096].max() for i in range(0, len(flat), 4096)]
        assert typical == sorted(pieces)[len(pieces) // 2]


def test_types_without_a_decoder_are_named(tmp_path: Path) -> None:
    with gguf.Writer(tmp_path / "x.gguf") as writer:
        writer.add("general.architecture", "none")
        writer.add_tensor("ids", np.arange(8, dtype=np.int32))
        writer.add_tensor("w", np.ones(8, np.float32))
    found = check_values(gguf.File(tmp_path / "x.gguf"))
    assert found.state == "ok"
    assert found.detail.endswith("not decoded: 1 I32")


def test_a_truncated_file(bundled_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(bundled_model.read_bytes()[:-5000])
    found = verify(path)
    assert not found.good
    assert [c.name for c in found.checks] == ["structure"]
    assert "outside the file" in found.checks[0].problems[0]
    with pytest.raises(ResourceError):
        verify(tmp_path / "absent.gguf")


def test_missing_tensors_and_foreign_models(bundled_model: Path, tmp_path: Path) -> None:
    rewritten(bundled_model, tmp_path / "x.gguf", {})
    found = verify(tmp_path / "x.gguf")
    assert not found.good
    assert "attn_norm.weight' is missing" in check(found, "model").problems[0]
    rewritten(bundled_model, tmp_path / "y.gguf", {"general.architecture": "mamba"})
    found = verify(tmp_path / "y.gguf")
    assert found.good
    assert check(found, "model").state == "skipped"


def test_another_hash(bundled_model: Path) -> None:
    found = verify(bundled_model, sha256="0" * 64)
    assert not found.good
    assert "expected 0000" in check(found, "sha256").problems[0]
    for bad in ("", "0" * 63, "g" * 64):
        with pytest.raises(ValueError, match="64 hexadecimal"):
            verify(bundled_model, sha256=bad)


def _shuffled(tokens: list[str]) -> list[str]:
    return [*tokens[:3], *(f"{text}{i}" for i, text in enumerate(tokens[3:]))]


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"rows": 4000}, "problem", "4000 rows for 4096 tokens"),
        ({"rows": 4128}, "warning", "32 rows that are no token"),
        ({KEY + "bos_token_id": 4096}, "problem", "below the 4096 tokens"),
        ({KEY + "tokens": lambda t: t[:-1]}, "problem", "one entry per token"),
        ({KEY + "scores": lambda s: s * np.nan}, "problem", "finite"),
        ({KEY + "model": None}, "skipped", "the file has none"),
        ({KEY + "model": np.zeros(2, "i4")}, "problem", "no tokenizer"),
    ],
)
def test_tokenizers_that_disagree(
    bundled_model: Path, tmp_path: Path, changes: dict[str, Any], state: str, words: str
) -> None:
    was = gguf.File(bundled_model).metadata
    changes = {k: v(was[k]) if callable(v) else v for k, v in changes.items()}
    words_check, template = check_text(rewritten(bundled_model, tmp_path / "x.gguf", changes))
    assert words_check.state == state
    said = [*words_check.problems, *words_check.warnings, words_check.detail]
    assert any(words in text for text in said), said
    assert template.state == ("skipped" if state in ("skipped",) or "rows" not in changes else "ok")


def test_a_text_that_comes_back_changed(bundled_model: Path, tmp_path: Path) -> None:
    """The letters of two tokens change places: all arrays still fit."""
    tokens = list(gguf.File(bundled_model).metadata[KEY + "tokens"])
    h, e = tokens.index("<0x0A>"), tokens.index("<0xF0>")
    tokens[h], tokens[e] = "<0xF0>", "<0x0B>"
    file = rewritten(bundled_model, tmp_path / "x.gguf", {KEY + "tokens": tokens})
    words, _ = check_text(file)
    assert words.state == "problem"


Lint = Callable[[str], Check]


@pytest.fixture
def lint(bundled_model: Path, tmp_path: Path) -> Lint:
    """The check of a file with this template."""

    def check_of(source: str) -> Check:
        changes = {"tokenizer.chat_template": source}
        return check_text(rewritten(bundled_model, tmp_path / "x.gguf", changes))[1]

    return check_of


@pytest.mark.parametrize(
    ("source", "state", "words"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "ok", ""),
        ("{% for m in messages %}", "problem", "chat template"),
        ("{{ raise_exception('no') }}", "problem", "refuses the conversation: no"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "problem", "was stopped"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "problem", "chat template"),
        ("{{ messages[0].content }}", "warning", "drops what was said: 'It is Paris.'"),
    ],
)
def test_templates(lint: Lint, source: str, state: str, words: str) -> None:
    found = lint(source)
    assert found.state == state, found
    assert not words or any(words in text for text in found.problems + found.warnings), found
