# SPDX-License-Identifier: MIT
"""Quantized files from larger ones: types per tensor (recipe), searches in the core, one file."""

from __future__ import annotations

from .quantizer import Quantized, TensorReport, quantize

__all__ = ["Quantized", "TensorReport", "quantize"]
