# SPDX-License-Identifier: MIT
"""Stop strings in a text that comes in pieces: what may still become one is held back."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Finds the stop string that completes first, however the text is cut into pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Returns the text that is certain now, and whether a stop string was met."""
        if not self._stops:
            return text, False
        held = self._held + text
        found = []
        for stop in self._stops:
            start = held.find(stop)
            if start >= 0:
                found.append((start + len(stop), start))
        if found:
            self._held = ""
            return held[: min(found)[1]], True
        keep = max(begun(held, stop) for stop in self._stops)
        cut = len(held) - keep
        self._held = held[cut:]
        return held[:cut], False

    def flush(self) -> str:
        """The text held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def begun(text: str, marker: str) -> int:
    """Length of the longest end of `text` that is a proper beginning of `marker`."""
    for size in range(min(len(text), len(marker) - 1), 0, -1):
        if marker.startswith(text[-size:]):
            return size
    return 0
