# SPDX-License-Identifier: MIT
"""Stop strings: exact for every way of cutting a text into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.generate import GenerationOptions
from gristmill.stop_strings import StopMatcher


def reference(text: str, stops: list[str]) -> tuple[str, bool]:
    """Reads letter by letter until the text so far ends with a stop string."""
    for end in range(1, len(text) + 1):
        ended = [stop for stop in stops if text[:end].endswith(stop)]
        if ended:
            return text[: end - max(map(len, ended))], True
    return text, False


texts = st.text(alphabet="ab\u00e9", max_size=40)


@settings(max_examples=1000, deadline=None)
@given(texts, st.lists(st.text(alphabet="ab\u00e9", min_size=1, max_size=5), max_size=3), st.data())
def test_pieces_do_not_matter(text: str, stops: list[str], data: st.DataObject) -> None:
    matcher, out, rest, stopped = StopMatcher(stops), "", text, False
    while rest and not stopped:
        size = data.draw(st.integers(0, len(rest)))
        piece, stopped = matcher.feed(rest[:size])
        rest = rest[size:]
        out += piece
        # Nothing that may still become part of a stop string is out, and nothing else is held.
        assert reference(text, stops)[0].startswith(out)
    if not stopped:
        out += matcher.flush()
    assert (out, stopped) == reference(text, stops)


def test_only_the_beginning_of_a_stop_string_is_held_back() -> None:
    matcher = StopMatcher(["</s>", "User:"])
    assert matcher.feed("Hello <") == ("Hello ", False)
    assert matcher.feed("b> Use") == ("<b> ", False)
    assert matcher.feed("d. User") == ("Used. ", False)
    assert matcher.feed(": hi") == ("", True)
    assert matcher.flush() == ""


@pytest.mark.parametrize("stop", ["", ["a", ""], [3]])
def test_stop_strings_must_be_text(stop: object) -> None:
    with pytest.raises(ValueError, match="Stop strings"):
        GenerationOptions.make(None, stop, None, False)  # type: ignore[arg-type]


def test_max_tokens_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        GenerationOptions.make(-1, (), None, False)
