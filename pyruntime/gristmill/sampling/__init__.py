# SPDX-License-Identifier: MIT
"""Sampling: options, filters over the best candidates, and the sampler that composes them."""

from __future__ import annotations

from .params import SamplingParams
from .sampler import Choice, Mask, Row, Sampler, make_sampler

__all__ = ["Choice", "Mask", "Row", "Sampler", "SamplingParams", "make_sampler"]
