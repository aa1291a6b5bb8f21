# SPDX-License-Identifier: MIT
"""Values to blocks by the best method that there is knowledge for: GPTQ where the second moments of
a matrix's inputs are known, weighted searches where the importance of its columns is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ShapeError
from .calibrate import Moments
from .gptq import gptq, inverse_factor
from .layouts import LAYOUTS

Array = NDArray[np.float32]
FLOATS = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True)
class Knowledge:
    """Of one matrix: weights of its columns [K], and the factor that GPTQ needs [K, K]."""

    weights: Array | None
    factor: Array | None


@dataclass
class Encoder:
    """The methods.

    Args:
        threads: Worker threads.
        importance: Weights of columns by tensor name.
        moments: Second moments of inputs, by tensor name.
    """

    threads: int
    importance: Mapping[str, Array] = field(default_factory=dict)
    moments: Moments | None = None

    def about(self, name: str, kind: str, columns: int) -> Knowledge:
        """What is known of a matrix that becomes `kind`.

        Raises:
            ShapeError: Weights that do not fit.
        """
        weights = self.importance.get(name)
        if weights is not None and weights.shape != (columns,):
            raise ShapeError(
                f"[quantize, tensor {name!r}] Importance is one weight per column, {columns}. "
                f"Got {list(weights.shape)}."
            )
        moments = None
        if self.moments is not None and kind in LAYOUTS:
            moments = self.moments.of(name)
        if moments is None:
            return Knowledge(weights, None)
        return Knowledge(np.diagonal(moments).copy(), inverse_factor(moments))

    def encode(self, kind: str, values: Array, known: Knowledge) -> NDArray[np.uint8]:
        """The bytes of rows of a matrix."""
        if kind in FLOATS:
            return _core.encode(kind, values)
        if known.factor is not None:
            return gptq(kind, values, known.factor, threads=self.threads)
        return _core.quantize(kind, values, known.weights, self.threads)
