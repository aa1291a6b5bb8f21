# SPDX-License-Identifier: MIT
"""Real vocabularies give the ids that their `.out` files record, and come back as the same text."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import pytest

from gristmill.gguf import File
from gristmill.tokenizer import StreamDecoder, Tokenizer, from_metadata

NAMES = ("bert-bge", "falcon", "gpt-2", "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2")
LOSSY = {"bert-bge"}


@lru_cache(maxsize=1)
def _load(path: Path) -> Tokenizer:
    return from_metadata(File(path).metadata)


def _cases(folder: Path, name: str) -> list[tuple[str, list[int]]]:
    base = folder / "weights" / "vocab" / f"ggml-vocab-{name}.gguf"
    with open(f"{base}.inp", encoding="utf-8", newline="") as file:
        texts = file.read().split("\n__ggml_vocab_test__\n")
    with open(f"{base}.out", encoding="utf-8") as file:
        ids = [[int(word) for word in line.split()] for line in file.read().split("\n")]
    assert len(texts) == len(ids)
    assert len(texts) > 40
    return list(zip(texts, ids, strict=True))


def _vocab(folder: Path, name: str) -> Tokenizer:
    return _load(folder / "weights" / "vocab" / f"ggml-vocab-{name}.gguf")


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_the_recorded_ones(external_data: Path, name: str) -> None:
    tokenizer = _vocab(external_data, name)
    for text, ids in _cases(external_data, name):
        assert tokenizer.encode(text, add_special=False) == ids, text


@pytest.mark.parametrize("name", NAMES)
def test_ids_come_back_as_the_text(external_data: Path, name: str) -> None:
    tokenizer = _vocab(external_data, name)
    for text, ids in _cases(external_data, name):
        decoder = StreamDecoder(tokenizer)
        streamed = "".join(map(decoder.feed, ids)) + decoder.flush()
        assert streamed == tokenizer.decode(ids)
        if name not in LOSSY:
            assert streamed == text


def test_bert_lowers_and_knows_its_frame(external_data: Path) -> None:
    tokenizer = _vocab(external_data, "bert-bge")
    ids = tokenizer.encode("Hello World")
    assert [tokenizer.token_text(i) for i in (ids[0], ids[-1])] == ["[CLS]", "[SEP]"]
    assert tokenizer.decode(ids, skip_special=True) == "hello world"


def test_roles_and_ends(external_data: Path) -> None:
    llama3 = _vocab(external_data, "llama-bpe")
    assert llama3.bos_id == 128000
    assert llama3.eog_ids == {128001, 128009}  # end of text, of turn
    assert llama3.encode("a")[0] == 128000  # the pre-tokenizer's default
    phi3 = _vocab(external_data, "phi-3")
    assert phi3.eog_ids == {2, 32000, 32007}
    qwen2 = _vocab(external_data, "qwen2")
    assert qwen2.eog_ids == {151643, 151645}
    assert qwen2.encode("a") == qwen2.encode("a", add_special=False)
    # "</s>" is plain text there (it closes a strike-through), not an end.
    assert qwen2.decode(qwen2.encode("<s>a</s>"), skip_special=True) == "<s>a</s>"


def test_special_tokens_are_read_only_when_asked(external_data: Path) -> None:
    qwen2 = _vocab(external_data, "qwen2")
    turn = "<|im_start|>user\nHi<|im_end|>\n"
    assert qwen2.encode(turn)[0] == 151644
    assert 151645 in qwen2.encode(turn)
    plain = qwen2.encode(turn, parse_special=False)
    assert not {151644, 151645} & set(plain)
    assert qwen2.decode(plain) == turn


def test_phi3_swallows_space_after_its_markers(external_data: Path) -> None:
    phi3 = _vocab(external_data, "phi-3")
    assert phi3.encode("<|user|>\n Hi<|end|>\n<|assistant|>") == phi3.encode(
        "<|user|>Hi<|end|><|assistant|>"
    )
    assert phi3.encode("<s>\nHi") != phi3.encode("<s>Hi")


def test_large_vocabularies_load_quickly(external_data: Path) -> None:
    metadata = File(external_data / "weights" / "vocab" / "ggml-vocab-qwen2.gguf").metadata
    from_metadata(metadata)  # reads the values
    start = time.process_time()
    tokenizer = from_metadata(metadata)
    assert time.process_time() - start < 0.7
    assert tokenizer.vocab_size == 151936
    assert tokenizer.source == "byte-level BPE (qwen2) from GGUF, 151936 tokens"
