# SPDX-License-Identifier: MIT
"""Perplexity and KL divergence against their definitions, written once more in float64 over logits
that were computed token by token."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gristmill import Model
from gristmill.errors import ContextError, FormatError, ResourceError, ShapeError
from gristmill.evaluate import BaseReader, BaseWriter, Windows, divergence, perplexity
from gristmill.evaluate.windows import bos_of, log_probabilities
from gristmill.kv import KvType

TEXT = "Once upon a time there was a little dog. It saw a big red ball and was happy. " * 60
Logs = NDArray[np.float64]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(threads=2, cache=False)


def by_hand(model: Model, windows: Windows, kv: KvType = "f16") -> Logs:
    """[windows, length - 1, V] log probabilities in float64."""
    session = model.session(context=windows.length, kv=kv)
    out = []
    for window in windows.tokens.tolist():
        session.reset()
        for i, token in enumerate(window[:-1]):
            session.append([model.tokenizer.special.bos if i == 0 else token])
            row = session.logits()[0].astype(np.float64)
            out.append(row - row.max() - np.log(np.exp(row - row.max()).sum()))
    return np.array(out).reshape(len(windows.tokens), windows.length - 1, -1)


def scored(logs: Logs, windows: Windows) -> Logs:
    """The log probability of each token that counts."""
    half = windows.length // 2
    picked = np.take_along_axis(logs[:, half:], windows.tokens[:, half + 1 :, None], -1)
    return picked[..., 0].ravel()


@pytest.mark.parametrize("length", [4, 37, 64, 300, 512])
def test_perplexity_is_its_definition(model: Model, length: int) -> None:
    """Lengths that are odd, short, of one and of several batches."""
    windows = Windows.of(model.tokenizer, TEXT, length, 2)
    values = scored(by_hand(model, windows), windows)
    found = perplexity(model, windows)
    assert (found.windows, found.tokens) == (2, values.size)
    assert values.size == 2 * (length - 1 - length // 2)
    assert found.perplexity == pytest.approx(np.exp(-values.mean()), rel=1e-5)
    error = values.std(ddof=1) / np.sqrt(values.size)
    assert found.error == pytest.approx(found.perplexity * error, rel=1e-4)


def test_a_text_is_cut_into_whole_windows(model: Model) -> None:
    ids = model.tokenizer.encode(TEXT)
    windows = Windows.of(model.tokenizer, TEXT, 100)
    assert windows.tokens.shape == (len(ids) // 100, 100)
    assert windows.tokens.ravel().tolist() == ids[: windows.tokens.size]
    assert windows.bos == bos_of(model.tokenizer) == ids[0]
    with pytest.raises(ContextError, match="must fill a window"):
        Windows.of(model.tokenizer, "Hello", 100)
    with pytest.raises(ContextError, match="at least 4"):
        Windows.of(model.tokenizer, TEXT, 3)


@pytest.fixture(scope="module")
def windows(model: Model) -> Windows:
    return Windows.of(model.tokenizer, TEXT, 65, 3)


@pytest.fixture(scope="module")
def base(model: Model, windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.logits"
    with BaseWriter(path, windows, model.vocab_size) as writer:
        perplexity(model, windows, base=writer)
    return path


def test_the_file_has_the_layout_of_llama_cpp(model: Model, windows: Windows, base: Path) -> None:
    """Read by its description: two f32 and a code per token and row."""
    data = base.read_bytes()
    vocab, half = model.vocab_size, windows.length // 2
    assert data[:8] == b"_logits_"
    assert struct.unpack_from("<3i", data, 8) == (windows.length, vocab, 3)
    tokens = np.frombuffer(data, "<i4", 3 * windows.length, 20)
    assert tokens.tolist() == windows.tokens.ravel().tolist()
    at = 20 + tokens.nbytes
    for logs in by_hand(model, windows)[:, half:]:
        for row in logs:
            scale, low = struct.unpack_from("<2f", data, at)
            codes = np.frombuffer(data, "<u2", vocab, at + 8)
            at += 8 + 2 * (vocab + vocab % 2)
            assert low == pytest.approx(max(row.min(), row.max() - 16), abs=1e-4)
            assert np.abs(low + scale * codes - np.maximum(row, low)).max() < 16 / 65535
    assert data[at : at + 8] == b"_scored_"


def test_divergence_is_its_definition(model: Model, windows: Windows, base: Path) -> None:
    lossy = Model.load(threads=2, cache=False, kv="q4_0")
    found = divergence(lossy, BaseReader(base, bos_of(lossy.tokenizer)))
    half = windows.length // 2
    reference, other = by_hand(model, windows), by_hand(lossy, windows, "q4_0")
    p, q = (logs[:, half:].reshape(-1, model.vocab_size) for logs in (reference, other))
    kl = (np.exp(p) * (p - q)).sum(-1)
    assert kl.mean() > 1e-3
    assert found.kl == pytest.approx(kl.mean(), rel=0.02, abs=1e-4)  # 16 bits per value
    assert found.kl_max == pytest.approx(kl.max(), rel=0.02)
    assert found.kl_99 == pytest.approx(np.quantile(kl, 0.99), rel=0.02)
    assert found.top1 == pytest.approx((p.argmax(-1) == q.argmax(-1)).mean(), abs=0.02)
    ours, theirs = scored(other, windows), scored(reference, windows)
    assert found.base.perplexity == pytest.approx(np.exp(-theirs.mean()), rel=1e-5)
    assert found.ratio == pytest.approx(np.exp((theirs - ours).mean()), rel=1e-5)
    change = np.exp(ours) - np.exp(theirs)
    assert found.dp_rms == pytest.approx(np.sqrt((change**2).mean()), rel=1e-4)


def test_a_model_is_not_far_from_itself(model: Model, base: Path) -> None:
    found = divergence(model, BaseReader(base, bos_of(model.tokenizer)))
    assert abs(found.kl) < 1e-5  # 16 bits per value
    assert found.top1 > 0.99
    assert found.ratio == pytest.approx(1, abs=1e-6)


def test_a_file_of_llama_cpp_ends_with_the_rows(model: Model, base: Path, tmp_path: Path) -> None:
    """Then unlikely tokens count as 16 below the likeliest: perplexity is a bound."""
    whole = BaseReader(base, None)
    tail = 8 + 4 * whole.windows.targets.size
    cut = tmp_path / "cut"
    cut.write_bytes(base.read_bytes()[:-tail])
    without = BaseReader(cut, None)
    for window in range(3):
        exact, kept = whole.scored(window), without.scored(window)
        assert np.abs(kept - np.maximum(exact, kept)).max() < 1e-3


def header(at: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into("<i", data, at, value)


def cut(count: int) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        del data[count:]

    return damage


@pytest.mark.parametrize(
    "damage",
    [cut(0), cut(7), cut(19), cut(500), cut(-1), header(0, 0), header(8, -1), header(8, 2**30),
     header(12, 0), header(12, 2**30), header(16, -5), header(16, 2**30), header(20, -1),
     header(20, 10**6)],
)  # fmt: skip
def test_files_that_are_none(
    base: Path, tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    data = bytearray(base.read_bytes())
    damage(data)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises((FormatError, ResourceError), match="damaged"):
        BaseReader(path, None)


def test_another_vocabulary_is_refused(
    model: Model, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = BaseReader(base, None)
    monkeypatch.setattr(reader, "vocab", model.vocab_size + 1)
    with pytest.raises(ShapeError, match="share their vocabulary"):
        divergence(model, reader)


def test_nothing_half_written_remains(model: Model, windows: Windows, tmp_path: Path) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "base"
    with (
        pytest.raises(KeyboardInterrupt),
        BaseWriter(path, windows, model.vocab_size) as writer,
    ):
        perplexity(model, windows, base=writer, progress=stop)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ResourceError, match="cannot be written"):
        BaseWriter(tmp_path / "no" / "base", windows, model.vocab_size)


def test_rows_of_one_window_come_once(model: Model, windows: Windows) -> None:
    rows = list(log_probabilities(model, windows))
    assert [row.shape for row in rows] == [(32, model.vocab_size)] * 3
    assert all(np.allclose(np.exp(row).sum(-1), 1, atol=1e-5) for row in rows)
