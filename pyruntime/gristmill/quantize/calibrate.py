# SPDX-License-Identifier: MIT
"""What real text says about the inputs of matrices: sums of squares per column, second moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..gguf import File
from .imatrix import Imatrix, Sums

if TYPE_CHECKING:
    from ..evaluate import Windows
    from ..model import Model

Array = NDArray[np.float32]
Progress = Callable[[int, int], object]
BATCH = 128  # tokens whose inputs are kept at a time, of all matrices


def inputs(
    model: Model, windows: Windows, progress: Progress | None = None
) -> Iterator[list[tuple[list[str], Array]]]:
    """Of every batch: for each linear operation its matrices and their inputs [tokens, K].

    Raises:
        ContextError: A token is outside the model's vocabulary.
        ResourceError: There is not enough memory.
    """
    session = _core.Session(model.core, windows.length, BATCH, all_logits=True, taps=True)
    for done, window in enumerate(windows.tokens.tolist()):
        if windows.bos is not None:
            window[0] = windows.bos
        session.truncate(0)
        for start in range(0, windows.length, BATCH):
            session.forward(window[start : start + BATCH])
            yield session.taps()
        if progress is not None:
            progress(done + 1, len(windows.tokens))


def collect_imatrix(
    model: Model, windows: Windows, name: str = "", progress: Progress | None = None
) -> Imatrix:
    """The importance matrix of a text; `name` is what it is called in the file.

    Raises:
        As inputs.
    """
    squares: dict[str, NDArray[np.float64]] = {}
    tokens = 0
    for batch in inputs(model, windows, progress):
        for names, values in batch:
            total = np.einsum("tk,tk->k", values, values, dtype=np.float64)
            for matrix in names:
                squares[matrix] = squares.get(matrix, 0) + total
        tokens += len(batch[0][1])
    count = np.array([tokens], np.float32)
    sums = {
        matrix: Sums(total.astype(np.float32)[None], count) for matrix, total in squares.items()
    }
    return Imatrix(sums, [name] if name else [], windows.length, len(windows.tokens))


def matrices(model: Model) -> dict[str, int]:
    """Columns of the matrices of a model that have inputs, by name and in the file's order."""
    session = _core.Session(model.core, 1, 1, taps=True)
    session.forward([0])
    found = {name: values.shape[1] for names, values in session.taps() for name in names}
    tensors = File(model.report.path).tensors
    return {name: found[name] for name in tensors if name in found}


class Moments:
    """Second moments by matrix, collected for as many at a time as a budget of memory holds.

    Args:
        model: What runs the text.
        windows: The text.
        columns: K of the matrices that are wanted, by name, in the order of asking.
        budget: Bytes.
    """

    def __init__(
        self, model: Model, windows: Windows, columns: Mapping[str, int], budget: int = 2 << 30
    ) -> None:
        self._model, self._windows, self._budget = model, windows, budget
        self._columns = dict(columns)
        self._found: dict[str, Array] = {}

    def of(self, name: str) -> Array | None:
        """The moments [K, K] of the inputs of a matrix; None if it has no inputs of its own."""
        if name not in self._columns:
            return None
        if name not in self._found:
            self._found = {}
            self._found = collect_moments(self._model, self._windows, self._next(name).__contains__)
        return self._found.get(name)

    def _next(self, name: str) -> set[str]:
        """This matrix and as many after it as fit."""
        names = list(self._columns)
        chosen: set[str] = set()
        total = 0
        for other in names[names.index(name) :]:
            total += 4 * self._columns[other] ** 2
            if chosen and total > self._budget:
                break
            chosen.add(other)
        return chosen


def collect_moments(
    model: Model, windows: Windows, wanted: Callable[[str], bool], progress: Progress | None = None
) -> dict[str, Array]:
    """The means of x x^T [K, K] over the inputs of the matrices that are wanted, by name.

    Matrices with common inputs share one array.

    Raises:
        As inputs.
    """
    found: dict[str, Array] = {}
    tokens = 0
    for batch in inputs(model, windows, progress):
        for names, values in batch:
            chosen = [name for name in names if wanted(name)]
            if not chosen:
                continue
            product = values.T @ values
            if chosen[0] in found:
                found[chosen[0]] += product
            else:
                found.update(dict.fromkeys(chosen, product))
        tokens += len(batch[0][1])
    for moments in {id(array): array for array in found.values()}.values():
        moments /= max(tokens, 1)
    return found
