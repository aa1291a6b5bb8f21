# SPDX-License-Identifier: MIT
"""The plan's records of operations that keep a state, and of what comes with them; see plan.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class State:
    """Numbers (f32) that an operation keeps of a sequence, whatever its length."""

    values: int


@dataclass(frozen=True)
class ShortConv:
    """out = causal convolution of the channels of x (* gate) with its past; then SiLU or not."""

    op: ClassVar[str] = "short_conv"
    x: int
    gate: int | None
    out: int
    weight: int
    bias: int | None
    state: int
    silu: bool


@dataclass(frozen=True)
class DeltaRule:
    """out = what the heads' matrices recall, which decay and learn by the gated delta rule."""

    op: ClassVar[str] = "delta_rule"
    qkv: int
    alpha: int
    beta: int
    out: int
    rate: int
    shift: int
    state: int
    key_heads: int
    heads: int
    key_dim: int
    value_dim: int
    eps: float


@dataclass(frozen=True)
class SplitHeads:
    """first and second = the halves of each of x's heads."""

    op: ClassVar[str] = "split_heads"
    x: int
    first: int
    second: int
    heads: int
