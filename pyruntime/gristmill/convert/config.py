# SPDX-License-Identifier: MIT
"""config.json as one flat table of typed values.

Multimodal models keep the language model's part in `text_config`; it wins over what stands beside
it. RoPE parameters moved between versions of transformers (rope_theta and rope_scaling, then
rope_parameters, for some models one set per layer type): `rope` gives the newer form for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gristmill.errors import FormatError

from .files import load_json

MAX_LAYERS = 1 << 14
MAX_HEAD_DIM = 1 << 16
MOST = 3e38  # the keys of a file are F32
_TEXT_PARTS = ("text_config", "llm_config", "language_config")


class Config:
    """The keys of a model's config.json.

    Args:
        values: The parsed object.
        where: What messages call it.
    """

    def __init__(self, values: dict[str, Any], where: str = "config.json") -> None:
        self.where = where
        classes = values.get("architectures")
        self.architectures: tuple[str, ...] = tuple(
            name for name in (classes if isinstance(classes, list) else ()) if isinstance(name, str)
        )
        for part in _TEXT_PARTS:
            if isinstance(values.get(part), dict):
                values = values | values[part]
        self.values = values

    @classmethod
    def load(cls, folder: Path) -> Config:
        """Reads config.json of a folder."""
        path = folder / "config.json"
        return cls(load_json(path), str(path))

    def with_defaults(self, defaults: Mapping[str, Any]) -> Config:
        """The same with `defaults` for keys that are missing."""
        return Config({**defaults, **self.values}, self.where)

    def raw(self, *names: str) -> Any:
        """The first of these keys that is there and not null; None otherwise."""
        return next((v for name in names if (v := self.values.get(name)) is not None), None)

    def count(self, *names: str, default: int | None = None) -> int:
        """A whole number from 0.

        Raises:
            FormatError: It is missing without a default, or not one.
        """
        value = self.raw(*names)
        if value is None:
            return int(self._default(names, default))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(names, "a whole number", value)
        if not 0 <= value < 1 << 32 or value != int(value):
            raise self._wrong(names, "a whole number", value)
        return int(value)

    def real(self, *names: str, default: float | None = None) -> float:
        """A finite number.

        Raises:
            FormatError: It is missing without a default, or not one.
        """
        value = self.raw(*names)
        return self.number(names[0], self._default(names, default) if value is None else value)

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong((name,), "true or false", value)
        return value

    def number(self, name: str, value: Any) -> float:
        """`value` as a finite number, named in the error otherwise."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong((name,), "a number", value)
        if not -MOST <= value <= MOST:  # false for NaN, too
            raise self._wrong((name,), "a number that F32 holds", value)
        return float(value)

    @property
    def layers(self) -> int:
        """Layers; each takes memory before its tensors are looked for."""
        count = self.count("num_hidden_layers", "n_layer")
        return self._at_most(MAX_LAYERS, "num_hidden_layers", count)

    @property
    def head_dim(self) -> int:
        """Values of a head: stated, or the width over the heads."""
        heads = self.count("num_attention_heads", "n_head")
        if heads == 0:
            raise self._wrong(("num_attention_heads",), "at least 1", heads)
        stated = self.count("head_dim", default=self.count("hidden_size", "n_embd") // heads)
        return self._at_most(MAX_HEAD_DIM, "head_dim", stated)

    @property
    def kv_heads(self) -> int:
        """Key-value heads; those of the queries where nothing is said."""
        return self.count("num_key_value_heads", default=self.count("num_attention_heads"))

    def layer_types(self) -> tuple[str, ...]:
        """ "full_attention" or "sliding_attention" per layer; empty where nothing is said."""
        types = self.raw("layer_types")
        if types is None:
            return ()
        if not isinstance(types, list) or len(types) < self.layers:
            raise self._wrong(("layer_types",), f"a list of {self.layers} names", types)
        return tuple(map(str, types[: self.layers]))

    def rope(self, layer_type: str = "full_attention") -> dict[str, Any]:
        """The RoPE parameters of layers of a type: rope_theta, rope_type and its factors."""
        found = self.raw("rope_parameters", "rope_scaling")
        if found is not None and not isinstance(found, dict):
            raise self._wrong(("rope_parameters",), "an object", found)
        found = dict(found or {})
        if isinstance(found.get(layer_type), dict):
            found = dict(found[layer_type])
        elif layer_type != "full_attention":  # the older form has one more base, and no scaling
            found = {"rope_theta": self.raw("rope_local_base_freq")}
        old = {"rope_theta": self.raw("rope_theta"), "rope_type": found.get("type")}
        for key in ("partial_rotary_factor", "original_max_position_embeddings"):
            old[key] = self.raw(key)
        old = {key: value for key, value in old.items() if value is not None}
        return old | {key: value for key, value in found.items() if value is not None}

    def _at_most(self, most: int, name: str, value: int) -> int:
        if value > most:
            raise self._wrong((name,), f"at most {most}", value)
        return value

    def _default(self, names: tuple[str, ...], default: Any) -> Any:
        if default is None:
            raise FormatError(f"[{self.where}] The key {names[0]!r} is missing.")
        return default

    def _wrong(self, names: tuple[str, ...], expected: str, value: Any) -> FormatError:
        return FormatError(
            f"[{self.where}] The key {names[0]!r} must be {expected}. Got {value!r:.60}."
        )
