# SPDX-License-Identifier: MIT
"""Train the tokenizer: SentencePiece BPE with 4096 pieces and byte fallback.

The settings are chosen so that the greedy merge by score, which GGUF runtimes use for
`tokenizer.ggml.model = llama`, gives the same ids as SentencePiece itself: no text
normalization, one dummy space in front of each segment, and a newline as a byte token.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import sentencepiece as spm

from data import read_documents

CONTROL = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


def lines(data: Path, book_share: float) -> Iterator[str]:
    """Yield the training lines; the old books are thinned so that they do not dominate."""
    for name in ("tinystories.txt", "fairytales.txt"):
        for text in read_documents(data / "corpus" / name):
            yield from filter(None, text.split("\n"))
    step = max(1, round(1 / book_share))
    for text in read_documents(data / "corpus" / "childrens-books.txt.xz")[::step]:
        yield from filter(None, text.split("\n"))


def train(data: Path, out: Path, size: int, book_share: float) -> None:
    """Train on the clean text and write the SentencePiece model file."""
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=lines(data, book_share),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        split_digits=True,
        character_coverage=0.9999,
        max_sentence_length=65536,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        control_symbols=CONTROL,
        num_threads=2,
        minloglevel=1,
    )
    out.write_bytes(model.getvalue())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus/")
    parser.add_argument("--out", type=Path, required=True, help="tokenizer.model to write")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--book-share", type=float, default=0.34)
    args = parser.parse_args()
    train(args.data, args.out, args.size, args.book_share)


if __name__ == "__main__":
    main()
