# SPDX-License-Identifier: MIT
"""RoPE: its keys and, where a model stretches single frequencies, the tensors of factors.

The types are those of transformers; what a GGUF file cannot say is refused, not dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import FormatError, UnsupportedError

from .config import Config

_YARN = {
    "extrapolation_factor": "yarn_ext_factor",
    "attention_factor": "yarn_attn_factor",
    "beta_fast": "yarn_beta_fast",
    "beta_slow": "yarn_beta_slow",
}
_BY_TENSORS = ("llama3", "longrope", "su")  # said by tensors of factors
_PLAIN = ("default", "none")


def rotated(config: Config, share: float = 1.0) -> int:
    """Values of a head that are rotated; `share` where config.json says nothing."""
    stated = config.rope().get("partial_rotary_factor", share)
    part = config.number("partial_rotary_factor", stated)
    if not 0 < part <= 1:
        raise FormatError(
            f"[{config.where}] partial_rotary_factor must be above 0 and at most 1. Got {part:g}."
        )
    return int(config.head_dim * part)


def rope_real(name: str) -> Callable[[Config], float | None]:
    """A reader of one number among the RoPE parameters."""

    def read(config: Config) -> float | None:
        value = config.rope().get(name)
        return None if value is None else config.number(name, value)

    return read


def rope(config: Config) -> dict[str, Any]:
    """rope.* of a model that rotates whole heads unless it says otherwise."""
    return rope_keys(config)


def half_rope(config: Config) -> dict[str, Any]:
    """The same, but half of each head is rotated unless the model says otherwise."""
    return rope_keys(config, share=0.5)


def rope_keys(config: Config, share: float = 1.0) -> dict[str, Any]:
    """rope.*: base, rotated values, linear and YaRN scaling.

    Raises:
        UnsupportedError: Another type of scaling.
    """
    found = config.rope()
    keys: dict[str, Any] = {
        "rope.dimension_count": rotated(config, share),
        "rope.freq_base": config.number("rope_theta", found.get("rope_theta", 10000.0)),
    }
    kind = str(found.get("rope_type", "default")).lower()
    if kind in _PLAIN or kind in _BY_TENSORS:
        return keys
    if kind not in ("linear", "yarn"):
        raise UnsupportedError(
            f"[{config.where}] The RoPE scaling must be linear, yarn, llama3 or longrope. "
            f"Got {kind!r:.40}."
        )
    keys["rope.scaling.type"] = kind
    keys["rope.scaling.factor"] = config.number("factor", _needed(config, found, "factor"))
    if kind == "yarn":
        trained = _needed(config, found, "original_max_position_embeddings")
        name = "original_max_position_embeddings"
        keys["rope.scaling.original_context_length"] = int(config.number(name, trained))
        for old, new in _YARN.items():
            if found.get(old) is not None:
                keys[f"rope.scaling.{new}"] = config.number(old, found[old])
    return keys


def _needed(config: Config, found: Mapping[str, Any], key: str) -> Any:
    if found.get(key) is None:
        raise FormatError(f"[{config.where}] The RoPE parameters lack {key!r}.")
    return found[key]


def llama3_factors(config: Config) -> dict[str, NDArray[np.float32]]:
    """rope_freqs: what Llama 3.1 divides each frequency by; nothing for other models.

    Frequencies whose wave is short against the trained context stay, long ones are divided by the
    factor, those between by a mixture.
    """
    found = config.rope()
    if str(found.get("rope_type", "")).lower() != "llama3":
        return {}
    factor, low, high, trained = (
        config.number(key, _needed(config, found, key))
        for key in (
            "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"
        )
    )  # fmt: skip
    base = config.number("rope_theta", found.get("rope_theta", 10000.0))
    if min(factor, trained, base) <= 0 or high == low:
        raise FormatError(f"[{config.where}] The factors of llama3 RoPE scaling make no sense.")
    count = rotated(config)
    pairs = np.arange(0, count, 2, dtype=np.float64) / count
    waves = 2 * math.pi * base**pairs
    smooth = (trained / waves - low) / (high - low)
    between = 1.0 / ((1.0 - smooth) / factor + smooth)
    factors = np.where(waves > trained / low, factor, between)
    factors = np.where(waves < trained / high, 1.0, factors)
    return {"rope_freqs.weight": factors.astype(np.float32)}


def long_keys(config: Config) -> dict[str, Any]:
    """The trained context and, with LongRoPE, the factor on attention."""
    found = config.rope()
    context = config.count("max_position_embeddings")
    stated = found.get("original_max_position_embeddings", context)
    trained = int(config.number("original_max_position_embeddings", stated))
    keys: dict[str, Any] = {"rope.scaling.original_context_length": trained}
    if not found.get("long_factor"):
        return keys
    factor = found.get("attention_factor")
    if factor is None:
        scale = context / max(trained, 1)
        grows = scale > 1.0 and trained > 1
        factor = math.sqrt(1 + math.log(scale) / math.log(trained)) if grows else 1.0
    keys["rope.scaling.attn_factor"] = config.number("attention_factor", factor)
    return keys


def long_factors(config: Config) -> dict[str, NDArray[np.float32]]:
    """rope_factors_long and _short of LongRoPE; nothing for other models."""
    found = config.rope()
    if not found.get("long_factor"):
        return {}
    tensors = {}
    for kind in ("long", "short"):
        values = _needed(config, found, f"{kind}_factor")
        if not isinstance(values, list) or len(values) * 2 != rotated(config):
            raise FormatError(
                f"[{config.where}] {kind}_factor must have a number per rotated pair, "
                f"{rotated(config) // 2} of them."
            )
        numbers = [config.number(f"{kind}_factor", value) for value in values]
        tensors[f"rope_factors_{kind}.weight"] = np.array(numbers, dtype=np.float32)
    return tensors
