# SPDX-License-Identifier: MIT
"""Typed reading of metadata keys: what is missing or absurd is collected and reported at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from gristmill.errors import FormatError, UnsupportedError

T = TypeVar("T")


class Hyperparameters:
    """The keys "<architecture>.*" of a file.

    Reading never fails for a missing or absurd key: it returns a harmless number, and `finish`
    raises with all problems. So an architecture reads everything, then finishes, then computes.
    """

    def __init__(self, metadata: Mapping[str, Any], architecture: str) -> None:
        self._metadata = metadata
        self._prefix = architecture
        self._missing: list[str] = []
        self._bad: list[str] = []

    def count(
        self,
        key: str,
        default: int | None = None,
        *,
        least: int = 1,
        most: int,
        gaps: bool = False,
    ) -> int:
        """A whole number in [least, most]; a list of equal numbers (one per layer) counts too.

        With `gaps` it may have zeros, for layers that are of another kind.

        Raises:
            UnsupportedError: A list of different numbers.
        """
        value = self._scalar(key, gaps)
        if value is None:
            return self._default(key, default, least)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            return self._wrong(key, value, "a whole number", least)
        if not least <= value <= most:
            return self._wrong(key, value, f"{least} to {most}", least)
        return int(value)

    def real(self, key: str, default: float | None = None, *, above: float, most: float) -> float:
        """A finite number in (above, most]."""
        value = self._scalar(key)
        if value is None:
            return self._default(key, default, most)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            return self._wrong(key, value, "a number", most)
        number = float(value)
        if not (math.isfinite(number) and above < number <= most):
            return self._wrong(key, value, f"above {above:g} and at most {most:g}", most)
        return number

    def text(self, key: str, default: str) -> str:
        """A string."""
        value = self._scalar(key)
        if value is None:
            return default
        return value if isinstance(value, str) else self._wrong(key, value, "a string", default)

    def flag(self, key: str, default: bool) -> bool:
        """Yes or no."""
        value = self._scalar(key)
        return default if value is None else bool(value)

    def pattern(self, key: str, layers: int, period: int) -> tuple[bool, ...]:
        """Yes or no by layer: a list, or no for the last one of each `period` layers (0: for none).

        A whole number in the file is another period; `period` is what the name stands for.
        """
        value = self._metadata.get(self._name(key))
        if isinstance(value, np.ndarray | list | tuple):
            if len(value) == layers:
                return tuple(bool(item) for item in value)
            self._bad.append(f"{self._name(key)} has {len(value)} values for {layers} layers")
        elif value is not None:
            period = self.count(key, least=0, most=1 << 20)
        return tuple(period == 0 or (i + 1) % period != 0 for i in range(layers))

    def gaps(self, key: str, layers: int) -> tuple[bool, ...]:
        """By layer: whether a list has a zero there; never where there is one number for all."""
        value = self._metadata.get(self._name(key))
        if not isinstance(value, np.ndarray | list | tuple):
            return (False,) * layers
        if len(value) != layers:
            self._bad.append(f"{self._name(key)} has {len(value)} values for {layers} layers")
            return (False,) * layers
        return tuple(item == 0 for item in value)

    def given(self, key: str) -> bool:
        """Whether the file has the key."""
        return self._name(key) in self._metadata

    def refuse(self, problem: str) -> None:
        """Adds a problem that several keys make together."""
        self._bad.append(problem)

    def finish(self) -> None:
        """Raises FormatError with everything that is missing or absurd."""
        problems = [f"missing: {', '.join(self._missing)}"] if self._missing else []
        problems += self._bad
        if problems:
            raise FormatError(
                f"[metadata] The keys of architecture {self._prefix!r} must be there and make "
                f"sense. Got {'; '.join(problems)}."
            )

    def _name(self, key: str) -> str:
        return f"{self._prefix}.{key}"

    def _scalar(self, key: str, gaps: bool = False) -> Any:
        value = self._metadata.get(self._name(key))
        if isinstance(value, np.ndarray | list | tuple):
            items = [item for item in value if not (gaps and np.ndim(item) == 0 and item == 0)]
            if not items:
                return None
            if isinstance(items[0], np.ndarray | list):
                return self._wrong(key, value, "no array of arrays", None)
            if any(item != items[0] for item in items):
                raise UnsupportedError(
                    f"[metadata] {self._name(key)} must be the same for all layers. "
                    f"Got {len(items)} values that differ."
                )
            return items[0]
        return value

    def _default(self, key: str, default: T | None, harmless: T) -> T:
        if default is not None:
            return default
        self._missing.append(self._name(key))
        return harmless

    def _wrong(self, key: str, value: object, expected: str, harmless: T) -> T:
        self._bad.append(f"{self._name(key)} = {str(value)[:60]!r}, expected {expected}")
        return harmless
