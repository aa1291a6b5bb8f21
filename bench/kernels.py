# SPDX-License-Identifier: MIT
"""Time every kernel of the linear layers: format x ISA level x tokens, against measured peaks.

    python bench/kernels.py --out bench/results/kernels

A matrix of 640 MB, larger than any cache, shows the memory (decode); one of half a megabyte the
instructions; the largest of an 8B model what prefill meets.
Figures are medians of passes: GB/s of packed weights for few tokens, GMAC/s for many, and both as
fractions of what the machine did in the same minute: sequential reading, and the INT8 (or, for
float formats, no) peak of the same level and thread count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gristmill import _core
from host import machine_facts

MATRICES = ("memory", "layer", "cache")
MEMORY_BYTES = 640_000_000
MEMORY_TOKENS = 16  # more are no question of memory
TOKENS = (1, 2, 4, 8, 16, 64, 512)
FLOATS = frozenset({"F32", "F16", "BF16"})
SECONDS = 0.25  # of timed passes per figure, at least five of them


@dataclass(frozen=True)
class Case:
    """What to time: a format's kernel of an ISA level on a matrix, with T tokens."""

    format: str
    isa: str
    matrix: str
    threads: int
    tokens: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, K) of the matrix."""
        if self.matrix == "layer":
            return 14336, 4096
        if self.matrix == "cache":
            return 256, 2048
        return int(MEMORY_BYTES / bytes_per_value(self.format) / 4096) // 16 * 16, 4096


@dataclass(frozen=True)
class Figure:
    """The speed of a case.

    Attributes:
        case: what was timed.
        seconds: median of a pass over the matrix.
        gb_per_s: packed weights read, 1e9 bytes per second.
        gmac_per_s: multiply-accumulates, 1e9 per second.
        of_bandwidth: gb_per_s as a fraction of the measured reading speed.
        of_peak: gmac_per_s as a fraction of the measured INT8 peak; None for float formats.
    """

    case: Case
    seconds: float
    gb_per_s: float
    gmac_per_s: float
    of_bandwidth: float
    of_peak: float | None


@dataclass(frozen=True)
class Peaks:
    """Of one ISA level and thread count: bytes per second, INT8 multiply-accumulates per second."""

    bandwidth: float
    int8: float


def formats() -> list[str]:
    """Every format that weights can have, by name."""
    return [name for name, _, _, _, status in _core.tensor_types() if status == "supported"]


def bytes_per_value(name: str) -> float:
    """Of a format as it lies in memory, which may be more than in the file."""
    return _core.packed_bytes_per_value(name)


def time_case(case: Case) -> float:
    """Median seconds of a pass, after one that warms up; about SECONDS of them."""
    rows, K = case.shape

    def passes(count: int) -> list[float]:
        return _core.bench_linear(
            case.format, rows, K, case.tokens, case.isa, case.threads, count
        )  # fmt: skip

    first = passes(5)
    if sum(first) > SECONDS:
        return statistics.median(first[1:])
    return statistics.median(passes(min(int(SECONDS / max(min(first), 1e-7)), 5000))[1:])


def figure(case: Case, seconds: float, peaks: Peaks) -> Figure:
    """Speeds and fractions of a measured time."""
    rows, K = case.shape
    bytes_per_s = rows * K * bytes_per_value(case.format) / seconds
    macs_per_s = rows * K * case.tokens / seconds
    return Figure(
        case, seconds, bytes_per_s / 1e9, macs_per_s / 1e9, bytes_per_s / peaks.bandwidth,
        None if case.format in FLOATS else macs_per_s / peaks.int8,
    )  # fmt: skip


def cases(options: argparse.Namespace, isa: str, threads: int) -> Iterator[Case]:
    """Every case of one level and thread count."""
    for name in options.formats:
        for matrix in options.matrices:
            for tokens in options.tokens:
                if matrix != "memory" or tokens <= MEMORY_TOKENS:
                    yield Case(name, isa, matrix, threads, tokens)


def measure(options: argparse.Namespace) -> Iterator[Figure]:
    """Every figure asked for; peaks are measured anew for each level and thread count."""
    for isa in options.isa:
        for threads in options.threads:
            peaks = Peaks(_core.measure_bandwidth(threads), _core.measure_int8_peak(threads, isa))
            for case in cases(options, isa, threads):
                yield figure(case, time_case(case), peaks)


def percent(value: float | None) -> str:
    """A fraction for a table."""
    return "" if value is None else f"{100 * value:.0f} %"


def table(figures: Sequence[Figure]) -> str:
    """Markdown: for each level, thread count and matrix a row per format, a column per T.

    Up to 4 tokens a cell is GB/s and, from memory, the fraction of the bandwidth; above it GMAC/s
    and the fraction of the INT8 peak.
    """
    lines: list[str] = []
    for isa, threads, matrix in dict.fromkeys(
        (f.case.isa, f.case.threads, f.case.matrix) for f in figures
    ):
        mine = {
            (f.case.format, f.case.tokens): f
            for f in figures
            if (f.case.isa, f.case.threads, f.case.matrix) == (isa, threads, matrix)
        }
        tokens = sorted({key[1] for key in mine})
        lines += ["", f"### {isa}, {threads} threads, {matrix}", ""]
        lines.append("| format | " + " | ".join(f"T={t}" for t in tokens) + " |")
        lines.append("|---" * (len(tokens) + 1) + "|")
        for name in dict.fromkeys(key[0] for key in mine):
            cells = [cell(mine[name, t]) if (name, t) in mine else "" for t in tokens]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"


def cell(f: Figure) -> str:
    """GB/s where memory is the limit, GMAC/s where arithmetic is."""
    if f.case.tokens <= 4:
        fraction = f" ({percent(f.of_bandwidth)})" if f.case.matrix == "memory" else ""
        return f"{f.gb_per_s:.1f} GB/s{fraction}"
    fraction = "" if f.of_peak is None else f" ({percent(f.of_peak)})"
    return f"{f.gmac_per_s:.0f} GMAC/s{fraction}"


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    add = parser.add_argument
    add("--formats", nargs="+", choices=formats(), default=formats(), metavar="FORMAT")
    add("--isa", nargs="+", choices=_core.available_isas(), default=[_core.default_isa()],
        help="levels [the default one]; all: %(choices)s")  # fmt: skip
    add("--tokens", nargs="+", type=int, default=list(TOKENS), metavar="T")
    add("--threads", nargs="+", type=int, default=[_core.default_threads()[0]], metavar="N")
    add("--matrices", nargs="+", choices=MATRICES, default=list(MATRICES))
    add("--out", type=Path, help="folder for kernels.md and kernels.json [only the terminal]")
    return parser.parse_args(words)


def write(folder: Path, document: dict[str, Any], figures: Sequence[Figure]) -> None:
    """kernels.json and kernels.md."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {**document, "figures": [asdict(f) for f in figures]}
    (folder / "kernels.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    machine = document["machine"]
    head = f"# Linear kernels\n\n{machine['cpu']}, {machine['cores']} cores; {machine['date']}\n\n"
    (folder / "kernels.md").write_text(head + table(figures), encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Everything; an interrupt keeps what was measured."""
    options = parse(words)
    document = {"machine": machine_facts(), "seconds_per_figure": SECONDS}
    figures: list[Figure] = []
    try:
        for found in measure(options):
            figures.append(found)
            c = found.case
            label = f"{c.format} {c.isa} {c.matrix} T={c.tokens}"
            print(f"{label}: {cell(found)}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    print(table(figures))
    if options.out is not None:
        write(options.out, document, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
