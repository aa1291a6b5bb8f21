# SPDX-License-Identifier: MIT
"""Hostile and broken files: each is refused with a typed error that names the place.

One table of wrong fields with the words that the message must hold, every truncation of two files,
and the things that are no regular files.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_bytes import (
    ARRAY,
    BOOL,
    FLOAT32,
    INT64,
    Q4_K,
    Q8_0,
    SAMPLE,
    STRING,
    UINT8,
    UINT32,
    Gguf,
    Tensor,
    array,
    one_tensor,
    pair,
    string,
    u32,
    u64,
)

from gristmill import gguf
from gristmill.errors import FormatError, GristmillError, ResourceError, UnsupportedError

HUGE = 2**63
MOST = 2**64 - 1


def with_pair(value: bytes) -> bytes:
    return Gguf(pairs=[value]).bytes()


def with_alignment(kind: int, value: bytes) -> bytes:
    return with_pair(pair(b"general.alignment", kind, value))


def nested(depth: int) -> bytes:
    value = array(UINT8, 0, b"")
    for _ in range(depth - 1):
        value = array(ARRAY, 1, value)
    return with_pair(pair(b"k", ARRAY, value))


def two(first: Tensor, second: Tensor, size: int = 256) -> bytes:
    return Gguf(tensors=[first, second], data=bytes(size)).bytes()


# name -> (bytes, class, words of the message)
BAD: dict[str, tuple[bytes, type[GristmillError], str]] = {
    "empty": (b"", FormatError, "empty"),
    "magic": (Gguf(magic=b"GGXX").bytes(), FormatError, "not a GGUF file"),
    "short magic": (b"GG", FormatError, "ends inside the magic"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", FormatError, "Git LFS"),
    "zip": (b"PK\x03\x04" + bytes(64), FormatError, "PyTorch"),
    "html": (b"<!DOCTYPE html><html></html>", FormatError, "HTML"),
    "ggjt": (b"tjgg" + u32(3) + bytes(64), FormatError, "ggjt"),
    "safetensors": (u64(64) + b'{"a":1}' + bytes(64), FormatError, "safetensors"),
    "version 0": (Gguf(version=u32(0)).bytes(), FormatError, "version is 0"),
    "version 1": (Gguf(version=u32(1)).bytes(), UnsupportedError, "version 1"),
    "version 4": (Gguf(version=u32(4)).bytes(), UnsupportedError, "unknown GGUF version. Got 4"),
    "big endian": (Gguf(version=struct.pack(">I", 3)).bytes(), UnsupportedError, "big-endian"),
    "tensors 2^63": (Gguf(tensor_count=HUGE).bytes(), FormatError, "number of tensors"),
    "tensors 2^63 - 1": (Gguf(tensor_count=HUGE - 1).bytes(), FormatError, "number of tensors"),
    "tensors 2^64 - 1": (Gguf(tensor_count=MOST).bytes(), FormatError, "number of tensors"),
    "keys 2^63": (Gguf(pair_count=HUGE).bytes(), FormatError, "metadata keys"),
    "keys 2^64 - 1": (Gguf(pair_count=MOST).bytes() + bytes(64), FormatError, "metadata keys"),
    "key length": (with_pair(string(b"k", MOST) + bytes(16)), FormatError, "length of a key"),
    "key length -8": (
        with_pair(string(b"k", MOST - 7) + bytes(32)),
        FormatError,
        "length of a key",
    ),
    "key empty": (with_pair(pair(b"", UINT32, u32(1))), FormatError, "key is empty"),
    "key not UTF-8": (with_pair(pair(b"a\xff\xfe", UINT32, u32(1))), FormatError, r"a\\xff\\xfe"),
    "key surrogate": (with_pair(pair(b"\xed\xa0\x80", UINT32, u32(1))), FormatError, "UTF-8"),
    "key overlong": (with_pair(pair(b"\xc0\xaf", UINT32, u32(1))), FormatError, "UTF-8"),
    "key too long": (with_pair(pair(b"k" * 65536, UINT32, u32(1))), FormatError, "65535"),
    "key twice": (
        Gguf(pairs=[pair(b"k", UINT32, u32(1)), pair(b"k", UINT8, b"\1")]).bytes(),
        FormatError,
        "'k'.*twice",
    ),
    "value type": (with_pair(pair(b"k", 13, u64(0))), FormatError, "value type. Got 13"),
    "bool": (with_pair(pair(b"k", BOOL, b"\2")), FormatError, "boolean. Got 2"),
    "string length": (with_pair(pair(b"k", STRING, string(b"", HUGE))), FormatError, "'k'"),
    "array type": (with_pair(pair(b"k", ARRAY, array(99, 0, b""))), FormatError, "Got 99"),
    "array 2^63": (with_pair(pair(b"k", ARRAY, array(UINT32, HUGE, b""))), FormatError, "exceeds"),
    "array wraps": (
        with_pair(pair(b"k", ARRAY, array(INT64, 2**61 + 1, bytes(8)))),
        FormatError,
        "exceeds",
    ),
    "strings 2^61": (
        with_pair(pair(b"k", ARRAY, array(STRING, 2**61, bytes(64)))),
        FormatError,
        "exceeds",
    ),
    "string in array": (
        with_pair(pair(b"k", ARRAY, array(STRING, 2, string(b"a") + string(b"b", 99)))),
        FormatError,
        "length of a string",
    ),
    "nested too deeply": (nested(5), FormatError, "nested too deeply"),
    "nested far too deeply": (nested(20000), FormatError, "nested too deeply"),
    "alignment 0": (with_alignment(UINT32, u32(0)), FormatError, "alignment.*Got 0"),
    "alignment 48": (with_alignment(UINT32, u32(48)), FormatError, "alignment.*Got 48"),
    "alignment 4": (with_alignment(UINT32, u32(4)), FormatError, "alignment.*Got 4"),
    "alignment 2^31": (with_alignment(UINT32, u32(2**31)), FormatError, "alignment.*Got 2147"),
    "alignment -32": (with_alignment(INT64, u64(MOST - 31)), FormatError, "Got -32"),
    "alignment float": (with_alignment(FLOAT32, u32(0)), FormatError, "integer.*float32"),
    "name empty": (one_tensor(name=b""), FormatError, "name is empty"),
    "name not UTF-8": (one_tensor(name=b"\xff"), FormatError, "name is not valid UTF-8"),
    "name twice": (two(Tensor(b"a"), Tensor(b"a", offset=128)), FormatError, "'a'.*twice"),
    "five dims": (one_tensor(dims=(1, 1, 1, 1, 32)), FormatError, "at most 4 dimensions. Got 5"),
    "dims 2^32 - 1": (one_tensor(n_dims=2**32 - 1), FormatError, "at most 4 dimensions"),
    "zero dim": (one_tensor(dims=(32, 0)), FormatError, "dimension is zero"),
    "huge dim": (one_tensor(dims=(HUGE,)), FormatError, "2.63 bytes"),
    "dims wrap to 0": (one_tensor(dims=(2**32, 2**32)), FormatError, "2.63 bytes"),
    "dims wrap to 128": (one_tensor(dims=(2**62 + 32,)), FormatError, "2.63 bytes"),
    "rows wrap": (one_tensor(dims=(1, 2**62, 4, 1)), FormatError, "2.63 bytes"),
    "large dim": (one_tensor(dims=(2**40,)), FormatError, "outside the file"),
    "row of half a block": (one_tensor(dims=(48,), kind=Q8_0), FormatError, "block of 32"),
    "row of half a k-block": (one_tensor(dims=(128, 2), kind=Q4_K), FormatError, "block of 256"),
    "offset not aligned": (one_tensor(offset=16, size=256), FormatError, "not aligned. Got 16"),
    "offset behind the end": (one_tensor(offset=32), FormatError, "outside the file"),
    "offset 2^63": (one_tensor(offset=HUGE), FormatError, "outside the file"),
    "offset wraps": (one_tensor(offset=MOST - 31), FormatError, "outside the file"),
    "same bytes": (two(Tensor(b"a"), Tensor(b"b")), FormatError, "'b'.*overlap.*'a'"),
    "overlap": (
        two(Tensor(b"b", (8,), offset=64), Tensor(b"a", (17,), offset=0)),
        FormatError,
        "'b'.*overlap.*'a'",
    ),
    "type removed": (one_tensor(kind=31), UnsupportedError, "Q4_0_4_4.*was removed from GGUF"),
    "type Q4_2": (one_tensor(kind=4), UnsupportedError, "Q4_2.*was removed"),
    "type I2_S": (one_tensor(kind=36), UnsupportedError, "bitnet.cpp.*I2_S"),
    "type ik": (one_tensor(kind=139), UnsupportedError, "IQ4_K.*ik_llama.cpp"),
    "type ik rows": (one_tensor(kind=212), UnsupportedError, "ik_llama.cpp"),
    "type unknown": (one_tensor(kind=4096), UnsupportedError, "type 4096 is not a known"),
    "type -1": (one_tensor(kind=2**32 - 1), UnsupportedError, "not a known"),
    "split.count string": (
        with_pair(pair(b"split.count", STRING, string(b"2"))),
        FormatError,
        "split.count.*integer",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    content, error, words = BAD[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(error, match=words) as caught:
        gguf.File(path)
    assert str(caught.value).startswith(f"[{path}")


def test_the_neighbours_are_accepted(tmp_path: Path) -> None:
    """The same fields with good values: the table above fails for the reason it names."""
    good = [
        SAMPLE.bytes(),
        replace(SAMPLE, version=u32(2)).bytes(),
        Gguf().bytes(),
        with_pair(pair(b"k" * 65535, UINT32, u32(1))),
        with_alignment(UINT32, u32(8)),
        with_alignment(UINT32, u32(2**24)),
        nested(4),
        one_tensor(),
        one_tensor(dims=(1, 1, 1, 32)),
        one_tensor(dims=(64,), kind=Q8_0),
        one_tensor(dims=(), size=32),
        two(Tensor(b"a"), Tensor(b"b", offset=128)),
        two(Tensor(b"a", offset=128), Tensor(b"b")),
        one_tensor(size=384, offset=256),
    ]
    for number, content in enumerate(good):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(content)
        gguf.File(path)


def test_all_problems_at_once(tmp_path: Path) -> None:
    tensors = [Tensor(b"w%d" % i, (0,)) for i in range(12)] + [Tensor(b"odd", kind=5)]
    path = tmp_path / "bad.gguf"
    path.write_bytes(Gguf(tensors=tensors, data=bytes(32)).bytes())
    with pytest.raises(FormatError, match="13 problems") as caught:
        gguf.File(path)
    message = str(caught.value)
    assert all(f"'w{i}'" in message for i in range(10))
    assert message.endswith("and 3 more.")


def test_only_unknown_types_are_unsupported(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(two(Tensor(b"a", kind=32), Tensor(b"b", kind=300)))
    with pytest.raises(UnsupportedError, match=r"(?s)'a'.*Q4_0_4_8.*'b'.*type 300"):
        gguf.File(path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (4, r"Q4_2\) was removed.*convert the original again"),
        (5, r"Q4_3\) was removed.*convert the original again"),
        (31, r"Q4_0_4_4\) was removed.*the model's Q4_0 file"),
        (32, r"Q4_0_4_8\) was removed.*the model's Q4_0 file"),
        (33, r"Q4_0_8_8\) was removed.*the model's Q4_0 file"),
        (36, r"IQ4_NL_4_4\) was removed.*bitnet.cpp.*I2_S.*IQ4_NL file.*BitNet model a TQ2_0"),
        (37, r"IQ4_NL_4_8\) was removed.*bitnet.cpp.*I8_S.*BitNet model a Q8_0"),
        (38, r"IQ4_NL_8_8\) was removed.*bitnet.cpp.*TL1.*BitNet model a TQ2_0"),
        (133, r"Q6_0\) is private to the ik_llama.cpp fork.*Q6_K file"),
        (135, r"IQ2_BN\) is private.*TQ2_0 file"),
        (136, r"Q8_K64\) is private.*standard types"),
        (144, r"IQ4_KS\) is private.*IQ4_XS file"),
        (158, r"IQ1_KT\) is private.*IQ1_M file"),
        (142, "type 142 is not a known GGUF tensor type"),
        (212, r"212 \(Q4_K with interleaved rows\) is private.*Q4_K file"),
        (339, r"339 \(IQ4_K with interleaved rows\) is private.*IQ4_NL file"),
        (399, "type 399 is private.*standard types"),
        (400, "type 400 is not a known GGUF tensor type"),
    ],
)
def test_foreign_types_by_name(kind: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(one_tensor(kind=kind))
    with pytest.raises(UnsupportedError, match=words):
        gguf.File(path)


def test_truncated_at_every_boundary(tmp_path: Path) -> None:
    pieces = SAMPLE.pieces()
    path = tmp_path / "cut.gguf"
    size = 0
    for piece in pieces:
        for cut in {size, size + len(piece) // 2} if piece else {size}:
            path.write_bytes(SAMPLE.bytes()[:cut])
            with pytest.raises(FormatError):
                gguf.File(path)
        size += len(piece)


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    whole = SAMPLE.bytes()
    path = tmp_path / "cut.gguf"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError) as caught:
            gguf.File(path)
        assert "\n" not in str(caught.value) or "problems in the tensor table" in str(caught.value)
    path.write_bytes(whole)
    assert len(gguf.File(path).tensors) == 3


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="No such file"):
        gguf.File(tmp_path / "absent.gguf")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="a directory"):
        gguf.File(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(20)
def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ResourceError, match="a pipe"):
        gguf.File(tmp_path / "pipe.gguf")
    with pytest.raises(ResourceError, match="regular"):
        gguf.Writer(tmp_path / "pipe.gguf")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no local sockets")
def test_devices_and_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.gguf")
        with pytest.raises(ResourceError):
            gguf.File("s.gguf")
    with pytest.raises(ResourceError, match="character device"):
        gguf.File("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no user ids")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(SAMPLE.bytes())
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything; the next id may not
        os.seteuid(65534)
    try:
        with pytest.raises(ResourceError, match="Permission denied"):
            gguf.File(path)
    finally:
        os.seteuid(user)


def test_odd_paths(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="empty"):
        gguf.File("")
    with pytest.raises(ResourceError, match="NUL"):
        gguf.File(str(tmp_path / "a\0b.gguf"))
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9-\xc3\xa9.gguf")
    try:
        Path(name).write_bytes(SAMPLE.bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert gguf.File(name).paths == [name]
    Path(name).write_bytes(b"GGUF")
    with pytest.raises(FormatError, match=r"caf\\xe9-é"):
        gguf.File(name)
