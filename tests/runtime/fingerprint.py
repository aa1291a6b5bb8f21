# SPDX-License-Identifier: MIT
"""What this machine computes, as text: two kinds of CPU must print the same.

    python tests/runtime/fingerprint.py [FILE...]

For the bundled model and each FILE: a text with a seed, the SHA-256 of all logits of a prompt for
every kind of KV cache, at every kernel level of this CPU. Levels are compared here, so that what is
printed names none.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from gristmill import Model, SamplingParams, _core
from gristmill.kv import KV_TYPES

PROMPT = "Once upon a time there was a little fox"
TOKENS = 40  # tiles of every width, and the rows that are left over


def _lines(path: str | None, isa: str) -> list[str]:
    lines = []
    for kv in KV_TYPES:
        model = Model.load(path, isa=isa, threads=2, kv=kv, cache=False)
        assert model.report.isa == isa
        text = model.generate(PROMPT, sampling=SamplingParams(seed=1), max_tokens=12)
        lines.append(f"{kv} text {''.join(piece.text for piece in text)!r}")
        session = model.session(context=64, all_logits=True)
        tokens = np.random.default_rng(2).integers(0, model.vocab_size, TOKENS).tolist()
        sha = hashlib.sha256()
        for first, end in ((0, 1), (1, 3), (3, 6), (6, TOKENS)):
            session.append(tokens[first:end])
            sha.update(np.array(session.logits()).tobytes())
        lines.append(f"{kv} logits {sha.hexdigest()}")
    return lines


def main() -> None:
    """Prints the fingerprint of every model; complains where two levels differ."""
    levels = _core.available_isas()
    print("levels:", *levels, file=sys.stderr)
    for path in (None, *sys.argv[1:]):
        found = {isa: _lines(path, isa) for isa in levels}
        for isa, lines in found.items():
            if lines != found[levels[0]]:
                sys.exit(f"{path}: {isa} and {levels[0]} differ:\n{lines}\n{found[levels[0]]}")
        print("\n".join(found[levels[0]]))


if __name__ == "__main__":
    main()
