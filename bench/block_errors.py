# SPDX-License-Identifier: MIT
"""Squared error of our block searches by that of ggml's encoders, per type, in Markdown.

python bench/block_errors.py libggml-base.so
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ggml_quantize import Ggml
from gristmill import _core

Array = NDArray[np.float32]
TYPES = (
    "Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 "
    "TQ1_0 TQ2_0 Q1_0 Q2_0"
).split()
ROWS, COLUMNS = 256, 1024


def matrices() -> list[Array]:
    """Normal, Laplace, 2 % columns of 12 times the size, Student t with 3 degrees."""
    rng = np.random.default_rng(1)
    shape = (ROWS, COLUMNS)
    normal, laplace = rng.standard_normal(shape), rng.laplace(size=shape)
    outliers = rng.standard_normal(shape) * np.where(rng.random(COLUMNS) < 0.02, 12, 1)
    found = (normal, laplace, outliers, rng.standard_t(3, shape))
    return [(values * 0.02).astype(np.float32) for values in found]


def ratios(ggml: Ggml, kind: str, weights: Array | None) -> list[float]:
    """Our weighted squared error by ggml's, for each matrix."""
    out = []
    for values in matrices():
        scale = 1.0 if weights is None else weights.astype(np.float64)
        errors = [
            float((np.square(_core.decode(kind, made, values.shape) - values) * scale).sum())
            for made in (_core.quantize(kind, values, weights), ggml.encode(kind, values, weights))
        ]
        out.append(errors[0] / errors[1])
    return out


def main() -> None:
    """Command line."""
    ggml = Ggml(Path(sys.argv[1]))
    weights = np.random.default_rng(2).lognormal(0, 1.5, COLUMNS).astype(np.float32)
    print("| type | without | with |\n|---|---|---|")
    for kind in TYPES:
        cells = []
        for importance in (None, weights):
            found = ratios(ggml, kind, importance)
            cells.append(f"{min(found):.2f} to {max(found):.2f}")
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
