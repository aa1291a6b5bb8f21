# SPDX-License-Identifier: MIT
"""What the core knows of GGUF tensor types, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from . import _core


@dataclass(frozen=True)
class TensorType:
    """A type: values and bytes of a block, and "supported", "data" (no kernels) or "removed"."""

    values: int
    nbytes: int
    status: str


TENSOR_TYPES = {
    name: TensorType(values, nbytes, status)
    for name, _, values, nbytes, status in _core.tensor_types()
}


def tensor_bytes(shape: Sequence[int], kind: str) -> int:
    """Bytes of a tensor of whole blocks."""
    known = TENSOR_TYPES[kind]
    return math.prod(shape) // known.values * known.nbytes
