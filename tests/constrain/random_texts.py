# SPDX-License-Identifier: MIT
"""Texts that a constraint allows, chosen at random: a model that knows nothing."""

from __future__ import annotations

import numpy as np

from gristmill.constrain import Constraint, Matcher, Vocabulary


def random_text(
    vocabulary: Vocabulary, constraint: Constraint, seed: int, limit: int = 120
) -> str | None:
    """Random tokens at first, then those that close what is open; None if that took too long."""
    random, matcher, out = np.random.default_rng(seed), Matcher(constraint, vocabulary), b""
    for step in range(limit):
        mask = matcher.mask()
        if mask is None:
            return out.decode("utf-8")
        ids = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
        ends = np.isin(ids, list(vocabulary.ends))
        if ends.any() and (step > 15 or random.random() < 0.4):
            return out.decode("utf-8")
        ids = ids[~ends]
        texts = [vocabulary.tokenizer.decode_bytes([int(token)]) for token in ids]
        if step < 12:
            index = int(random.integers(len(ids)))
        else:
            index = int(np.argmax([_closes(text) + random.random() * 2 for text in texts]))
        matcher.accept(int(ids[index]))
        out += texts[index]
    return None


def _closes(text: bytes) -> float:
    return 10.0 * sum(c in b'"}]' for c in text) + (text[:1] in b'0123456789truefalsn,:{["')
