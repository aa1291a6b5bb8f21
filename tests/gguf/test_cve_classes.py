# SPDX-License-Identifier: MIT
"""The kinds of hole that GGUF loaders had, one test per kind, named after the reports.

Other tests cover the same fields at more places (test_gguf_bad_input.py, tests/tokenizer,
tests/chat); these hold the attack itself, as it was published, against the public API. Each must
end in a typed error, at once and in little memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_bytes import (
    ARRAY,
    FLOAT32,
    INT32,
    INT64,
    Q4_K,
    STRING,
    UINT8,
    UINT32,
    Gguf,
    Tensor,
    array,
    pair,
    string,
    u32,
    u64,
)

from gristmill import Model, gguf
from gristmill.chat import ChatTemplate
from gristmill.errors import FormatError, ShapeError, TemplateError, TokenizerError
from gristmill.tokenizer import Tokenizer, from_metadata

resource = pytest.importorskip("resource", reason="peak memory is asked for by POSIX")
Open = Callable[[bytes], gguf.File]


def spm(extra: str = "\u2581") -> dict[str, Any]:
    """A vocabulary of all bytes and one more token, 259."""
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [
            *("<unk>", "<s>", "</s>"),
            *(f"<0x{i:02X}>" for i in range(256)),
            extra,
        ],
        "tokenizer.ggml.scores": np.zeros(260, "f4"),
        "tokenizer.ggml.token_type": np.array([2, 3, 3] + [6] * 256 + [1], "i4"),
    }


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a file of these bytes."""

    def open_(content: bytes) -> gguf.File:
        path = tmp_path / "case.gguf"
        path.write_bytes(content)
        return gguf.File(path)

    return open_


@pytest.fixture(autouse=True)
def _little_memory() -> Any:
    """No count of a file may become an allocation."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, f"{grown} kB more"


def with_pairs(*pairs: bytes) -> bytes:
    return Gguf(pairs=pairs).bytes()


def one(**fields: Any) -> bytes:
    return Gguf(tensors=[Tensor(**fields)], data=bytes(256)).bytes()


@pytest.mark.parametrize("count", [2**32 + 1, 2**59, 2**61 + 1, 2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", [UINT8, INT32, INT64, FLOAT32, STRING, ARRAY])
def test_array_count_times_size_wraps(opened: Open, kind: int, count: int) -> None:
    """CVE-2024-21825: the number of elements times their size wrapped to a small malloc."""
    with pytest.raises(FormatError, match="exceeds the file"):
        opened(with_pairs(pair(b"k", ARRAY, array(kind, count, bytes(64)))))


@pytest.mark.parametrize("count", [2**32, 2**60, 2**64 // 48 + 1, 2**64 - 1])
def test_header_counts_wrap(opened: Open, count: int) -> None:
    """CVE-2024-21836, CVE-2024-23605: n_tensors or n_kv times the size of an entry wrapped."""
    for content in (Gguf(tensor_count=count).bytes(), Gguf(pair_count=count).bytes()):
        with pytest.raises(FormatError, match="exceeds the file"):
            opened(content + bytes(4096))


@pytest.mark.parametrize("n_dims", [5, 8, 255, 2**31, 2**32 - 1])
def test_more_dimensions_than_fit(opened: Open, n_dims: int) -> None:
    """CVE-2024-21802: info->ne[n_dims] was written behind its four places."""
    with pytest.raises(FormatError, match="at most 4 dimensions"):
        opened(one(dims=(1,) * min(n_dims, 64), n_dims=n_dims))


@pytest.mark.parametrize(
    "dims",
    [
        (2**62, 4),
        (2**32, 2**32),
        (2**31, 2**31, 2**2),
        (2**16, 2**16, 2**16, 2**16),
        (2**63 + 32,),
        (2**64 - 32,),
        (256 * 3, (2**64 // (144 * 3)) + 1),  # blocks * bytes of a block wraps to under 256
    ],
)
@pytest.mark.parametrize("kind", [0, Q4_K])
def test_tensor_size_wraps(opened: Open, dims: tuple[int, ...], kind: int) -> None:
    """CVE-2026-33298: ne[0] * ne[1] * ... wrapped, and a small buffer was read."""
    with pytest.raises(FormatError, match="2.63 bytes|block of 256|outside the file"):
        opened(one(dims=dims, kind=kind))


def test_sum_of_padded_tensor_sizes_wraps(opened: Open) -> None:
    """CVE-2025-53630, CVE-2026-27940: each size was checked, their padded sum was not."""
    half = 2**62 - 32
    tensors = [Tensor(b"t%d" % i, (half // 4,), 0, i * half) for i in range(5)]
    with pytest.raises(FormatError, match="outside the file"):
        opened(Gguf(tensors=tensors, data=bytes(256)).bytes())


def test_tensor_larger_than_the_file_is_not_read(opened: Open) -> None:
    """CVE-2026-7482: a tensor that ends behind the file gave out what lay in memory there."""
    for dims, offset in (((2**20,), 0), ((64,), 32), ((8,), 256), ((65,), 0)):
        with pytest.raises(FormatError, match="outside the file"):
            opened(one(dims=dims, offset=offset))
    assert opened(one(dims=(64,))).data("t").nbytes == 256


@pytest.mark.parametrize("kind", [UINT32, INT32, INT64])
@pytest.mark.parametrize("value", [0, -1, 1, 3, 2**31 - 1])
def test_alignment_zero_divides(opened: Open, kind: int, value: int) -> None:
    """CVE-2025-0317 and its kin: offset % alignment with the file's alignment of 0."""
    payload = struct.pack("<q" if kind == INT64 else "<i", value)
    content = Gguf(
        pairs=[pair(b"general.alignment", kind, payload)], tensors=[Tensor()], data=bytes(128)
    )
    with pytest.raises(FormatError, match="alignment|at least 0"):
        opened(content.bytes())


@pytest.mark.parametrize("depth", [5, 100, 100_000])
def test_arrays_of_arrays(opened: Open, depth: int) -> None:
    """No limit on nesting: a parser that recurses per level runs out of stack."""
    head = u32(ARRAY) + u64(1)
    with pytest.raises(FormatError, match="nested too deeply"):
        opened(with_pairs(pair(b"k", ARRAY, head * depth + array(UINT8, 0, b""))))
    wide = array(ARRAY, 3, array(STRING, 1, string(b"x")) * 2 + u32(ARRAY) + u64(2**60))
    with pytest.raises(FormatError, match="exceeds the file"):
        opened(with_pairs(pair(b"k", ARRAY, wide)))


def test_four_bytes_are_no_file(opened: Open) -> None:
    """CVE-2024-39720: a file of the magic alone."""
    for size in range(1, 24):
        with pytest.raises(FormatError, match="the file ends inside"):
            opened(Gguf().bytes()[:size])


@pytest.mark.parametrize("length", [2**31, 2**32 - 1, 2**63, 2**64 - 1])
def test_length_of_a_token_overflows(opened: Open, length: int) -> None:
    """CVE-2024-23496: length + 1 wrapped. CVE-2025-49847: it was compared as int32."""
    tokens = array(STRING, 2, string(b"a") + string(b"b", length))
    with pytest.raises(FormatError, match="length of a string"):
        opened(with_pairs(pair(b"tokenizer.ggml.tokens", ARRAY, tokens)))


@pytest.mark.parametrize("length", [1000, 2**21])
def test_a_token_longer_than_any_buffer(length: int) -> None:
    """CVE-2025-49847 with a text that is really there."""
    metadata = spm("x" * length)
    if length > 2**16:
        with pytest.raises(TokenizerError, match="too long"):
            from_metadata(metadata)
    else:
        assert from_metadata(metadata).decode([259]) == "x" * length


def test_more_tokens_than_an_int_counts() -> None:
    """CVE-2025-52566: the number of ids of a long text was negated and compared as int32."""
    tokenizer: Tokenizer = from_metadata(spm())
    text = "\u20ac" * 300_000  # three byte tokens each
    ids = tokenizer.encode(text, add_special=False)
    assert len(ids) >= 900_000
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("token", [-1, -(2**31), 260, 2**31, 2**63])
def test_ids_outside_the_vocabulary(token: int) -> None:
    """The same class: an id that indexes behind the table, when decoding or as a special token."""
    with pytest.raises(TokenizerError):
        from_metadata(spm()).decode([token])
    if token != -1:  # which means none
        with pytest.raises(TokenizerError, match="below the 260 tokens"):
            from_metadata(spm() | {"tokenizer.ggml.bos_token_id": token})


def test_vocabulary_and_embedding_disagree(tmp_path: Path) -> None:
    """A token id that the tokenizer has and the embedding has not reads behind its rows."""
    pairs = [
        pair(b"general.architecture", STRING, string(b"llama")),
        pair(b"llama.block_count", UINT32, u32(1)),
        pair(b"llama.context_length", UINT32, u32(64)),
        pair(b"llama.embedding_length", UINT32, u32(32)),
        pair(b"llama.feed_forward_length", UINT32, u32(32)),
        pair(b"llama.attention.head_count", UINT32, u32(1)),
        pair(b"llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)),
        pair(b"llama.vocab_size", UINT32, u32(1000)),
    ]
    tensors = [Tensor(b"token_embd.weight", (32, 4))]
    path = tmp_path / "short.gguf"
    path.write_bytes(Gguf(pairs=pairs, tensors=tensors, data=bytes(512)).bytes())
    with pytest.raises((ShapeError, FormatError)):
        Model.load(path, cache=False)


INJECTIONS = {
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "namespace": "{{ namespace.__init__.__globals__['sys'].exit(1) }}",
    "undefined": "{{ x.__init__.__globals__['__builtins__']['__import__']('os').system('id') }}",
    "self": "{{ self.__init__.__globals__ }}",
    "loop": "{% for i in [1] %}{{ loop.__class__.__init__.__globals__ }}{% endfor %}",
    "attr": "{{ ''|attr('__class__')|attr('__mro__') }}",
    "attr in parts": "{{ ''|attr(['__cl', 'ass__']|join)|attr('__mro__') }}",
    "attr by escapes": "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f')|attr('__mro__') }}",
    "map": "{{ ['']|map(attribute='__class__.__mro__')|list }}",
    "format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "format_map": "{{ '{a.__class__.__mro__}'.format_map({'a': ''}) }}",
    "import": "{% import 'os' as os %}{{ os.system('id') }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "function": "{{ raise_exception.__globals__ }}",
    "code": "{{ strftime_now.__code__.co_consts }}",
    "generator": "{{ (messages|map('upper')).gi_frame.f_globals }}",
}


@pytest.mark.parametrize("name", INJECTIONS)
def test_template_injection(name: str) -> None:
    """CVE-2024-34359, CVE-2026-5760: the file's chat template ran Python of its choice."""
    try:
        text = ChatTemplate(INJECTIONS[name]).render([{"role": "user", "content": "hi"}])
    except TemplateError:
        return
    # Reaching nothing is as good: the sandbox may answer with an undefined value.
    assert text.strip() in ("", "[]", "[Undefined]"), text
