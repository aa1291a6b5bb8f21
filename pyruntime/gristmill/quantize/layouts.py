# SPDX-License-Identifier: MIT
"""How the parts of a block (`_core.fit`, `_core.pack`) make values, per tensor type.

Of group j of a block: x' = scale * value(code) + low, where scale is d, or d * scales[j], and low
is 0, m or -m * mins[j].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _core

Array = NDArray[np.float32]
Codes = NDArray[np.uint8]
Parts = tuple[Array, Array, NDArray[np.int32], NDArray[np.int32], Codes]

_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


@dataclass(frozen=True)
class Layout:
    """A type's arithmetic.

    Args:
        block: Values of a block.
        group: Values that share a scale.
        values: What codes stand for, from 0; rising.
        scaled: Groups have scales of their own, times d.
        low: "" (none), "m", or "mins": times m, subtracted.
    """

    block: int
    group: int
    values: tuple[int, ...]
    scaled: bool = False
    low: str = ""

    def scales(self, parts: Parts) -> tuple[Array, Array]:
        """Scale and low of every group: [blocks, block / group] each."""
        d, m, scales, mins, _ = parts
        count = self.block // self.group
        ones = np.ones((1, count), np.float32)
        scale = d[:, None] * (scales[:, :count].astype(np.float32) if self.scaled else ones)
        if self.low == "mins":
            low = -m[:, None] * mins[:, :count].astype(np.float32)
        else:
            low = m[:, None] * ones if self.low == "m" else np.zeros_like(scale)
        return scale, low

    def codes(self, x: Array, scale: Array, low: Array) -> Codes:
        """The nearest codes at a scale; where that is 0, the code nearest to 0."""
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=np.abs(scale) > 1e-30)
        wanted = (x - low) * inverse
        first, last = self.values[0], self.values[-1]
        if last - first == len(self.values) - 1:
            codes = np.rint(np.clip(wanted, first, last)) - first
        else:
            middles = (np.array(self.values[1:]) + np.array(self.values[:-1])) / 2
            codes = np.searchsorted(middles.astype(np.float32), wanted)
        found: Codes = codes.astype(np.uint8)
        return found

    def decode(self, codes: Codes, scale: Array, low: Array) -> Array:
        """What codes stand for."""
        values: Array = np.array(self.values, np.float32)[codes] * scale + low
        return values


def _integers(low: int, high: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1))


LAYOUTS = {
    "Q4_0": Layout(32, 32, _integers(-8, 7)),
    "Q5_0": Layout(32, 32, _integers(-16, 15)),
    "Q8_0": Layout(32, 32, _integers(-128, 127)),
    "Q4_1": Layout(32, 32, _integers(0, 15), low="m"),
    "Q5_1": Layout(32, 32, _integers(0, 31), low="m"),
    "Q2_K": Layout(256, 16, _integers(0, 3), scaled=True, low="mins"),
    "Q3_K": Layout(256, 16, _integers(-4, 3), scaled=True),
    "Q4_K": Layout(256, 32, _integers(0, 15), scaled=True, low="mins"),
    "Q5_K": Layout(256, 32, _integers(0, 31), scaled=True, low="mins"),
    "Q6_K": Layout(256, 16, _integers(-32, 31), scaled=True),
    "IQ4_NL": Layout(32, 32, _IQ4),
    "IQ4_XS": Layout(256, 32, _IQ4, scaled=True),
}


def fit(kind: str, x: Array, weights: Array | None, threads: int) -> Parts:
    """The parts of the blocks of x [rows, columns]: of row 0, then of row 1."""
    return _core.fit(kind, x, weights, threads)


def pack(kind: str, parts: Parts) -> NDArray[np.uint8]:
    """The bytes of blocks."""
    return _core.pack(kind, *parts)
