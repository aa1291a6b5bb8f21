# SPDX-License-Identifier: MIT
"""The sampling options that a GGUF file recommends (general.sampling.*).

A value that is no such option is left out with a note: a bad recommendation must not keep a model
from loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .params import SamplingParams

PREFIX = "general.sampling."
_FIELDS: dict[str, tuple[str, type]] = {
    "temp": ("temperature", float),
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
    "min_p": ("min_p", float),
    "xtc_probability": ("xtc_probability", float),
    "xtc_threshold": ("xtc_threshold", float),
    "penalty_last_n": ("repeat_last_n", int),
    "penalty_repeat": ("repeat_penalty", float),
    "mirostat": ("mirostat", int),
    "mirostat_tau": ("mirostat_tau", float),
    "mirostat_eta": ("mirostat_eta", float),
}


def read_defaults(
    metadata: Mapping[str, Any],
) -> tuple[SamplingParams, dict[str, float], list[str]]:
    """The options to take where a caller names none.

    Returns:
        The options, those of them that the file sets (name to value), and notes on what of
        the file is not used.
    """
    params, taken, refused = SamplingParams(), dict[str, float](), []
    for key in metadata:
        if not key.startswith(PREFIX):
            continue
        name, kind = _FIELDS.get(key.removeprefix(PREFIX), ("", float))
        value = _number(metadata[key], kind)
        try:
            if not name or value is None:
                raise ValueError
            options: dict[str, Any] = {name: value}
            params = replace(params, **options)
        except ValueError:
            refused.append(f"{key} = {metadata[key]!r:.60}")
        else:
            taken[name] = value
    notes = [f"sampling options of the file are not used: {', '.join(refused)}"] if refused else []
    return params, taken, notes


def describe_defaults(taken: Mapping[str, float]) -> str:
    """Where the options come from that a caller does not name, for the load report."""
    if not taken:
        return "llama.cpp's defaults"
    values = ", ".join(f"{name} {value:g}" for name, value in taken.items())
    return f"the file's {values}; explicit options win"


def _number(value: object, kind: type) -> float | None:
    """A number as an option has it: the shortest decimal of an f32, or a whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    if kind is int:
        return int(value) if np.isfinite(value) and value == int(value) else None
    return float(str(np.float32(value)))
