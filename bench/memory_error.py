# SPDX-License-Identifier: MIT
"""How far the memory plan is from the truth: planned against measured peak, as a Markdown table.

    python bench/memory_error.py model.gguf:2048 model.gguf:16384 other.gguf:4096:128

Each FILE:CONTEXT[:BATCH] is planned in one process and loaded in another, where a prompt of
varied tokens fills the whole context and one token is sampled; the peak is the system's own
high-water mark.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLAN = """
import json, sys
from gristmill import gguf, memory
path, context, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print(json.dumps(memory.estimate(gguf.File(path), context, max_batch=batch).to_dict()))
"""
_LOAD = """
import json, sys
from gristmill import machine
from gristmill.model import Model
from gristmill.sampling import make_sampler
path, context, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = Model.load(path, context=context, max_batch=batch, cache=False)
session = model.session()
session.evaluate([(7919 * i * i + 17 * i) % model.vocab_size for i in range(context)])
make_sampler(model.sampling, model.tokenizer).sample(session, [])
print(json.dumps({"peak": machine.peak_rss_bytes(), "seconds": model.report.load_seconds}))
"""


@dataclass(frozen=True)
class Case:
    """A file, a context that is filled, and the largest batch."""

    path: str
    context: int
    batch: int = 512


@dataclass(frozen=True)
class Outcome:
    """Bytes planned (by category and in all) and measured."""

    case: Case
    parts: dict[str, int]
    planned: int
    measured: int

    @property
    def error(self) -> float:
        """Planned / measured - 1."""
        return self.planned / self.measured - 1


def _child(code: str, case: Case) -> Any:
    command = [sys.executable, "-c", code, case.path, str(case.context), str(case.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def compare(case: Case) -> Outcome:
    """Plans and measures one case."""
    plan = _child(_PLAN, case)
    return Outcome(case, plan["parts"], plan["total"], _child(_LOAD, case)["peak"])


def row(outcome: Outcome) -> str:
    """A line of the table, in MiB."""
    parts, mib = outcome.parts, 2**20
    weights = sum(parts[name] for name in ("panels", "mapped", "vectors"))
    other = outcome.planned - weights - parts["kv_cache"] - parts["process"]
    name = Path(outcome.case.path).stem
    cells = [weights, parts["kv_cache"], other, parts["process"], outcome.planned, outcome.measured]
    sizes = " | ".join(f"{size / mib:,.0f}" for size in cells)
    return (
        f"| {name} | {outcome.case.context} | {outcome.case.batch} | {sizes} "
        f"| {100 * outcome.error:+.1f} % |"
    )


def main(arguments: list[str]) -> None:
    """Command line."""
    print("| model | context | batch | weights | KV | buffers | process | planned | peak | error |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for argument in arguments:
        path, context, *batch = argument.split(":")
        case = Case(path, int(context), int(batch[0]) if batch else 512)
        print(row(compare(case)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
