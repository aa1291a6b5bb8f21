# SPDX-License-Identifier: MIT
"""Reading: the gguf package writes, we read; and both read the same real vocabularies."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_bytes import ARRAY, SAMPLE, STRING, UINT32, Gguf, array, pair, string, u32

from gristmill import gguf
from gristmill.errors import FormatError

oracle = pytest.importorskip("gguf", reason="the gguf package is the oracle here")

# The oracle takes ten seconds and more for the largest two.
VOCABULARIES = [
    *("bert-bge", "falcon", "gpt-2", "llama-spm", "mpt", "phi-3"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama-bpe", "qwen2")),
]


def same(ours: Any, theirs: Any) -> bool:
    """Equal values, array for list where only the container differs."""
    if isinstance(ours, np.ndarray):
        return bool(np.array_equal(ours, np.asarray(theirs, dtype=ours.dtype)))
    return bool(ours == theirs)


def compare(path: Path) -> tuple[gguf.File, Any]:
    """Asserts that both readers see the same keys, values, tensors and bytes."""
    ours = gguf.File(path)
    theirs = oracle.GGUFReader(path)
    fields = {k: f for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for key, field in fields.items():
        names = [kind.name.lower() for kind in field.types]
        kind = f"array[{names[-1]}]" if names[0] == "array" else names[0]
        if names != ["array"]:  # an empty array: the package forgets its element type
            assert ours.metadata.type(key) == kind
        assert same(ours.metadata[key], field.contents()), key
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        info = ours.tensors[tensor.name]
        assert info.type == tensor.tensor_type.name
        assert info.shape == tuple(int(n) for n in reversed(tensor.shape))
        assert info.offset == tensor.data_offset
        assert info.nbytes == tensor.n_bytes
        assert ours.data(tensor.name).tobytes() == tensor.data.tobytes()
    return ours, theirs


@pytest.fixture
def sample(tmp_path: Path) -> gguf.File:
    path = tmp_path / "sample.gguf"
    path.write_bytes(SAMPLE.bytes())
    return gguf.File(path)


def test_written_by_the_oracle(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "oracle.gguf"
    writer = oracle.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    for name, value in {"uint8": 200, "int8": -100, "uint16": 65535, "int16": -32768}.items():
        getattr(writer, f"add_{name}")(f"x.{name}", value)
    for name, value in {"uint32": 2**32 - 1, "int32": -(2**31), "int64": -(2**63)}.items():
        getattr(writer, f"add_{name}")(f"x.{name}", value)
    writer.add_uint64("x.uint64", 2**64 - 1)
    writer.add_float32("x.float32", 0.1)
    writer.add_float64("x.float64", 0.1)
    writer.add_bool("x.yes", True)
    writer.add_bool("x.no", False)
    writer.add_string("x.text", "Grüße, 世界 \U0001f33e")
    writer.add_array("x.words", ["a", "", "▁the", "\n"])
    writer.add_array("x.ints", [1, -2, 3])
    writer.add_array("x.floats", [0.5, -1.25])
    writer.add_array("x.bools", [True, False])
    weights = rng.standard_normal((5, 7, 64), dtype=np.float32)
    writer.add_tensor("w.f32", weights)
    writer.add_tensor("w.f16", weights.astype(np.float16))
    writer.add_tensor("w.int", np.arange(11, dtype=np.int32))
    quantized = oracle.quants.quantize(weights, oracle.GGMLQuantizationType.Q8_0)
    writer.add_tensor("w.q8_0", quantized, raw_dtype=oracle.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ours, _ = compare(path)
    assert ours.alignment == 64
    assert ours.architecture == "llama"
    assert ours.version == 3
    assert ours.nbytes == path.stat().st_size
    assert np.array_equal(ours.data("w.f32"), weights)
    assert np.array_equal(ours.dequantize("w.f16"), weights.astype(np.float16).astype(np.float32))
    assert ours.dequantize("w.int").dtype == np.float32
    expected = oracle.quants.dequantize(quantized, oracle.GGMLQuantizationType.Q8_0)
    assert np.array_equal(ours.dequantize("w.q8_0"), expected)


@pytest.mark.parametrize(
    ("dtype", "type_name"),
    [("int8", "I8"), ("int16", "I16"), ("int32", "I32"), ("int64", "I64"), ("float64", "F64")],
)
def test_tensors_of_plain_numbers(dtype: str, type_name: str, tmp_path: Path) -> None:
    """Types that hold indexes and statistics: data, with no kernels."""
    path = tmp_path / "numbers.gguf"
    numbers = np.array([[0, 1, -2], [100, -128, 127]], dtype=dtype)
    writer = oracle.GGUFWriter(path, "llama")
    writer.add_tensor("numbers", numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = gguf.File(path)
    assert file.tensors["numbers"].type == type_name
    assert file.data("numbers").dtype == np.dtype(dtype)
    assert np.array_equal(file.data("numbers"), numbers)
    assert np.array_equal(file.dequantize("numbers"), numbers.astype(np.float32))


@pytest.mark.parametrize("name", VOCABULARIES)
def test_real_vocabularies(name: str, external_data: Path) -> None:
    ours, _ = compare(external_data / "weights" / "vocab" / f"ggml-vocab-{name}.gguf")
    assert len(ours.metadata["tokenizer.ggml.tokens"]) > 30000


def test_big_endian_of_the_oracle(tmp_path: Path) -> None:
    path = tmp_path / "big.gguf"
    writer = oracle.GGUFWriter(path, "llama", endianess=oracle.GGUFEndian.BIG)
    writer.add_tensor("w", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(NotImplementedError, match="big-endian"):
        gguf.File(path)


def test_values_and_types(sample: gguf.File) -> None:
    metadata = sample.metadata
    assert metadata["a.uint8"] == 255
    assert metadata["a.int16"] == -3
    assert metadata["a.float32"] == 0.5
    assert metadata["a.bool"] is True
    assert metadata["a.float64"] == -2.25
    assert metadata["a.strings"] == ["x", "", "yz"]
    assert metadata["a.numbers"].dtype == np.int32
    assert metadata["a.flags"].tolist() == [False, True]
    assert metadata["a.flags"].dtype == np.bool_
    assert [list(part) for part in metadata["a.nested"]] == [[1, 2], ["q"]]
    assert metadata.type("a.nested") == "array[array]"
    assert metadata.type("a.strings") == "array[string]"
    assert metadata.length("a.strings") == 3
    assert metadata["a.strings"] is metadata["a.strings"], "values are kept"
    assert "absent" not in metadata
    assert metadata.get("absent", 7) == 7
    for call in (metadata.__getitem__, metadata.type, metadata.length):
        with pytest.raises(KeyError):
            call("absent")
    with pytest.raises(FormatError, match="an array is needed"):
        metadata.length("a.bool")


def test_version_2_is_the_same(tmp_path: Path) -> None:
    content = bytearray(SAMPLE.bytes())
    content[4] = 2
    (tmp_path / "v2.gguf").write_bytes(content)
    file = gguf.File(tmp_path / "v2.gguf")
    assert file.version == 2
    assert file.metadata["a.strings"] == ["x", "", "yz"]


def test_raw_bytes_in_strings_survive(tmp_path: Path) -> None:
    tokens = [b"ok", b"\xff\xfe", b"\xe2\x96", b"a\0b"]
    path = tmp_path / "raw.gguf"
    value = array(STRING, len(tokens), b"".join(map(string, tokens)))
    pairs = [pair(b"tokens", ARRAY, value), pair(b"one", STRING, string(b"\x80"))]
    path.write_bytes(Gguf(pairs=pairs).bytes())
    metadata = gguf.File(path).metadata
    assert [token.encode("utf-8", "surrogateescape") for token in metadata["tokens"]] == tokens
    assert metadata["one"].encode("utf-8", "surrogateescape") == b"\x80"


def test_a_bad_boolean_is_found_when_read(tmp_path: Path) -> None:
    path = tmp_path / "bool.gguf"
    path.write_bytes(Gguf(pairs=[pair(b"k", ARRAY, array(7, 3, b"\1\0\5"))]).bytes())
    metadata = gguf.File(path).metadata
    with pytest.raises(FormatError, match=r"'k'.*boolean\. Got 5"):
        metadata["k"]


def test_architecture_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    path.write_bytes(Gguf().bytes())
    with pytest.raises(FormatError, match=r"general.architecture.*no such key"):
        _ = gguf.File(path).architecture
    path.write_bytes(Gguf(pairs=[pair(b"general.architecture", UINT32, u32(1))]).bytes())
    with pytest.raises(FormatError, match="Got uint32"):
        _ = gguf.File(path).architecture


def test_views_are_read_only_and_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sample.gguf"
    path.write_bytes(SAMPLE.bytes())
    file = gguf.File(path)
    view = file.data("norm")
    blocks = file.data("blk.0.w")
    assert view.shape == (8,)
    assert view.dtype == np.float32
    assert blocks.shape == (3, 68)
    assert file.data("last").shape == (2, 2, 2, 2)
    for array_ in (view, blocks):
        with pytest.raises(ValueError, match="read-only"):
            array_[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array_.flags.writeable = True
    path.unlink()
    del file
    gc.collect()
    assert view.tobytes() == bytes(range(224, 256))
    with pytest.raises(KeyError):
        gguf.File.data(_reopened(tmp_path), "absent")


def _reopened(folder: Path) -> gguf.File:
    (folder / "again.gguf").write_bytes(SAMPLE.bytes())
    return gguf.File(folder / "again.gguf")


def test_metadata_arrays_are_read_only(sample: gguf.File) -> None:
    with pytest.raises(ValueError, match="read-only"):
        sample.metadata["a.numbers"][0] = 9


def test_opening_does_not_read_a_large_vocabulary(tmp_path: Path) -> None:
    """150k tokens, merges and scores open in under 50 ms (best of five)."""
    count = 150_000
    tokens = b"".join(string(b"token%d" % i) for i in range(count))
    merges = b"".join(string(b"to ken%d" % i) for i in range(count))
    pairs = [
        pair(b"tokenizer.ggml.tokens", ARRAY, array(STRING, count, tokens)),
        pair(b"tokenizer.ggml.merges", ARRAY, array(STRING, count, merges)),
        pair(b"tokenizer.ggml.scores", ARRAY, array(6, count, bytes(4 * count))),
    ]
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(Gguf(pairs=pairs).bytes())
    slack = 4.0 if "LD_PRELOAD" in os.environ else 1.0  # sanitizers
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        file = gguf.File(path)
        best = min(best, time.perf_counter() - start)
    assert file.metadata.length("tokenizer.ggml.tokens") == count
    assert file.metadata["tokenizer.ggml.tokens"][-1] == f"token{count - 1}"
    assert best < 0.05 * slack, f"{best * 1000:.1f} ms"
