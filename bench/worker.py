# SPDX-License-Identifier: MIT
"""What both sides of a comparison run, each in a process of its own.

An engine loads a model and evaluates tokens; everything that is timed is here, once, so neither
side can be measured differently. A job comes as JSON in the first argument, the result leaves as
the last line of the output. Nothing of gristmill is imported: this runs in the peer's Python too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

KvType = Literal["f16", "q8_0", "q4_0"]


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        model: GGUF file.
        threads: worker threads, for prefill and decode alike.
        prompt: tokens of the short prefill.
        decode: tokens decoded one by one, from an empty cache and at each depth.
        depth: tokens of the long prefill, after which decoding is timed again; 0: none.
        kv: type of the KV cache.
        settings: what the engine understands: {"repack": true, "flash": false}.
    """

    model: str
    threads: int
    prompt: int = 512
    decode: int = 64
    depth: int = 0
    kv: KvType = "f16"
    settings: dict[str, bool] = field(default_factory=dict)

    @property
    def context(self) -> int:
        """Positions that the measurements need."""
        return max(self.prompt, self.depth + self.decode)

    def to_json(self) -> str:
        """One line of JSON that from_json reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that to_json wrote. Raises TypeError or ValueError for anything else."""
        return cls(**json.loads(text))


class Engine(Protocol):
    """One side: a model and one sequence."""

    def load(self, job: Job) -> None:
        """Loads the model and makes an empty sequence of job.context positions."""

    def clear(self) -> None:
        """Empties the sequence."""

    def evaluate(self, tokens: Sequence[int]) -> None:
        """Appends tokens in batches of 512; returns when the last one's logits are there."""

    def vocab_size(self) -> int:
        """Number of tokens."""

    def facts(self) -> dict[str, Any]:
        """Versions, ISA level, buffers: what a reader of the figures wants to know."""


def peak_rss_bytes() -> int:
    """The most memory this process has had resident.

    From /proc where it exists: ru_maxrss of a child begins with what its parent had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def token_ids(count: int, vocab: int) -> list[int]:
    """The same spread-out tokens for both sides."""
    return [(7919 * i + 17) % vocab for i in range(count)]


def _seconds(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def measure(engine: Engine, job: Job) -> dict[str, Any]:
    """Metrics of one engine.

    Returns:
        "metrics": load_to_first_token_s, pp<prompt> and tg<decode> [tokens/s], pp<depth> and
        tg<decode>@<depth> where a depth is wanted, peak_rss_bytes, first_start_s (load to first
        token without what an earlier start left in a cache of the engine); "facts" of the engine.
    """

    def start(what: Job) -> float:
        def first() -> None:
            engine.load(what)
            engine.evaluate([1])

        return _seconds(first)

    metrics = {"load_to_first_token_s": start(job)}
    prompt = token_ids(job.prompt, engine.vocab_size())
    single = [[token] for token in token_ids(job.decode, engine.vocab_size())]

    def decode() -> None:
        for token in single:
            engine.evaluate(token)

    def prefill(tokens: Sequence[int]) -> float:
        engine.clear()
        return len(tokens) / _seconds(lambda: engine.evaluate(tokens))

    prefill(prompt)  # touches every buffer
    metrics[f"pp{job.prompt}"] = prefill(prompt)
    engine.clear()
    metrics[f"tg{job.decode}"] = job.decode / _seconds(decode)
    if job.depth:
        metrics[f"pp{job.depth}"] = prefill(token_ids(job.depth, engine.vocab_size()))
        metrics[f"tg{job.decode}@{job.depth}"] = job.decode / _seconds(decode)
    metrics["peak_rss_bytes"] = float(peak_rss_bytes())
    facts = engine.facts()
    metrics["first_start_s"] = start(replace(job, settings={**job.settings, "cache": False}))
    return {"metrics": metrics, "facts": facts}


def run(make_engine: Callable[[], Engine]) -> None:
    """A worker's main: job in argv[1], result as the last line of stdout."""
    job = Job.from_json(sys.argv[1])
    result = measure(make_engine(), job)
    sys.stdout.flush()
    print("\n" + json.dumps(result), flush=True)
    os._exit(0)  # the figures are out; a library that trips over its own teardown is no failure
