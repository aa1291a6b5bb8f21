# SPDX-License-Identifier: MIT
"""rope.* of a file: what plan.Rope says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.plan import Rope
from gristmill.architectures.rope import read_rope
from gristmill.errors import FormatError, UnsupportedError

YARN = {"type": "yarn", "factor": 4.0, "original_context_length": 64}


def read(n_rot: int = 16, trained: int = 256, **scaling: Any) -> Rope:
    keys = {f"x.rope.scaling.{key}": value for key, value in scaling.items()}
    hyperparameters = Hyperparameters(keys, "x")
    rope = read_rope(hyperparameters, n_rot, trained)
    hyperparameters.finish()
    return rope


def test_no_scaling() -> None:
    assert read() == read(type="none", factor=8.0) == Rope(10000.0, 16, long_from=256)


def test_linear_scaling() -> None:
    assert read(type="linear", factor=4.0) == Rope(10000.0, 16, scale=0.25, long_from=256)
    assert read(factor=4.0).scale == 0.25


def test_longrope_keeps_its_lengths() -> None:
    rope = read(type="longrope", original_context_length=48, attn_factor=1.2)
    assert (rope.long_from, rope.magnitude, rope.scale) == (48, 1.2, 1.0)


def test_yarn_leaves_fast_pairs_and_divides_slow_ones() -> None:
    rope = read(**YARN)
    assert len(rope.scales) == 8
    assert rope.scales[0] == 1.0
    assert rope.scales[-1] == 0.25
    assert list(rope.scales) == sorted(rope.scales, reverse=True)
    assert rope.magnitude == np.float32(0.1 * math.log(4) + 1)
    assert read(**YARN, yarn_ext_factor=0.0).scales == (0.25,) * 8


def test_the_magnitude_of_yarn() -> None:
    assert read(**YARN, yarn_log_multiplier=1.0).magnitude == 1.0
    assert read(**YARN, yarn_attn_factor=1.5).magnitude == 1.5
    assert read(**YARN, yarn_attn_factor=1.5, attn_factor=2.0).magnitude == 3.0
    assert read(**{**YARN, "factor": 0.5}).magnitude == 1.0


def test_what_makes_no_sense() -> None:
    with pytest.raises(UnsupportedError, match="'dynamic'"):
        read(type="dynamic")
    with pytest.raises(FormatError, match=r"x.rope.scaling.factor = '-1"):
        read(type="yarn", factor=-1.0)
    with pytest.raises(FormatError, match="yarn_beta_fast"):
        read(**YARN, yarn_beta_fast=0.0)
