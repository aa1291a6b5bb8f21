# SPDX-License-Identifier: MIT
"""The table of pre-tokenizers: every name of llama.cpp, what each cuts, what its lack costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from texts import texts
from vocabularies import KEY

from gristmill.tokenizer import from_metadata
from gristmill.tokenizer.likely_pre import TEXTS, likely
from gristmill.tokenizer.pretokenizers import PRETOKENIZERS

# What llama.cpp takes for tokenizer.ggml.pre, 2026-11.
LLAMA_CPP = """
a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell cohere2moe command-r dbrx
deepseek-coder deepseek-llm deepseek-r1-qwen deepseek-v3 default exaone exaone-moe exaone4 f2llmv2
falcon falcon-h1 falcon3 gemma4 gigachat glm4 gpt-2 gpt-4o gpt3-finnish granite-docling
granite-embed-multi-311m granite-embed-multi-97m grok-2 hunyuan hunyuan-dense hy_v4 jais jais-2
jina-de jina-es jina-v1-en jina-v2-code jina-v2-de jina-v2-es jina-v5-nano joyai-llm kanana2
kimi-k2 kormo laguna lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum mellum2 midm-2.0
minerva-7b minicpm5 minimax-m2 modern-bert mpt olmo phi-2 pixtral poro-chat qwen2 qwen35 refact
roberta-bpe sarvam-moe seed-coder smaug-bpe smollm solar-open spark2_5 stablelm2 starcoder superbpe
talkie tekken tiny_aya trillion ufakzeka viking whitespace youtu
"""
SAMPLE = (
    "The year 12345, it's 100% DONE\u2019s caf\u00e9 \u4e16\u754c\u3053 \u0e01\u0e33  x\r\n\n y();"
)


def _words(name: str, text: str) -> list[str]:
    from tokenizers import Regex, pre_tokenizers

    splits = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PRETOKENIZERS[name].patterns
    ]
    return [word for word, _ in pre_tokenizers.Sequence(splits).pre_tokenize_str(text)]


def test_every_name_is_known() -> None:
    assert sorted(LLAMA_CPP.split()) == sorted(PRETOKENIZERS)


@pytest.mark.parametrize("name", sorted(PRETOKENIZERS))
def test_every_pretokenizer_compiles_and_loses_nothing(
    bpe_metadata: dict[str, Any], name: str
) -> None:
    if not PRETOKENIZERS[name].byte_level:
        assert "".join(_words(name, SAMPLE)) == SAMPLE
        return
    tokenizer = from_metadata(bpe_metadata | {KEY + "pre": name})
    ids = tokenizer.encode(SAMPLE, add_special=False)
    assert tokenizer.decode(ids) == SAMPLE
    assert len(tokenizer.notes) == (name == "default")
    assert f"({name})" in tokenizer.source


@settings(max_examples=40)
@given(texts(without="\u2581"))
def test_words_joined_are_the_text(text: str) -> None:
    for patterns in {one.patterns: name for name, one in PRETOKENIZERS.items()}.values():
        assert "".join(_words(patterns, text)) == text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gpt-2", "Hello  World 123's", ["Hello", " ", " World", " 123", "'s"]),
        ("llama-bpe", "12345 IT'S\n\n  x", ["123", "45", " IT", "'S", "\n\n", " ", " x"]),
        ("qwen2", "12 a", ["1", "2", " a"]),
        ("falcon", "12345, a", ["123", "45", ",", " a"]),
        ("starcoder", "ab 12", ["ab", " ", "1", "2"]),
        ("deepseek-llm", "Hi \u4e16\u754c 42\n", ["Hi", " ", "\u4e16\u754c", " ", "42", "\n"]),
        ("deepseek-v3", "a.b 1234", ["a", ".b", " ", "123", "4"]),
        ("gpt-4o", "camelCase DON'T", ["camel", "Case", " DON'T"]),
        ("tekken", "camelCase 12", ["camel", "Case", " ", "1", "2"]),
        ("bloom", "a,b c", ["a", ",", "b", " c"]),
        ("jais-2", " " * 13 + "x", [" " * 8, " " * 4, " x"]),
        ("spark2_5", "1234 ab!!\n\nx", ["1", "2", "3", "4", " ab", "!!", "\n", "\n", "x"]),
        ("youtu", "\uac00 \u2026x 12Ab", ["\uac00", " ", "\u2026", "x", " ", "1", "2", "Ab"]),
        ("afmoe", "1234567 a\u0e01", ["1", "234", "567", " a\u0e01"]),
        ("chameleon", "a\t12    b", ["a", "\t", "1", "2", "    ", "b"]),
        ("exaone-moe", "a b c 12 !\n\n", ["a b c", " ", "1", "2", " !\n", "\n"]),
        ("kimi-k2", "\u4e16Hi's A\u4e16 1234", ["\u4e16", "Hi's", " A", "\u4e16", " ", "123", "4"]),
        ("laguna", "a\n\n b'LL", ["a", "\n\n", " b", "'LL"]),
        ("superbpe", "a 1234567", ["a ", "1", "234", "567"]),
        ("gemma4", "a b\n\nc", ["a b", "\n\n", "c"]),
        ("whitespace", "a  b\n", ["a", "  ", "b", "\n"]),
    ],
)  # fmt: skip
def test_words(name: str, text: str, words: list[str]) -> None:
    assert _words(name, text) == words


@pytest.mark.parametrize("changed", [None, "default", "from-the-future"])
def test_the_default_is_noted_with_what_it_costs(
    bpe_metadata: dict[str, Any], changed: str | None
) -> None:
    del bpe_metadata[KEY + "pre"]
    tokenizer = from_metadata(bpe_metadata | ({} if changed is None else {KEY + "pre": changed}))
    assert "(default)" in tokenizer.source
    (note,) = tokenizer.notes
    assert "pre-tokenizer" in note
    assert "of 24 test texts get other tokens than with gpt-2, llama-bpe, qwen2" in note
    assert tokenizer.decode(tokenizer.encode(SAMPLE)) == SAMPLE


def test_the_cost_is_measured_against_the_family_of_the_vocabulary(
    bpe_metadata: dict[str, Any],
) -> None:
    """Falcon's own pre-tokenizer is nearly the default one; its vocabulary has a sign."""
    tokens = [*bpe_metadata[KEY + "tokens"], ">>TITLE<<"]
    types = [*bpe_metadata[KEY + "token_type"], 3]
    old = bpe_metadata | {KEY + "tokens": tokens, KEY + "token_type": types}
    tokenizer = from_metadata(old | {KEY + "pre": "default"})
    own = from_metadata(old | {KEY + "pre": "falcon"})
    assert own.notes == []
    differ = sum(
        tokenizer.encode(text, add_special=False) != own.encode(text, add_special=False)
        for text in TEXTS
    )
    assert (
        f"and {differ} of 24 test texts get other tokens than with 'falcon'" in tokenizer.notes[0]
    )


def test_signs_of_families() -> None:
    ids = {str(i): i for i in range(151_000)}
    assert likely(ids) is None
    assert likely(ids | {"<|im_start|>": 151_000}) == "qwen2"
    assert likely(ids | {"<|eot_id|>": 151_000, "<|im_start|>": 151_001}) == "llama-bpe"
