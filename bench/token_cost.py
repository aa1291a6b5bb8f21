# SPDX-License-Identifier: MIT
"""What a generated token costs besides the forward pass, in microseconds, part by part.

    python bench/token_cost.py

makes a model of one small layer and 128,256 tokens (or takes --model), generates, and times the
calls into the core from outside. What is left of the wall time is Python: sampling filters, the
text decoder, the generator. The budget is 160 us, 1 % of a token of 16 ms. The logits of random
weights are flat, so "no top-k" has to sort tens of thousands of candidates, the worst there is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gristmill
from gristmill.generate import Generation
from gristmill.model import Model
from gristmill.sampling import SamplingParams
from make_model import random_model
from shapes import Shape

# The body is next to nothing; the output matrix still streams 36 MB through the caches, as the
# last layers of a real model do.
SHAPE = Shape(
    dim=256, ffn=256, layers=1, heads=4, kv_heads=4, vocab=128256, context=4096,
    tokenizer="llama-bpe",
)  # fmt: skip
BUDGET_US = 160.0
SAMPLERS = {
    "default": SamplingParams(seed=1),
    "greedy": SamplingParams(temperature=0.0),
    "penalties": SamplingParams(seed=1, repeat_penalty=1.1),
    "DRY": SamplingParams(seed=1, dry_multiplier=0.8),
    "no top-k": SamplingParams(seed=1, top_k=0),
}


class Clock:
    """Stands in for an object and adds up the time inside some of its methods, per token."""

    def __init__(self, target: object, methods: Sequence[str]) -> None:
        self._target = target
        self.nanoseconds: dict[str, int] = defaultdict(int)
        for name in methods:
            setattr(self, name, self._timed(name, getattr(target, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        spent, now = self.nanoseconds, time.perf_counter_ns

        def call(*arguments: Any) -> Any:
            began = now()
            try:
                return method(*arguments)
            finally:
                spent[name] += now() - began

        return call


def generation_costs(model: Model, sampling: SamplingParams, tokens: int) -> dict[str, float]:
    """Medians over the tokens of one text [us]: forward, candidates, python, cost.

    `cost` is everything but the forward pass; `python` is what no call into the core explains.
    """
    session = model.session(context=tokens + 16)
    clock = Clock(session._core, ["forward", "candidates", "edited_candidates"])
    session._core = clock  # type: ignore[assignment]
    generation: Generation = session.generate(
        "The cost of a token", max_tokens=tokens, sampling=sampling, ignore_eos=True
    )
    rows: dict[str, list[float]] = defaultdict(list)
    next(generation)  # the prompt
    while True:
        clock.nanoseconds.clear()
        began = time.perf_counter_ns()
        if next(generation, None) is None:
            break
        total = time.perf_counter_ns() - began
        spent = clock.nanoseconds
        inside = {
            "forward": spent["forward"],
            "candidates": spent["candidates"] + spent["edited_candidates"],
        }
        for name, value in inside.items():
            rows[name].append(value / 1e3)
        rows["python"].append((total - sum(inside.values())) / 1e3)
        rows["cost"].append((total - inside["forward"]) / 1e3)
    return {name: statistics.median(values) for name, values in rows.items()}


def measure(model: Model, tokens: int, rounds: int) -> dict[str, dict[str, float]]:
    """Sampler -> part -> median over the rounds [us]."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, sampling in SAMPLERS.items():
            found[name].append(generation_costs(model, sampling, tokens))
    return {
        name: {part: statistics.median(row[part] for row in rows) for part in rows[0]}
        for name, rows in found.items()
    }


def table(costs: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    lines = [
        "| sampler | candidates, us | Python, us | cost, us | of 16 ms |",
        "|---|---|---|---|---|",
    ]
    for name, part in costs.items():
        lines.append(
            f"| {name} | {part['candidates']:.0f} | {part['python']:.0f} | "
            f"{part['cost']:.0f} | {part['cost'] / 160:.2f} % |"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--model", type=Path, help="GGUF file instead of the small random one")
    parser.add_argument("--tokens", type=int, default=200, help="tokens of each text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="[gristmill's choice]")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        path = options.model
        if path is None:
            path = Path(folder) / "token-cost.gguf"
            random_model(path, SHAPE, "Q8_0", name="token cost")
        model = Model.load(path, threads=options.threads)
        costs = measure(model, options.tokens, options.rounds)
    if options.json:
        facts = {"version": gristmill.__version__, "vocab_size": model.vocab_size}
        print(json.dumps({**facts, "microseconds": costs}, indent=1))
    else:
        print(f"{model.vocab_size} tokens, {model.isa}, {model.threads} threads; medians")
        print(table(costs))
        cost = costs["default"]["cost"]
        print(f"budget {BUDGET_US:.0f} us (1 % of 16 ms): the default takes {cost / BUDGET_US:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
