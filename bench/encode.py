# SPDX-License-Identifier: MIT
"""How fast the tokenizer of a file encodes: megabytes of UTF-8 per second, at once and in lines.

    python bench/encode.py TEXT vocabulary.gguf ...

A GGUF file of a vocabulary alone suffices. The best of three passes counts, in CPU time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from gristmill.gguf import File
from gristmill.tokenizer import Tokenizer, from_metadata

PASSES = 3


def megabytes_per_second(tokenizer: Tokenizer, texts: list[str]) -> float:
    """Of the best pass over all texts."""
    size = sum(len(text.encode()) for text in texts)
    best = float("inf")
    for _ in range(PASSES):
        start = time.process_time()
        for text in texts:
            tokenizer.encode(text)
        best = min(best, time.process_time() - start)
    return size / best / 1e6


def main() -> None:
    """Prints a row per file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    text = arguments.text.read_text(encoding="utf-8")
    print(f"{'tokenizer':60} {'at once':>10} {'by lines':>10}   MB/s")
    for path in arguments.files:
        tokenizer = from_metadata(File(path).metadata)
        whole = megabytes_per_second(tokenizer, [text])
        lines = megabytes_per_second(tokenizer, text.splitlines(keepends=True))
        print(f"{tokenizer.source:60} {whole:10.2f} {lines:10.2f}")


if __name__ == "__main__":
    main()
