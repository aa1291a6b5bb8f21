# SPDX-License-Identifier: MIT
"""GPTQ into GGUF blocks: what rounding a column loses is made up for by the columns after it.

Frantar et al., arXiv:2210.17323. With H the mean of x x^T over the inputs x of a matrix, the output
error of a row is e H e^T. Columns are rounded one after another; with U the upper Cholesky factor
of H^-1, an error e_i of column i is spread as e_i U[i, j] / U[i, i] over the columns j behind it.
Scales and minima of a block are searched when its first column is reached, in the weights as they
are by then, each column weighted by 1 / U[i, i]^2: what its error costs once later ones have moved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError, UnsupportedError
from .layouts import LAYOUTS, Codes, fit, pack

Array = NDArray[np.float32]
DAMPING = 0.01  # of the mean of H's diagonal, added to it


def gptq(kind: str, values: Array, upper: Array, *, threads: int = 1) -> NDArray[np.uint8]:
    """The blocks of rows [rows, K] of a matrix; `upper` is `inverse_factor` of its H.

    Raises:
        UnsupportedError: The type has no such rounding.
        ShapeError: The factor does not fit.
    """
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise UnsupportedError(f"[gptq] Types are {', '.join(LAYOUTS)}. Got {kind!r}.")
    rows, columns = values.shape
    if upper.shape != (columns, columns):
        raise ShapeError(
            f"[gptq] The factor must be [{columns}, {columns}]. Got {list(upper.shape)}."
        )
    left = np.ascontiguousarray(values.T)  # [K, rows], updated as columns are done
    blocks = columns // layout.block
    made: list[NDArray[np.uint8]] = []
    for first in range(0, columns, layout.block):
        last = first + layout.block
        inside = upper[first:last, first:last]
        cost = (1 / np.square(np.diagonal(inside))).astype(np.float32)
        parts = fit(kind, np.ascontiguousarray(left[first:last].T), cost, threads)
        scales, lows = layout.scales(parts)
        codes = np.empty((layout.block, rows), np.uint8)
        errors = np.empty((layout.block, rows), np.float32)
        for i in range(layout.block):
            scale, low = scales[:, i // layout.group], lows[:, i // layout.group]
            x = left[first + i]
            codes[i] = layout.codes(x, scale, low)
            errors[i] = (x - layout.decode(codes[i], scale, low)) / inside[i, i]
            left[first + i + 1 : last] -= np.outer(inside[i, i + 1 :], errors[i])
        left[last:] -= upper[first:last, last:].T @ errors
        made.append(pack(kind, (*parts[:4], _by_row(codes))).reshape(rows, -1))
    return np.concatenate(made, axis=1).reshape(-1) if blocks else np.empty(0, np.uint8)


def inverse_factor(hessian: Array, damping: float = DAMPING) -> Array:
    """The upper factor U of H^-1 = U^T U, H damped; columns that no input uses stand alone.

    Raises:
        ShapeError: H is not square, or not finite.
    """
    if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1] or not np.isfinite(hessian).all():
        raise ShapeError(f"[gptq] Moments must be square and finite. Got {list(hessian.shape)}.")
    h = hessian.astype(np.float64)
    diagonal = np.diagonal(h).copy()
    mean = float(diagonal.mean()) or 1.0
    unused = diagonal <= 0
    h[unused] = h[:, unused] = 0
    extra = np.where(unused, mean, 0) + damping * mean
    while True:  # round-off can leave H short of positive definite
        try:
            damped = h + np.diag(extra)
            upper: Array = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
        except np.linalg.LinAlgError:
            extra = extra * 10
        else:
            return upper


def _by_row(codes: Codes) -> Codes:
    return np.ascontiguousarray(codes.T)
