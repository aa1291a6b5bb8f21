# SPDX-License-Identifier: MIT
"""Read the training text and serve it as batches of token ids."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import sentencepiece as spm

BOS, EOS = 1, 2
SOURCES = {
    "tinystories": "tinystories.txt",
    "fairytales": "fairytales.txt",
    "books": "childrens-books.txt.xz",
}

# Shares of each source at the start, the middle and the end of training. The books teach
# sentences and words; the two others are what the model is meant to write.
CURRICULUM = [
    (0.00, {"tinystories": 0.10, "fairytales": 0.10, "books": 0.80}),
    (0.45, {"tinystories": 0.20, "fairytales": 0.25, "books": 0.55}),
    (0.75, {"tinystories": 0.40, "fairytales": 0.40, "books": 0.20}),
    (1.00, {"tinystories": 0.50, "fairytales": 0.42, "books": 0.08}),
]


def read_documents(path: Path) -> list[str]:
    """Split a story file (plain or .xz) at its end-of-text lines."""
    raw = path.read_bytes()
    text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf-8")
    parts = (part.strip() for part in text.split("<|endoftext|>"))
    return [part for part in parts if part]


def encode_documents(sp: spm.SentencePieceProcessor, documents: list[str]) -> list[np.ndarray]:
    """Encode each document as <s> text </s>."""
    return [np.array([BOS, *sp.encode(text), EOS], np.int32) for text in documents]


class Stream:
    """Endless tokens of one source: its documents in a new random order each epoch."""

    def __init__(self, documents: list[np.ndarray], rng: np.random.Generator) -> None:
        self.documents = documents
        self.rng = rng
        self.buffer = np.zeros(0, np.int32)
        self.served = 0

    def take(self, count: int) -> np.ndarray:
        """Return count + 1 tokens; the last one is the first of the next call."""
        if len(self.buffer) < count + 1:
            order = self.rng.permutation(len(self.documents))
            self.buffer = np.concatenate([self.buffer, *(self.documents[i] for i in order)])
        row = self.buffer[: count + 1]
        self.buffer = self.buffer[count:]
        self.served += count
        return row


class Mixture:
    """Batches whose rows are drawn from the sources by the curriculum."""

    def __init__(self, data: Path, sp: spm.SentencePieceProcessor, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.streams = {}
        for name, file in SOURCES.items():
            documents = encode_documents(sp, read_documents(data / "corpus" / file))
            self.streams[name] = Stream(documents, self.rng)

    def tokens(self) -> dict[str, int]:
        """Size of each source in tokens."""
        return {n: sum(map(len, s.documents)) for n, s in self.streams.items()}

    def shares(self, progress: float) -> np.ndarray:
        """Interpolate the curriculum at a point between 0 and 1."""
        points = [point for point, _ in CURRICULUM]
        names = list(self.streams)
        return np.array([np.interp(progress, points, [s[n] for _, s in CURRICULUM]) for n in names])

    def batch(self, rows: int, length: int, progress: float) -> np.ndarray:
        """Return an int64 array of rows x (length + 1)."""
        shares = self.shares(progress)
        picks = self.rng.choice(list(self.streams), size=rows, p=shares / shares.sum())
        return np.stack([self.streams[str(n)].take(length) for n in picks]).astype(np.int64)
