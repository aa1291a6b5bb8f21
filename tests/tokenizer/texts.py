# SPDX-License-Identifier: MIT
"""Texts that tokenizers trip over, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

# One range per plane, and what is odd within the first: controls, marks, joiners, private use.
_PLANES = [st.characters(min_codepoint=p << 16, max_codepoint=(p << 16) + 0xFFFF,
                         blacklist_categories=["Cs"]) for p in range(17)]  # fmt: skip
_MARKS = st.characters(whitelist_categories=["Mn", "Mc", "Me"])
_SPACES = st.sampled_from(
    (" ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\x85")
)
_RUNS = st.builds(
    lambda text, count: text * count, st.sampled_from((" ", "\n", "\t", "a", "9", ".")),
    st.integers(2, 300),
)  # fmt: skip
_WORDS = st.sampled_from(
    ("the", "Alice", " was", "It's", "WE'LL", "caf\u00e9", "e\u0301", "1234567", "\u4e16\u754c",
     "\u0928\u092e\u0938\u094d\u0924\u0947", "\ufb01", "\uff37", "\u0130", "\u1e9e", "\u1e9f",
     "\U0001f1e9\U0001f1ea", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\ufeff", "\ufffd",
     "snake_case", "a->b")
)  # fmt: skip
LOOKALIKES = (
    "<|endoftext|>", "<|endoftext|", "|endoftext|>", "<|im_start|>", "<|im_start", "<|im_end|>",
    "<s>", "</s>", "<unk>", "<pad>", "<0x41>", "<0x4G>", "<mark>", "[CLS]", "[SEP", "[MASK]", "##a",
)  # fmt: skip


def texts(*, specials: bool = True, without: str = "") -> st.SearchStrategy[str]:
    """Mixtures of all planes, marks, white space, long runs, words and look-alikes of specials.

    Args:
        specials: With texts that look like special tokens, or are some.
        without: Characters that do not occur.
    """
    parts = [*_PLANES, _MARKS, _SPACES, _RUNS, _WORDS]
    if specials:
        parts.append(st.sampled_from(LOOKALIKES))
    joined = st.lists(st.one_of(parts), max_size=24).map("".join)
    return joined.map(lambda text: text.translate({ord(letter): None for letter in without}))
