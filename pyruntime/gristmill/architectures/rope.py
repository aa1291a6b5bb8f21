# SPDX-License-Identifier: MIT
"""Rotary embeddings from metadata: linear scaling, YaRN, LongRoPE.

What depends on the file alone is worked out here, and plan.Rope carries it to the core. Numbers
that come from libm are rounded so far (whole pairs, f32) that its last bit cannot matter: tables
are the same bits everywhere.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.plan import Rope
from gristmill.errors import UnsupportedError

MAX_BASE = 1e15
MAX_FACTOR = 1e6
_KINDS = ("none", "linear", "yarn", "longrope")


def read_rope(keys: Hyperparameters, n_rot: int, trained: int, *, whole_pairs: bool = True) -> Rope:
    """The rotary embedding that rope.* describes, without the factors that are tensors.

    Args:
        keys: The file's metadata.
        n_rot: Rotated values of a head.
        trained: Positions the model was trained for.
        whole_pairs: Whether YaRN's borders between fast and slow are rounded to pairs.

    Raises:
        UnsupportedError: Another kind of scaling.
    """
    kind = keys.text("rope.scaling.type", "linear")
    if kind not in _KINDS:
        raise UnsupportedError(
            f"[metadata] Rope scaling must be one of: {', '.join(_KINDS)}. "
            f"Got {kind!r}, not supported yet."
        )
    plain = Rope(
        freq_base=keys.real("rope.freq_base", 10000.0, above=1.0, most=MAX_BASE),
        n_rot=n_rot,
        magnitude=keys.real("rope.scaling.attn_factor", 1.0, above=0.0, most=1024.0),
        long_from=keys.count("rope.scaling.original_context_length", trained, most=1 << 31),
    )
    old = keys.real("rope.scale_linear", 1.0, above=0.0, most=MAX_FACTOR)
    factor = keys.real("rope.scaling.factor", old, above=0.0, most=MAX_FACTOR)
    if kind == "linear":
        return replace(plain, scale=1.0 / factor)
    return _yarn(keys, plain, factor, whole_pairs) if kind == "yarn" else plain


def _yarn(keys: Hyperparameters, plain: Rope, factor: float, whole_pairs: bool) -> Rope:
    """YaRN: fast pairs turn as they did, slow ones as with linear scaling, others in between.

    The magnitude grows with the factor unless the file states it, or takes it back for all
    dimensions (yarn_log_multiplier).
    """
    fast = keys.real("rope.scaling.yarn_beta_fast", 32.0, above=0.0, most=1e6)
    slow = keys.real("rope.scaling.yarn_beta_slow", 1.0, above=0.0, most=1e6)
    extrapolated = keys.real("rope.scaling.yarn_ext_factor", 1.0, above=-1.0, most=1.0)
    back = keys.real("rope.scaling.yarn_log_multiplier", 0.0, above=-1.0, most=1024.0)
    usual = _growth(factor, 1.0) / _growth(factor, back)
    stated = keys.real("rope.scaling.yarn_attn_factor", usual, above=0.0, most=1024.0)
    length = plain.n_rot / (2 * math.log(plain.freq_base))

    def pair(turns: float) -> float:
        """The pair that turns so often within the trained context."""
        return length * math.log(max(plain.long_from, 1) / (turns * 2 * math.pi))

    first, last = pair(fast), pair(slow)
    if whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    low = max(float(np.float32(first)), 0.0)
    high = min(float(np.float32(last)), plain.n_rot - 1.0)
    slope = 1.0 / max(high - low, 0.001)
    slowness = (min(max((i - low) * slope, 0.0), 1.0) for i in range(plain.n_rot // 2))
    kept = [(1.0 - share) * extrapolated for share in slowness]
    return replace(
        plain,
        scales=tuple(share + (1.0 - share) / factor for share in kept),
        magnitude=float(np.float32(stated * plain.magnitude)),
    )


def _growth(factor: float, multiplier: float) -> float:
    return 1.0 if factor <= 1.0 else 0.1 * multiplier * math.log(factor) + 1.0
