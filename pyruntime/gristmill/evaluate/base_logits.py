# SPDX-License-Identifier: MIT
"""Files of log probabilities that models are compared with, in llama.cpp's layout (its
--kl-divergence-base), so that either program reads the other's:

    "_logits_", i32 window length, i32 V, i32 windows, i32 tokens [windows, length]
    then per scored row: f32 scale, f32 lowest, u16 [V, made even]: log p = lowest + scale * u16

Log probabilities more than 16 below a row's largest are kept as its lowest. What the text has is
sometimes so unlikely, so its own log probabilities follow, exact, where other readers stop:

    "_scored_", f32 [windows, scored]
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, ResourceError
from .windows import Windows, at_targets

_MAGIC, _TAIL = b"_logits_", b"_scored_"
_RANGE = 16.0
_MAX_SIDE = 1 << 24  # of what a header may say


def _row_type(vocab: int) -> np.dtype[np.void]:
    return np.dtype([("scale", "<f4"), ("low", "<f4"), ("codes", "<u2", (vocab + vocab % 2,))])


class BaseWriter:
    """Writes a file; it appears when `with` ends without an error.

    Args:
        path: The file.
        windows: The text.
        vocab: V.

    Raises:
        ResourceError: It cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], windows: Windows, vocab: int) -> None:
        self._path = Path(path)
        self._part = self._path.with_name(self._path.name + ".gristmill-part")
        self._vocab = vocab
        self._scored: list[NDArray[np.float32]] = []
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            raise self._failed(error) from error
        count, length = windows.tokens.shape
        self._write(_MAGIC + np.array([length, vocab, count], "<i4").tobytes())
        self._write(windows.tokens.astype("<i4").tobytes())

    def append(self, logs: NDArray[np.float32], scored: NDArray[np.float64]) -> None:
        """Adds the rows [scored, V] of the next window, and the values of its tokens.

        Raises:
            ResourceError: The disk is full, for example.
        """
        rows = np.zeros(len(logs), _row_type(self._vocab))
        top = logs.max(axis=-1)
        rows["low"] = np.maximum(logs.min(axis=-1), top - _RANGE)
        rows["scale"] = (top - rows["low"]) / 65535
        step = np.where(rows["scale"] > 0, rows["scale"], 1)[:, None]
        codes = np.rint((logs - rows["low"][:, None]) / step)
        rows["codes"][:, : self._vocab] = np.clip(codes, 0, 65535)
        self._write(rows.tobytes())
        self._scored.append(scored.astype("<f4"))

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> ResourceError:
        return ResourceError(f"[perplexity] {self._path} cannot be written: {error.strerror}.")

    def __enter__(self) -> BaseWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._file.write(_TAIL + b"".join(part.tobytes() for part in self._scored))
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._part.replace(self._path)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)


class BaseReader:
    """A file, mapped.

    Attributes:
        windows: The text, without a first token of its own: it is the reader's model that says.
        vocab: V.

    Raises:
        FormatError: It is none, or cut short.
        ResourceError: It cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], bos: int | None) -> None:
        try:
            data = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise ResourceError(f"[perplexity] {path} cannot be read: {error}.") from error
        head = len(_MAGIC) + 12
        if data[: len(_MAGIC)].tobytes() != _MAGIC or len(data) < head:
            raise FormatError(f"[perplexity] {path} is no file of log probabilities.")
        length, vocab, count = (int(n) for n in data[len(_MAGIC) : head].view("<i4"))
        if not (4 <= length <= _MAX_SIDE and 1 <= vocab <= _MAX_SIDE and 1 <= count <= _MAX_SIDE):
            raise FormatError(
                f"[perplexity] {path} has {count} windows of {length} tokens of a vocabulary of "
                f"{vocab}, which cannot be."
            )
        scored, row = length - 1 - length // 2, _row_type(vocab)
        rows_at = head + 4 * length * count
        expected = rows_at + count * scored * row.itemsize
        tail = len(_TAIL) + 4 * count * scored
        if len(data) not in (expected, expected + tail):
            raise FormatError(
                f"[perplexity] {path} has {len(data)} bytes, its header says {expected}."
            )
        tokens = np.frombuffer(data[head:rows_at].tobytes(), "<i4").reshape(count, length)
        if tokens.min() < 0 or tokens.max() >= vocab:
            raise FormatError(f"[perplexity] {path} has tokens outside its vocabulary.")
        self.windows = Windows(tokens.astype(np.int32), bos)
        self.vocab = vocab
        self._rows = data[rows_at:expected].view(row).reshape(count, scored)
        exact = data[expected + len(_TAIL) :].view("<f4")
        self._scored = exact.reshape(count, scored) if exact.size else None

    def logs(self, window: int) -> NDArray[np.float32]:
        """The log probabilities [scored, V] of a window."""
        rows = self._rows[window]
        codes = rows["codes"][:, : self.vocab].astype(np.float32)
        values: NDArray[np.float32] = codes * rows["scale"][:, None] + rows["low"][:, None]
        return values

    def scored(self, window: int) -> NDArray[np.float64]:
        """The log probabilities [scored] of the tokens that the text has."""
        if self._scored is not None:
            exact: NDArray[np.float64] = self._scored[window].astype(np.float64)
            return exact
        return at_targets(self.logs(window), self.windows.targets[window])
