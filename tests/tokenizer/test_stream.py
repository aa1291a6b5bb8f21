# SPDX-License-Identifier: MIT
"""Streamed text is decoded text, whatever the ids, and never a broken character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import TokenizerError
from gristmill.tokenizer import StreamDecoder, Tokenizer

IDS = st.lists(st.integers(0, 511), max_size=40)


@pytest.mark.parametrize("skip_special", [False, True])
@pytest.mark.parametrize("name", ["spm", "bpe"])
@given(ids=IDS)
def test_any_ids(
    request: pytest.FixtureRequest, name: str, skip_special: bool, ids: list[int]
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(name)
    decoder = StreamDecoder(tokenizer, skip_special)
    streamed = "".join(map(decoder.feed, ids)) + decoder.flush()
    assert streamed == tokenizer.decode(ids, skip_special)


@given(prompt=IDS, ids=IDS)
def test_a_continuation(spm: Tokenizer, prompt: list[int], ids: list[int]) -> None:
    """With the ids before it, a stream gives the bytes that the whole adds to them."""
    decoder = StreamDecoder(spm, previous=prompt)
    streamed = "".join(map(decoder.feed, ids)) + decoder.flush()
    steps, fresh = [], True
    for token in prompt + ids:
        part, fresh = spm.step(token, fresh)
        steps.append(part)
    assert streamed == b"".join(steps[len(prompt) :]).decode("utf-8", "replace")


def test_characters_come_whole(bpe: Tokenizer) -> None:
    ids = bpe.encode("\U0001f600!")
    assert len(ids) == 5  # four bytes, one mark
    decoder = StreamDecoder(bpe)
    assert [decoder.feed(token) for token in ids] == ["", "", "", "\U0001f600", "!"]
    assert decoder.flush() == ""


def test_what_never_completes_is_replaced(bpe: Tokenizer) -> None:
    first, second = bpe.encode("\U0001f600")[:2]
    decoder = StreamDecoder(bpe)
    assert decoder.feed(first) + decoder.feed(second) == ""
    assert decoder.flush() == "\ufffd"
    again = StreamDecoder(bpe)
    assert again.feed(first) + again.feed(bpe.encode("a")[0]) == "\ufffda"


def test_the_space_prefix_depends_on_what_came_before(spm: Tokenizer) -> None:
    (was,) = spm.encode("was", add_special=False)[:1]
    assert spm.token_bytes(was).startswith(b" ")
    assert StreamDecoder(spm).feed(was) == spm.decode([was])
    assert not StreamDecoder(spm).feed(was).startswith(" ")
    after_text = StreamDecoder(spm, previous=spm.encode("Alice"))
    assert after_text.feed(was).startswith(" ")
    after_marker = StreamDecoder(spm, previous=spm.encode("Alice<|im_start|>"))
    assert not after_marker.feed(was).startswith(" ")


def test_ids_out_of_range(bpe: Tokenizer) -> None:
    with pytest.raises(TokenizerError):
        StreamDecoder(bpe).feed(512)
