# SPDX-License-Identifier: MIT
"""Writing: the gguf package reads what we wrote; values survive or are refused; atomic files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gristmill import _core, gguf
from gristmill.errors import FormatError, ResourceError, ShapeError, UnsupportedError

oracle = pytest.importorskip("gguf", reason="the gguf package is the oracle here")

RNG = np.random.default_rng(11)

VALUES: list[tuple[Any, str | None, str]] = [
    (7, None, "uint32"),
    (-7, None, "int32"),
    (True, None, "bool"),
    (False, None, "bool"),
    (0.1, None, "float32"),
    ("Grüße \U0001f33e", None, "string"),
    ("", None, "string"),
    (255, "uint8", "uint8"),
    (-128, "int8", "int8"),
    (65535, "uint16", "uint16"),
    (-32768, "int16", "int16"),
    (2**64 - 1, "uint64", "uint64"),
    (-(2**63), "int64", "int64"),
    (0.1, "float64", "float64"),
    (3, "float32", "float32"),
    (np.float64(0.1), None, "float64"),
    (np.int16(-5), None, "int16"),
    (np.uint8(5), "uint32", "uint32"),
    (np.bool_(True), None, "bool"),
    ([1, 2, 3], None, "array[uint32]"),
    ([1, -2, 3], None, "array[int32]"),
    ([0.5, -0.25], None, "array[float32]"),
    ([True, False], None, "array[bool]"),
    (["a", "", "▁b"], None, "array[string]"),
    (("x",), None, "array[string]"),
    ([], "array[string]", "array[string]"),
    ([], "array[float32]", "array[float32]"),
    ([1, 2], "array[float32]", "array[float32]"),
    (np.arange(5, dtype=np.int64), None, "array[int64]"),
    (np.arange(5, dtype=np.int64), "array[uint8]", "array[uint8]"),
    (np.linspace(0, 1, 7), "array[float32]", "array[float32]"),
    (np.arange(10, dtype=np.float32)[::2], None, "array[float32]"),
    (np.array([True, False]), None, "array[bool]"),
]


def test_values_are_read_by_the_oracle(tmp_path: Path) -> None:
    path = tmp_path / "values.gguf"
    with gguf.Writer(path) as writer:
        for number, (value, kind, _) in enumerate(VALUES):
            writer.add(f"v.{number}", value, kind)
    ours = gguf.File(path)
    theirs = oracle.GGUFReader(path)
    assert ours.version == 3
    for number, (value, _, kind) in enumerate(VALUES):
        key = f"v.{number}"
        assert ours.metadata.type(key) == kind
        wide = np.asarray(value)
        expected = wide.astype(np.float32) if "float32" in kind else wide
        assert np.array_equal(np.asarray(ours.metadata[key], expected.dtype), expected), key
        if len(wide.shape) == 0 or len(wide):  # the package cannot tell empty arrays
            read = np.asarray(theirs.fields[key].contents(), expected.dtype)
            assert np.array_equal(read, expected), key


def test_bytes_survive(tmp_path: Path) -> None:
    path = tmp_path / "bytes.gguf"
    with gguf.Writer(path) as writer:
        writer.add("one", b"\xff\0")
        writer.add("many", ["ok", b"\x80", "\udc80"])
    metadata = gguf.File(path).metadata
    assert metadata["one"] == "\udcff\0"
    assert metadata["many"] == ["ok", "\udc80", "\udc80"]


BAD_VALUES: list[tuple[Any, str | None]] = [
    (256, "uint8"),
    (-1, "uint32"),
    (2**32, None),
    (2**64, "uint64"),
    (-(2**63) - 1, "int64"),
    (1.5, "uint32"),
    ("1", "uint32"),
    (1e300, "float32"),
    ("1.5", "float32"),
    (1, "bool"),
    (5, "string"),
    ("\ud800", "string"),
    ("abc", "array[string]"),
    (b"abc", "array[uint8]"),
    (5, "array[uint32]"),
    ([1, None], "array[uint32]"),
    ([1, "a"], None),
    ([1, 2.5], None),
    ([], None),
    ([300], "array[uint8]"),
    (np.array([300]), "array[uint8]"),
    (np.array([0.5]), "array[uint32]"),
    (np.zeros((2, 2)), None),
    (np.array(["a"]), None),
    ([[1], [2]], None),
    (None, None),
    ({}, None),
    pytest.param(object(), "uint32", id="object"),  # its repr has an address
]


@pytest.mark.parametrize(("value", "kind"), BAD_VALUES, ids=lambda v: repr(v)[:30])
def test_values_that_do_not_fit(value: Any, kind: str | None, tmp_path: Path) -> None:
    writer = gguf.Writer(tmp_path / "bad.gguf")
    with pytest.raises(FormatError, match=r"key '?k|'k'"):
        writer.add("k", value, kind)
    writer.abort()
    assert os.listdir(tmp_path) == []


def test_bad_keys_and_types(tmp_path: Path) -> None:
    with gguf.Writer(tmp_path / "keys.gguf") as writer:
        writer.add("k", 1)
        for key, words in [("k", "already"), ("", "empty"), ("x" * 65536, "65535")]:
            with pytest.raises(FormatError, match=words):
                writer.add(key, 1)
        for kind in ("uint7", "array", "array[array]", "array[]", ""):
            with pytest.raises(UnsupportedError, match="unknown value type"):
                writer.add("other", [1], kind)
    assert list(gguf.File(tmp_path / "keys.gguf").metadata) == ["k"]


READ_ONLY = ("IQ1", "IQ2", "IQ3")  # no use without an importance matrix


def test_tensors_are_read_by_the_oracle(tmp_path: Path) -> None:
    path = tmp_path / "tensors.gguf"
    values = RNG.standard_normal((3, 5, 256), dtype=np.float32)
    readable = {t.name for t in oracle.quants._type_traits} | {"F32", "F16"}
    types = [
        name for name, *_, status in _core.tensor_types()
        if status == "supported" and name in readable and not name.startswith(READ_ONLY)
    ]  # fmt: skip
    assert len(types) >= 19
    arrays = {f"n.{kind}": np.arange(-3, 4).astype(kind) for kind in ("i1", "i2", "i4", "i8", "f8")}
    made = []
    with gguf.Writer(path, alignment=128) as writer:
        writer.add("general.alignment", 128)  # as copied from a file: said already
        for kind in types:
            writer.add_tensor(f"w.{kind}", values, kind)
        for name, array in arrays.items():
            writer.add_tensor(name, array)
        writer.add("late", "keys may follow tensors")
        writer.add_tensor("lazy", lambda: made.append(1) or values[0], "Q8_0", shape=(5, 256))
        assert not made, "sources are called when the file is written"
    ours = gguf.File(path)
    theirs = {tensor.name: tensor for tensor in oracle.GGUFReader(path).tensors}
    assert ours.alignment == 128
    assert list(ours.tensors) == list(theirs)
    for kind in types:
        tensor = theirs[f"w.{kind}"]
        assert tensor.tensor_type.name == kind
        assert [int(n) for n in tensor.shape] == [256, 5, 3]
        decoded = oracle.quants.dequantize(tensor.data, tensor.tensor_type).reshape(values.shape)
        assert np.array_equal(ours.dequantize(tensor.name), decoded), kind
        ternary = kind.startswith("TQ")
        assert np.sqrt(((decoded - values) ** 2).mean()) < (1.1 if ternary else 0.4), kind
        assert tensor.data_offset % 128 == 0
    for name, array in arrays.items():
        assert np.array_equal(theirs[name].data, array)
        assert theirs[name].data.dtype == array.dtype
    assert made == [1]
    assert np.array_equal(ours.dequantize("lazy"), ours.dequantize("w.Q8_0")[0])


def test_copying_a_file_keeps_every_byte(tmp_path: Path) -> None:
    """Read and write back: keys with their types, and blocks as they are."""
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    with gguf.Writer(first) as writer:
        for number, (value, kind, _) in enumerate(VALUES):
            writer.add(f"v.{number}", value, kind)
        writer.add_tensor("w", RNG.standard_normal((7, 64), dtype=np.float32), "Q8_0")
        writer.add_tensor("odd", RNG.standard_normal(3, dtype=np.float32))
    source = gguf.File(first)
    with gguf.Writer(second, source.alignment) as writer:
        for key, value in source.metadata.items():
            writer.add(key, value, source.metadata.type(key))
        for name, info in source.tensors.items():
            raw = source.core.tensor_bytes(name)
            writer.add_tensor(name, raw, info.type, shape=info.shape)
    assert second.read_bytes() == first.read_bytes()


def test_bad_tensors(tmp_path: Path) -> None:
    ones = np.ones((2, 32), np.float32)

    def fails(error: type[Exception], words: str, *args: Any, **kwargs: Any) -> None:
        with pytest.raises(error, match=words), gguf.Writer(tmp_path / "bad.gguf") as writer:
            writer.add_tensor(*args, **kwargs)
        assert os.listdir(tmp_path) == []

    fails(UnsupportedError, "unknown tensor type. Got 'Q9_X'", "w", ones, "Q9_X")
    fails(UnsupportedError, "Q4_0_4_4.*removed", "w", ones, "Q4_0_4_4")
    fails(UnsupportedError, "like complex", "w", ones.astype(complex))
    fails(ShapeError, "block of 256", "w", ones, "Q4_K")
    fails(ShapeError, "at most 4", "w", np.ones((1, 1, 1, 1, 32), np.float32))
    fails(ShapeError, "zero", "w", np.ones((0, 32), np.float32))
    fails(ShapeError, "another shape", "w", ones, "F32", shape=(32, 2))
    fails(ShapeError, "another shape", "w", lambda: ones, "F32", shape=(32, 2))
    fails(ShapeError, "needs type_name and shape", "w", lambda: ones)
    fails(ShapeError, "too many bytes", "w", np.zeros(69, np.uint8), "Q8_0", shape=(2, 32))
    fails(ShapeError, "incomplete. Got 67", "w", np.zeros(67, np.uint8), "Q8_0", shape=(2, 32))
    fails(ShapeError, "stored as they are", "w", ones, "I32")
    fails(ShapeError, "floating-point", "w", ones.astype(np.int32), "F32")
    fails(FormatError, "1 to 63", "w" * 64, ones)
    fails(FormatError, "1 to 63", "", ones)


def test_the_core_writer_streams_in_order(tmp_path: Path) -> None:
    path = tmp_path / "stream.gguf"
    writer = _core.GgufWriter(str(path))
    writer.declare("a", "F32", (2, 3))
    writer.declare("b", "F32", (1,))
    with pytest.raises(FormatError, match="declared already"):
        writer.declare("a", "F32", (1,))
    with pytest.raises(ShapeError, match=r"order of declaration\. Expected 'a'"):
        writer.write("b", bytes(4))
    data = np.arange(6, dtype=np.float32)
    for value in data:
        writer.write("a", value.tobytes())
    with pytest.raises(FormatError, match="before the first bytes"):
        writer.add("k", "uint32", 1)
    with pytest.raises(ShapeError, match="too many bytes"):
        writer.write("b", bytes(5))
    with pytest.raises(ShapeError, match=r"'b'.*incomplete"):
        writer.close()
    with pytest.raises(ShapeError, match="contiguous"):
        writer.write("b", np.zeros(8, np.uint8)[::2])
    writer.write("b", np.float32(9).tobytes())
    assert not path.exists()
    writer.close()
    writer.close()
    with pytest.raises(FormatError, match="closed"):
        writer.write("b", bytes(4))
    tensors = {tensor.name: tensor.data for tensor in oracle.GGUFReader(path).tensors}
    assert np.array_equal(tensors["a"].ravel(), data)
    assert tensors["b"] == [9]


def test_alignment_is_checked(tmp_path: Path) -> None:
    for alignment in (0, 4, 33, 2**25):
        with pytest.raises(FormatError, match="alignment"):
            gguf.Writer(tmp_path / "a.gguf", alignment)
    assert os.listdir(tmp_path) == []


# -- atomic files ---------------------------------------------------------------------------------


def old_file(folder: Path) -> tuple[Path, bytes]:
    path = folder / "model.gguf"
    with gguf.Writer(path) as writer:
        writer.add("version", "old")
    return path, path.read_bytes()


def test_an_exception_keeps_the_old_file(tmp_path: Path) -> None:
    path, content = old_file(tmp_path)

    def write() -> None:
        with gguf.Writer(path) as writer:
            writer.add("version", "new")
            assert len(os.listdir(tmp_path)) == 2, "the new file has another name"
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        write()
    assert os.listdir(tmp_path) == ["model.gguf"]
    assert path.read_bytes() == content


def test_a_failing_source_keeps_the_old_file(tmp_path: Path) -> None:
    path, content = old_file(tmp_path)

    def source() -> np.ndarray[Any, Any]:
        raise KeyboardInterrupt

    writer = gguf.Writer(path)
    writer.add_tensor("a", np.zeros(1 << 20, np.float32))
    writer.add_tensor("b", source, "F32", shape=(4,))
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert os.listdir(tmp_path) == ["model.gguf"]
    assert path.read_bytes() == content


def test_a_dropped_writer_leaves_nothing(tmp_path: Path) -> None:
    path, content = old_file(tmp_path)
    writer = _core.GgufWriter(str(path))
    writer.add("k", "uint32", 1)
    del writer
    assert os.listdir(tmp_path) == ["model.gguf"]
    assert path.read_bytes() == content


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: write() fails in the middle."""
    path, content = old_file(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        with pytest.raises(ResourceError, match="cannot write"), gguf.Writer(path) as writer:
            writer.add_tensor("w", np.zeros(1 << 20, np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old_signal)
    assert os.listdir(tmp_path) == ["model.gguf"]
    assert path.read_bytes() == content


def test_the_file_appears_at_once(tmp_path: Path) -> None:
    """A reader of the old file keeps it while a new one takes the name, with its permissions."""
    path, _ = old_file(tmp_path)
    path.chmod(0o640)
    old = gguf.File(path)
    with gguf.Writer(path) as writer:
        writer.add("version", "new")
    assert old.metadata["version"] == "old"
    assert gguf.File(path).metadata["version"] == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path, _ = old_file(tmp_path)
    link = tmp_path / "link.gguf"
    link.symlink_to("model.gguf")
    with gguf.Writer(link) as writer:
        writer.add("version", "new")
    assert link.is_symlink()
    assert gguf.File(path).metadata["version"] == "new"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="No such file"):
        gguf.Writer(tmp_path / "absent" / "m.gguf")
    with pytest.raises(ResourceError, match="a directory"):
        gguf.Writer(tmp_path)
    with pytest.raises(ResourceError, match="regular"):
        gguf.Writer("/dev/null")
    with pytest.raises(ResourceError, match="empty"):
        gguf.Writer("")


def test_a_killed_process_never_shows_half_a_file(tmp_path: Path) -> None:
    path, content = old_file(tmp_path)
    script = (
        "import os, signal, sys; from gristmill import _core\n"
        "w = _core.GgufWriter(sys.argv[1]); w.declare('a', 'F32', (1 << 20,))\n"
        "w.write('a', bytes(1 << 21)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == content
