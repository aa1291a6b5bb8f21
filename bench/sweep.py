# SPDX-License-Identifier: MIT
"""Sweep whole models: shapes x types x threads x ISA levels; prefill, depth, small batches.

    python bench/sweep.py --models ~/models --out bench/results/sweep

makes a random-weight file for each shape and type (once), measures each combination in a process
of its own and appends a line to sweep.jsonl, so an interrupted sweep goes on where it stopped.
sweep.md is written anew after every line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gristmill import _core, machine
from gristmill.model import Model
from gristmill.quantize.recipe import FILE_TYPES
from host import machine_facts, warm_page_cache
from make_model import random_model
from shapes import SHAPES
from worker import peak_rss_bytes, token_ids

BATCHES = (1, 2, 4, 8)
REPEATS = 3


@dataclass(frozen=True)
class Row:
    """A combination, and how it is measured. Equal rows are measured once."""

    shape: str
    type: str
    threads: int
    isa: str
    prompts: tuple[int, ...]
    depths: tuple[int, ...]
    decode: int

    @property
    def key(self) -> str:
        """Identifies the row in sweep.jsonl."""
        return json.dumps(asdict(self), sort_keys=True)


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def measure(path: Path, row: Row) -> dict[str, Any]:
    """All figures of a row.

    Returns:
        load_to_first_token_s; pp: prompt length -> tokens/s; tg: depth -> tokens/s; batch: size
        -> median seconds of a forward at depth 0; of_int8_peak (longest prompt), of_bandwidth
        (depth 0); peak_rss_bytes; the peaks themselves.
    """
    loaded: list[Model] = []

    def load() -> None:
        loaded.append(Model.load(path, threads=row.threads, isa=row.isa or None))

    load_seconds = _seconds(load)
    model = loaded[0]
    context = max(*row.prompts, max(row.depths) + row.decode, max(BATCHES) * row.decode)
    session = model.session(context=context)
    tokens = token_ids(context, model.vocab_size)
    first_seconds = _seconds(lambda: session.append(tokens[:1]))

    def prefill(count: int) -> float:
        session.reset()
        return _seconds(lambda: session.append(tokens[:count]))

    def step(size: int) -> float:
        return _seconds(lambda: session.append(tokens[:size]))

    prefill(min(512, max(row.prompts)))  # touches every buffer
    pp = {n: n / statistics.median(prefill(n) for _ in range(REPEATS)) for n in row.prompts}
    tg, batch = {}, {}
    for depth in row.depths:
        session.reset()
        if depth:
            session.append(tokens[:depth])
        tg[depth] = row.decode / sum(step(1) for _ in range(row.decode))
    for size in BATCHES:
        session.reset()
        batch[size] = statistics.median(step(size) for _ in range(row.decode))
    rss = peak_rss_bytes()
    peaks = machine.measure_peaks(model.threads, model.isa)
    longest = max(row.prompts)
    macs = model.macs_per_token + model.macs_per_logits_row / min(longest, session._core.max_batch)
    return {
        "load_to_first_token_s": load_seconds + first_seconds,
        "pp": pp,
        "tg": tg,
        "batch": batch,
        "of_int8_peak": pp[longest] * macs / peaks.int8_macs_per_s,
        "of_bandwidth": tg[min(row.depths)] * model.token_bytes / peaks.bandwidth_bytes_per_s,
        "peak_rss_bytes": rss,
        "isa": model.isa,
        "bandwidth_bytes_per_s": peaks.bandwidth_bytes_per_s,
        "int8_macs_per_s": peaks.int8_macs_per_s,
    }


def run_row(path: Path, row: Row, timeout: float) -> dict[str, Any]:
    """The figures, measured by a child process, or {"error": its last line}."""
    command = [sys.executable, __file__, "--child", str(path), row.key]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {timeout:.0f} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": f"{lines[-1][:300]} (exit {done.returncode})"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(path: str, key: str) -> None:
    """Measures one row and prints it."""
    fields = json.loads(key)
    fields |= {name: tuple(fields[name]) for name in ("prompts", "depths")}
    print(json.dumps(measure(Path(path), Row(**fields))))


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown of the lines of sweep.jsonl."""
    columns = (
        "shape", "type", "threads", "kernels", "prefill, tokens/s", "of INT8 peak",
        "decode, tokens/s", "of bandwidth", "2, 4, 8 tokens cost", "first token, s", "MB",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for record in records:
        row, got = record["row"], record["result"]
        name = f"| {row['shape']} | {row['type']} | {row['threads']} "
        if "error" in got:
            lines.append(f"{name}| {row['isa']} | failed: {got['error']} |" + " |" * 6)
            continue
        pp = ", ".join(f"{n}: {speed:.0f}" for n, speed in got["pp"].items())
        tg = ", ".join(f"@{depth}: {speed:.1f}" for depth, speed in got["tg"].items())
        one = got["batch"]["1"]
        cost = ", ".join(f"{got['batch'][str(n)] / one:.2f}" for n in BATCHES[1:])
        lines.append(
            f"{name}| {got['isa']} | {pp} | {got['of_int8_peak']:.0%} | {tg} | "
            f"{got['of_bandwidth']:.0%} | {cost} | {got['load_to_first_token_s']:.2f} | "
            f"{got['peak_rss_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines) + "\n"


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of sweep.jsonl; one that an interrupt cut is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            print(f"a broken line in {path}: measured again", file=sys.stderr)
    return records


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Every combination, shape by shape."""
    for shape in options.shapes:
        for kind in options.types:
            for threads in options.threads:
                for isa in options.isa:
                    yield Row(
                        shape, kind, threads, isa, tuple(options.prompts), tuple(options.depths),
                        options.decode,
                    )  # fmt: skip


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    add = parser.add_argument
    add("--shapes", nargs="+", choices=list(SHAPES), metavar="SHAPE",
        default=["tinyllama-1.1b", "llama3-8b"])  # fmt: skip
    add("--types", nargs="+", choices=list(FILE_TYPES), metavar="TYPE",
        default=["Q4_K_M", "Q4_0", "Q8_0", "Q6_K", "Q5_K_M"])  # fmt: skip
    add("--threads", nargs="+", type=int, default=[_core.default_threads()[0]])
    add("--isa", nargs="+", choices=_core.available_isas(), default=[_core.default_isa()])
    add("--prompts", nargs="+", type=int, default=[128, 512], help="prefill lengths [tokens]")
    add("--depths", nargs="+", type=int, default=[0, 4096], help="decode after so many tokens")
    add("--decode", type=int, default=32, help="tokens of a decode")
    add("--models", type=Path, default=Path("models-bench"), help="folder of the files it makes")
    add("--out", type=Path, required=True, help="folder for sweep.jsonl and sweep.md")
    add("--timeout", type=float, default=1800, help="seconds for one combination")
    return parser.parse_args(words)


def sweep(options: argparse.Namespace) -> None:
    """Measures what sweep.jsonl does not have yet; a failed row is measured again."""
    options.out.mkdir(parents=True, exist_ok=True)
    options.models.mkdir(parents=True, exist_ok=True)
    journal = options.out / "sweep.jsonl"
    records = read_records(journal)
    journal.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    done = {
        json.dumps(record["row"], sort_keys=True)
        for record in records
        if "error" not in record["result"]
    }
    for row in rows(options):
        if row.key in done:
            continue
        path = options.models / f"{row.shape}-{row.type.lower()}.gguf"
        if not path.exists():
            random_model(path, SHAPES[row.shape], row.type, name=f"{row.shape} {row.type}")
        warm_page_cache(path)
        result = run_row(path, row, options.timeout)
        record = {"row": json.loads(row.key), "result": result, "machine": machine_facts()}
        records.append(record)
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        (options.out / "sweep.md").write_text(table(records), encoding="utf-8")
        print(table([record]).splitlines()[-1], flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Command line; an interrupt leaves what was measured."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["--child"]:
        child(*words[1:])
        return 0
    try:
        sweep(parse(words))
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
