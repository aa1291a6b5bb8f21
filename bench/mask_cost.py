# SPDX-License-Identifier: MIT
"""What a constraint adds to a token with a vocabulary of 128,256, in microseconds.

    python bench/mask_cost.py

generates texts of random tokens under each constraint (a model that knows nothing asks for harder
masks than one that writes JSON) and times the mask, the choice under it and the step of the
grammar. The budget is 800 us, 5 % of a token of 16 ms; vocabulary and logits are random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gristmill.constrain import Constraint, Matcher
from gristmill.generate import Generation
from gristmill.model import Model
from gristmill.sampling import SamplingParams
from make_model import random_model
from token_cost import SHAPE, Clock

BUDGET_US = 800.0
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "format": "email"},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 5},
    },
    "required": ["name", "age", "email", "born"],
    "additionalProperties": False,
}
JSON_GBNF = r"""
root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
CONSTRAINTS: dict[str, dict[str, Any]] = {
    "schema of a person": {"json_schema": json.dumps(PERSON)},
    "any JSON (schema {})": {"json_schema": "{}"},
    "regex of a date": {"regex": "[0-9]{4}-[01][0-9]-[0-3][0-9]( [a-z]+)*"},
    "json.gbnf": {"grammar": JSON_GBNF},
}


def costs(model: Model, options: dict[str, Any], texts: int, tokens: int) -> dict[str, list[float]]:
    """Part -> microseconds of each token."""
    found: dict[str, list[float]] = {"mask": [], "accept": [], "all besides forward": []}
    session = model.session(context=tokens + 16)
    core = Clock(session._core, ["forward"])
    session._core = core  # type: ignore[assignment]
    for seed in range(texts):
        sampling = SamplingParams(seed=seed, temperature=1)
        generation: Generation = session.generate(
            "The cost", max_tokens=tokens, sampling=sampling, **options
        )
        clock = Clock(generation._matcher, ["mask", "accept"])
        generation._matcher = clock  # type: ignore[assignment]
        while True:
            clock.nanoseconds.clear()
            core.nanoseconds.clear()
            began = time.perf_counter_ns()
            if next(generation, None) is None:
                break
            total = time.perf_counter_ns() - began
            if len(generation.tokens) > 1:  # the first pays for the prompt
                found["mask"].append(clock.nanoseconds["mask"] / 1e3)
                found["accept"].append(clock.nanoseconds["accept"] / 1e3)
                found["all besides forward"].append((total - core.nanoseconds["forward"]) / 1e3)
    return found


def quantile(values: list[float], share: float) -> float:
    """The value below which a share of the others lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main(words: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--model", type=Path, help="GGUF file instead of the small random one")
    parser.add_argument("--tokens", type=int, default=100, help="tokens of each text")
    parser.add_argument("--texts", type=int, default=5)
    parser.add_argument("--threads", type=int, help="[gristmill's choice]")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        path = options.model
        if path is None:
            path = Path(folder) / "mask-cost.gguf"
            random_model(path, SHAPE, "Q8_0", name="mask cost")
        model = Model.load(path, threads=options.threads)
        began = time.perf_counter()
        vocabulary = model.constrainer
        ready = time.perf_counter() - began
        print(f"{model.vocab_size} tokens, {model.isa}; vocabulary made in {ready:.2f} s")
        print("| constraint | started in, ms | mask median, us | mean | 95 % | accept | all |")
        print("|---|---|---|---|---|---|---|")
        for name, given in CONSTRAINTS.items():
            began = time.perf_counter()
            constraint = Constraint.of(**given)
            assert constraint is not None
            Matcher(constraint, vocabulary).mask()
            start = (time.perf_counter() - began) * 1e3
            part = costs(model, given, options.texts, options.tokens)
            mask = part["mask"]
            print(
                f"| {name} | {start:.0f} | {statistics.median(mask):.0f} | "
                f"{statistics.fmean(mask):.0f} | {quantile(mask, 0.95):.0f} | "
                f"{statistics.median(part['accept']):.0f} | "
                f"{statistics.median(part['all besides forward']):.0f} |"
            )
    print(f"budget of a mask: {BUDGET_US:.0f} us (5 % of 16 ms)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
