# SPDX-License-Identifier: MIT
"""What a file that does not name its pre-tokenizer loses by it, measured.

Old files say "default" or nothing. The vocabulary often tells which model it is of; test texts are
then encoded the default way and that model's way, and the difference is what the load report says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .pretokenizers import PRETOKENIZERS, PreTokenizer

# A token that only vocabularies of one family have, the least size -> its pre-tokenizer.
_SIGNS = (
    ("<|eot_id|>", 100_000, "llama-bpe"),
    ("<|return|>", 190_000, "gpt-4o"),
    ("[AVAILABLE_TOOLS]", 100_000, "tekken"),
    ("<|START_OF_TURN_TOKEN|>", 200_000, "command-r"),
    ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", 120_000, "deepseek-v3"),
    ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", 90_000, "deepseek-llm"),
    ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", 0, "deepseek-coder"),
    ("[gMASK]", 100_000, "chatglm-bpe"),
    ("<|im_start|>", 150_000, "qwen2"),
    ("<|im_start|>", 100_000, "stablelm2"),
    ("<repo_name>", 49_000, "smollm"),
    ("<fim_prefix>", 49_000, "starcoder"),
    (">>TITLE<<", 0, "falcon"),
    ("<|endoftext|>", 150_000, "qwen2"),
    ("<|endoftext|>", 50_000, "gpt-2"),
)
_COMMON = ("gpt-2", "llama-bpe", "qwen2")
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "It's 100% certain: they'll go, we've been, I'm done.",
    "IT'S ALL CAPITALS, AND THEY'LL STAY SO.",
    "In 1984, 12345678 people paid $3.50 (or 1,234.56).",
    "Call +49 30 901820 before 17:45.",
    "first line\nsecond line\r\n\r\nfourth line\n\n\n",
    "    indented by four\n\tby a tab\n",
    "trailing spaces   \n   leading spaces",
    "for (int i = 0; i < n; ++i) { sum += a[i] * 2; }",
    'def f(x):\n    return {"key": x ** 2}  # why?\n',
    "https://example.org/a/b?c=1&d=%20#e_f",
    "caf\u00e9 na\u00efve Stra\u00dfe \u00c5ngstr\u00f6m",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0433\u043e\u0440\u043e\u0434, 2024",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929\u662f2024\u5e74\u3002",
    "\u3053\u3093\u306b\u3061\u306f \u30ab\u30bf\u30ab\u30ca",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4.",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\U0001f600\U0001f680 emoji \U0001f1e9\U0001f1ea!!!",
    "e\u0301 combining, camelCase and snake_case",
    "x^2 + y^2 = z^2; a != b; c -> d; <tag/>",
    "\"Quoted,\" she said; 'so' - well...",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "\u00a0\u2003spaces\u200b of other kinds",
)


def likely(ids: Mapping[str, int]) -> str | None:
    """The pre-tokenizer of the family whose vocabulary this is; None if no sign of one is found."""
    return next((name for token, least, name in _SIGNS if token in ids and len(ids) >= least), None)


def consequence(model: Any, ids: Mapping[str, int], words: Callable[[PreTokenizer], Any]) -> str:
    """How many test texts get other tokens than with the pre-tokenizer that is likely meant.

    Args:
        model: The library's model, to be used with any pre-tokenizer.
        ids: The vocabulary.
        words: Makes the library's pre-tokenizer.
    """
    from tokenizers import Tokenizer

    def encoded(name: str) -> list[list[int]]:
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = words(PRETOKENIZERS[name])
        return [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]

    default = encoded("default")

    def differing(name: str) -> int:
        return sum(a != b for a, b in zip(default, encoded(name), strict=True))

    total, name = len(TEXTS), likely(ids)
    if name is not None:
        return (
            f"words are cut the default way, and {differing(name)} of {total} test texts get other "
            f"tokens than with {name!r}, which the vocabulary suggests; a newer conversion of the "
            "model has tokenizer.ggml.pre"
        )
    counts = [differing(known) for known in _COMMON]
    return (
        f"words are cut the default way, and {min(counts)} to {max(counts)} of {total} test texts "
        f"get other tokens than with {', '.join(_COMMON)}; a newer conversion of the model has "
        "tokenizer.ggml.pre"
    )
