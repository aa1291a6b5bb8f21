# SPDX-License-Identifier: MIT
"""One row per format: how far encode and decode may be from the values, and who wrote the oracle.

`error` is the relative RMS error on normally distributed values; the lower bound makes an
unexpected improvement fail too, so that somebody looks at it. `exact_encoder` says whether the
gguf package has an encoder for the format, which ours equals bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Bounds of the relative RMS error, and offsets of the f16 fields of a block."""

    error: tuple[float, float] | None  # None: the format is read only
    scales: tuple[int, ...] = ()
    exact_encoder: bool = False


BUDGETS: dict[str, Budget] = {
    "F32": Budget((0.0, 0.0), exact_encoder=True),
    "F16": Budget((1e-4, 3e-4), exact_encoder=True),
    "BF16": Budget((1e-3, 2.5e-3), exact_encoder=True),
    "Q8_0": Budget((4e-3, 7e-3), scales=(0,), exact_encoder=True),
    "Q4_0": Budget((0.07, 0.10), scales=(0,), exact_encoder=True),
    "Q5_0": Budget((0.03, 0.05), scales=(0,), exact_encoder=True),
    "Q4_1": Budget((0.07, 0.09), scales=(0, 2), exact_encoder=True),
    "Q5_1": Budget((0.03, 0.05), scales=(0, 2), exact_encoder=True),
    "MXFP4": Budget((0.10, 0.13), exact_encoder=True),
    "IQ4_NL": Budget((0.07, 0.085), scales=(0,)),
    "IQ4_XS": Budget((0.07, 0.085), scales=(0,)),
    "Q2_K": Budget((0.28, 0.35), scales=(80, 82)),
    "Q3_K": Budget((0.14, 0.17), scales=(108,)),
    "Q4_K": Budget((0.05, 0.10), scales=(0, 2)),
    "Q5_K": Budget((0.02, 0.05), scales=(0, 2)),
    "Q6_K": Budget((0.01, 0.03), scales=(208,)),
    "IQ1_S": Budget(None, scales=(0,)),
    "IQ1_M": Budget(None),
    "IQ2_XXS": Budget(None, scales=(0,)),
    "IQ2_XS": Budget(None, scales=(0,)),
    "IQ2_S": Budget(None, scales=(0,)),
    "IQ3_XXS": Budget(None, scales=(0,)),
    "IQ3_S": Budget(None, scales=(0,)),
    "TQ1_0": Budget((0.5, 1.2), scales=(52,), exact_encoder=True),
    "TQ2_0": Budget((0.5, 1.2), scales=(64,), exact_encoder=True),
    "NVFP4": Budget((0.05, 0.2)),
    "Q1_0": Budget((0.4, 0.8), scales=(0,)),
    "Q2_0": Budget((0.4, 1.2), scales=(0,)),
}
