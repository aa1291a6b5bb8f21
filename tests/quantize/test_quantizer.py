# SPDX-License-Identifier: MIT
"""Whole files: what the recipe says, what other readers see, and what must not happen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gguf
from gristmill import Model, _core
from gristmill.errors import FormatError, ResourceError, ShapeError, UnsupportedError
from gristmill.gguf import File, Writer
from gristmill.quantize import quantize
from gristmill.quantize.recipe import FILE_TYPES, tensor_type
from make_model import random_model
from shapes import Shape

SHAPE = Shape(dim=256, ffn=512, layers=8, heads=8, kv_heads=2, vocab=403, context=128)
WRITABLE = sorted(
    name for name, (_, base) in FILE_TYPES.items() if not base.startswith(("IQ1", "IQ2", "IQ3"))
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantize") / "f16.gguf"
    random_model(path, SHAPE, "F16", seed=3)
    return path


@pytest.mark.parametrize("kind", sorted(set(WRITABLE) - {"Q1_0", "Q2_0"}))  # which it knows
def test_every_type_opens_in_another_reader(source: Path, tmp_path: Path, kind: str) -> None:
    done = quantize(source, tmp_path / "out.gguf", kind, threads=2)
    reader = gguf.GGUFReader(done.path)
    assert reader.fields["general.file_type"].contents() == FILE_TYPES[kind][0]
    before = {t.name: t for t in gguf.GGUFReader(source).tensors}
    worst = {r.name: r for r in done.tensors}
    for tensor in reader.tensors:
        wanted = before[tensor.name].tensor_type.name
        if len(tensor.shape) > 1:
            wanted = tensor_type(
                kind, tensor.name, int(tensor.shape[0]), layers=8, gqa=4, tied=False
            )
        assert tensor.tensor_type.name == wanted
        report = worst[tensor.name]
        assert (report.after, report.nbytes) == (wanted, int(tensor.n_bytes))
        values = gguf.quants.dequantize(before[tensor.name].data, before[tensor.name].tensor_type)
        back = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        lost = np.sqrt(
            ((back - values) ** 2).sum(dtype=np.float64) / (values**2).sum(dtype=np.float64)
        )
        assert lost == pytest.approx(report.error, rel=1e-3, abs=1e-6)
    assert done.bits == pytest.approx(
        8 * done.nbytes / sum(int(np.prod(t.shape)) for t in before.values())
    )
    session = Model.load(done.path, threads=2, cache=False).session()
    session.append([1, 2, 3])
    assert np.isfinite(session.logits()).all()


def test_metadata_stay(source: Path, tmp_path: Path) -> None:
    old, new = File(source), File(quantize(source, tmp_path / "q.gguf", "Q4_0").path)
    changed = {"general.file_type", "general.quantization_version"}
    for key in set(old.metadata) - changed:
        assert new.metadata.type(key) == old.metadata.type(key)
        assert np.array_equal(np.asarray(new.metadata[key]), np.asarray(old.metadata[key]))
    assert new.metadata["general.quantization_version"] == 2


def test_types_of_single_tensors(source: Path, tmp_path: Path) -> None:
    given = {"blk.3.attn_q.weight": "q8_0", "token_embd.weight": "F16"}
    found = File(quantize(source, tmp_path / "q.gguf", "Q4_0", types=given, pure=True).path).tensors
    assert found["blk.3.attn_q.weight"].type == "Q8_0"
    assert found["token_embd.weight"].type == "F16"
    assert {t.type for n, t in found.items() if n.startswith("blk.4.ffn")} == {"Q4_0", "F32"}
    assert found["output.weight"].type == "Q4_0"  # pure


def test_importance_lowers_the_error_that_it_weighs(source: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    tensors = File(source).tensors
    weights = {
        name: rng.lognormal(0, 2, t.shape[-1]).astype(np.float32)
        for name, t in tensors.items() if len(t.shape) > 1
    }  # fmt: skip
    with_weights = quantize(source, tmp_path / "a.gguf", "Q3_K_M", importance=weights)
    without = quantize(source, tmp_path / "b.gguf", "Q3_K_M")
    old, new = File(without.path), File(with_weights.path)
    for name, weight in weights.items():
        values = File(source).dequantize(name)
        lost = [
            float((np.square(file.dequantize(name) - values) * weight).sum()) for file in (new, old)
        ]
        assert lost[0] < lost[1]


def test_a_second_quantization_is_noted(source: Path, tmp_path: Path) -> None:
    first = quantize(source, tmp_path / "q8.gguf", "Q8_0")
    assert first.notes == ()
    second = quantize(first.path, tmp_path / "q4.gguf", "Q4_0")
    assert "lose twice" in second.notes[0]


def test_what_is_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    with pytest.raises(UnsupportedError, match="must be one of"):
        quantize(source, out, "Q7_K")
    with pytest.raises(UnsupportedError, match="IQ2_XS can be read but not written"):
        quantize(source, out, "IQ2_XS")
    with pytest.raises(ShapeError, match="no tensor 'nope'"):
        quantize(source, out, types={"nope": "F16"})
    with pytest.raises(UnsupportedError, match="no tensor type 'Q7'"):
        quantize(source, out, types={"output.weight": "q7"})
    with pytest.raises(ShapeError, match="one weight per column"):
        quantize(source, out, importance={"output.weight": np.ones(3, np.float32)})
    with pytest.raises(ResourceError, match="no folder"):
        quantize(source, tmp_path / "no" / "out.gguf")
    assert not out.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(source)
    before = source.stat()
    for out in (source, link):
        with pytest.raises(FormatError, match="is the file that is read"):
            quantize(source, out)
    assert source.stat() == before


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    with Writer(path) as writer:
        writer.add("general.architecture", "llama")
        values = np.ones((4, 256), np.float32)
        values[2, 7] = np.nan
        writer.add_tensor("output.weight", values)
    with pytest.raises(FormatError, match=r"output.weight.*must be finite"):
        quantize(path, tmp_path / "out.gguf", "Q4_0")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.gguf"]


def test_a_killed_run_leaves_no_file(source: Path, tmp_path: Path) -> None:
    """Killed in the middle, by the progress of the first tensor."""
    code = (
        "import os, sys\n"
        "from gristmill.quantize import quantize\n"
        "quantize(sys.argv[1], sys.argv[2], 'Q8_0',"
        " progress=lambda done, total: os.kill(os.getpid(), 9) if done > total / 3 else None)\n"
    )
    out = tmp_path / "out.gguf"
    done = subprocess.run([sys.executable, "-c", code, str(source), str(out)], check=False)
    assert done.returncode == -9
    assert not out.exists()


def test_the_command(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    words = [sys.executable, "-m", "gristmill", "quantize", str(source), str(out)]
    done = subprocess.run([*words, "--type", "q4_k_m"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert "bits per weight" in lines[-1]
    assert any(line.startswith("ffn_down") and "Q6_K" in line for line in lines)
    as_json = subprocess.run([*words, "--json", "--pure"], capture_output=True, check=False)
    data = json.loads(as_json.stdout)
    assert {t["after"] for t in data["tensors"]} == {"Q4_K", "F32"}
    wrong = subprocess.run([*words, "--type", "Q7"], capture_output=True, check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.decode().startswith("gristmill: [quantize] The type must be one of")


def test_encode_and_quantize_agree_on_sizes() -> None:
    for kind in ("Q4_0", "Q6_K"):
        values = np.ones((3, 512), np.float32)
        assert _core.quantize(kind, values).nbytes == _core.encode(kind, values).nbytes
