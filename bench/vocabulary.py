# SPDX-License-Identifier: MIT
"""Synthetic vocabularies of any size that real tokenizers accept.

Pieces are letters, pairs, triples and so on, with and without a leading space, so that every text
can be tokenized and a long enough vocabulary tokenizes English to about three characters a token.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass, field

LETTERS = string.ascii_lowercase
NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6


@dataclass(frozen=True)
class Vocabulary:
    """What `tokenizer.ggml.*` holds.

    Attributes:
        model: "llama" or "gpt2".
        pre: pre-tokenizer, empty for "llama".
        tokens, scores, types: one entry per token; scores are empty for "gpt2".
        merges: "a b" strings, for "gpt2".
        special: role ("bos", "eos", "unknown", "padding") -> token id.
        add_bos: whether a prompt begins with bos.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    special: dict[str, int] = field(default_factory=dict)
    add_bos: bool = True


def _pieces(space: str) -> Iterator[tuple[str, str]]:
    """(left, right) pairs whose joins are all different, each part already a piece."""
    previous = list(LETTERS)
    yield from ((space, letter) for letter in LETTERS)
    for _ in itertools.count():
        joined = [(left, right) for left in previous for right in LETTERS]
        yield from joined
        yield from ((space + left, right) for left, right in joined)
        previous = [left + right for left, right in joined]


def sentencepiece_vocabulary(size: int) -> Vocabulary:
    """<unk> <s> </s>, 256 bytes, printable ASCII, then joins; scores fall with the id.

    Raises:
        ValueError: fewer than 355 tokens do not hold the bytes and ASCII.
    """
    space = "\u2581"
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    single = [space, *(chr(code) for code in range(33, 127))]
    if size < len(tokens) + len(single):
        raise ValueError(
            f"[vocabulary] bytes and ASCII take {len(tokens) + len(single)} tokens. Got {size}."
        )
    joins = itertools.islice(_pieces(space), size - len(tokens) - len(single))
    pieces = [*single, *(left + right for left, right in joins)]
    return Vocabulary(
        model="llama",
        pre="",
        tokens=tokens + pieces,
        types=types + [NORMAL] * len(pieces),
        scores=[0.0] * len(tokens) + [-float(rank) for rank in range(len(pieces))],
        special={"bos": 1, "eos": 2, "unknown": 0},
    )


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in a byte-level BPE, by byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(extra)) for byte in range(256)]


def bpe_vocabulary(size: int, pre: str) -> Vocabulary:
    """256 bytes, joins with their merges, and the special tokens of the family at the end.

    Raises:
        ValueError: no room for the bytes and the special tokens.
    """
    families = {
        "llama-bpe": ("<|begin_of_text|>", "<|end_of_text|>", 256),
        "qwen2": ("<|endoftext|>", "<|im_end|>", 293),
        "smollm": ("<|endoftext|>", "<|im_end|>", 17),
    }
    bos, eos, reserved = families[pre]
    alphabet = byte_alphabet()
    count = size - len(alphabet) - reserved
    if count < 0:
        raise ValueError(f"[vocabulary] {pre} takes {size - count} tokens. Got {size}.")
    joins = list(itertools.islice(_pieces(alphabet[ord(" ")]), count))
    tokens = [*alphabet, *(left + right for left, right in joins)]
    types = [NORMAL] * len(tokens)
    special = {"bos": len(tokens), "eos": len(tokens) + 1}
    tokens += [bos, eos, *(f"<|reserved_{i}|>" for i in range(reserved - 2))]
    types += [CONTROL] * 2 + [UNUSED] * (reserved - 2)
    return Vocabulary(
        model="gpt2",
        pre=pre,
        tokens=tokens,
        types=types,
        merges=[f"{left} {right}" for left, right in joins],
        special=special,
        add_bos=pre == "llama-bpe",
    )


def vocabulary(size: int, tokenizer: str) -> Vocabulary:
    """A vocabulary of exactly `size` tokens for "llama" or a byte-level pre-tokenizer."""
    if tokenizer == "llama":
        return sentencepiece_vocabulary(size)
    return bpe_vocabulary(size, tokenizer)
