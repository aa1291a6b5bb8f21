# SPDX-License-Identifier: MIT
"""Draw the training curve from the log of pretrain.py."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt


def read(path: Path) -> list[dict[str, float]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def draw(rows: list[dict[str, float]], out: Path) -> None:
    """Training loss, smoothed, and the held-out losses over the tokens seen."""
    tokens = np.array([r["tokens"] for r in rows]) / 1e6
    loss = np.array([r["loss"] for r in rows])
    width = 25
    smooth = np.convolve(loss, np.ones(width) / width, "valid")
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    axes.plot(tokens, loss, color="0.85", linewidth=0.6)
    axes.plot(tokens[width - 1 :], smooth, color="0.35", label="training (mixture)")
    for name, color in (("tinystories", "tab:blue"), ("fairytales", "tab:orange")):
        points = [(r["tokens"] / 1e6, r[f"eval_{name}"]) for r in rows if f"eval_{name}" in r]
        if points:
            axes.plot(*zip(*points, strict=True), color=color, marker=".", label=f"held-out {name}")
    for length in sorted({r["length"] for r in rows})[:-1]:
        last = max(r["tokens"] for r in rows if r["length"] == length)
        axes.axvline(last / 1e6, color="0.7", linestyle=":", linewidth=1)
    axes.set(xlabel="million tokens", ylabel="cross entropy per token (nats)", ylim=(1.2, 6))
    axes.set_title("Pretraining (dotted: the sequence length doubles)", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend()
    figure.tight_layout()
    figure.savefig(out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="log.jsonl of the run")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    args = parser.parse_args()
    draw(read(args.log), args.out)


if __name__ == "__main__":
    main()
