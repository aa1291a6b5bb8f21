# SPDX-License-Identifier: MIT
"""Pretrain the model on a CPU within a budget of minutes.

Learning rate, mixture of sources and sequence length follow the share of the budget that
is used; the last part of the decline is left to the fine-tune. Only time spent in steps
counts, and a step that took far longer than usual counts as a usual one, so a stopped
process resumes where it was. A number written to `RUN/minutes` replaces the budget while
the run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece as spm
import torch

from data import Mixture, encode_documents, read_documents
from llama import Config, Llama
from muon import optimizers

# Longest sequence, and rows in one micro-batch, from a point of the budget on.
LENGTHS = [(0.0, 256, 16), (0.30, 512, 8), (0.66, 1024, 4)]


def rate(progress: float, step: float) -> float:
    """Trapezoid: a short warm-up, a plateau, a straight line down to (almost) nothing."""
    return min(1.0, (step + 1) / 60) * min(1.0, max(0.01, (1.0 - progress) / 0.55))


class Clock:
    """Active time, blind to pauses."""

    def __init__(self, used: float) -> None:
        self.used = used
        self.recent: deque[float] = deque(maxlen=20)

    def add(self, seconds: float) -> None:
        """Count one step; far above the usual is taken for a pause or a compilation."""
        if len(self.recent) >= 5:
            seconds = min(seconds, 4 * float(np.median(self.recent)))
        else:
            seconds = min(seconds, 5.0)
        self.recent.append(seconds)
        self.used += seconds


class Evaluation:
    """Loss on a slice of the held-out text, enough to watch."""

    def __init__(self, data: Path, sp: spm.SentencePieceProcessor, length: int) -> None:
        self.rows = {}
        for name in ("tinystories", "fairytales"):
            documents = encode_documents(sp, read_documents(data / "eval" / f"{name}.txt"))
            flat = np.concatenate(documents)[: 16 * length + 1]
            count = (len(flat) - 1) // length
            index = np.arange(length + 1) + length * np.arange(count)[:, None]
            self.rows[name] = torch.from_numpy(flat[index].astype(np.int64))

    @torch.no_grad()
    def losses(self, loss: Callable[[Any, Any], Any], rows: int) -> dict[str, float]:
        """Mean cross entropy per source; the batch shape is that of training."""
        out = {}
        for name, ids in self.rows.items():
            parts = [b for b in torch.split(ids, rows) if len(b) == rows]
            with torch.autocast("cpu", torch.bfloat16):
                values = [float(loss(b[:, :-1], b[:, 1:])) for b in parts]
            out[name] = sum(values) / len(values)
        return out


def save(
    path: Path, model: Llama, opts: list[torch.optim.Optimizer], state: dict[str, Any]
) -> None:
    """Write a checkpoint in one move."""
    part = path.with_suffix(".part")
    torch.save(
        {
            "config": model.config.to_dict(),
            "model": model.state_dict(),
            "optimizers": [o.state_dict() for o in opts],
            "state": state,
        },
        part,
    )
    os.replace(part, path)


class Run:
    """One training run in a folder."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.folder = args, args.run
        sp = spm.SentencePieceProcessor(model_file=str(args.run / "tokenizer.model"))
        torch.manual_seed(args.seed)
        self.model = Llama(Config(layers=args.layers))
        self.opts = optimizers(self.model, args.muon_lr, args.adam_lr, args.weight_decay)
        self.base = [[g["lr"] for g in o.param_groups] for o in self.opts]
        self.state = {"step": 0, "tokens": 0, "used": 0.0}
        if (self.folder / "last.pt").exists():
            saved = torch.load(self.folder / "last.pt", weights_only=True)
            self.model.load_state_dict(saved["model"])
            for opt, kept in zip(self.opts, saved["optimizers"], strict=True):
                opt.load_state_dict(kept)
            self.state = saved["state"]
        self.mixture = Mixture(args.data, sp, args.seed + self.state["step"])
        self.evals = {n: Evaluation(args.data, sp, n) for _, n, _ in LENGTHS}
        self.loss = torch.compile(self.model.loss, dynamic=False)
        self.clock = Clock(self.state["used"])

    def minutes(self) -> float:
        """The budget, which a file may replace."""
        path = self.folder / "minutes"
        return float(path.read_text()) if path.exists() else float(self.args.minutes)

    def log(self, **values: Any) -> None:
        """Append one line to the log."""
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def step(self, progress: float) -> tuple[float, int, int]:
        """One optimizer step over `--batch` tokens."""
        _, length, rows = [p for p in LENGTHS if p[0] <= progress][-1]
        micro = max(1, self.args.batch // (rows * length))
        factor = rate(progress, self.state["step"])
        for opt, base in zip(self.opts, self.base, strict=True):
            for group, lr in zip(opt.param_groups, base, strict=True):
                group["lr"] = lr * factor
        total = 0.0
        for _ in range(micro):
            ids = torch.from_numpy(self.mixture.batch(rows, length, progress))
            with torch.autocast("cpu", torch.bfloat16):
                loss = self.loss(ids[:, :-1], ids[:, 1:]) / micro
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_([self.model.token_embd.weight], 1.0)
        for opt in self.opts:
            opt.step()
        self.model.zero_grad(set_to_none=True)
        return total, length, rows

    def train(self) -> None:
        """Step until the budget is used."""
        state, begin = self.state, time.time()
        while True:
            progress = state["used"] / (60 * self.minutes())
            if progress >= self.args.stop:
                break
            start = time.time()
            loss, length, rows = self.step(progress)
            self.clock.add(time.time() - start)
            state["step"] += 1
            state["tokens"] += self.args.batch
            state["used"] = self.clock.used
            line = dict(state, progress=round(progress, 5), length=length, loss=round(loss, 4))
            if state["step"] % self.args.eval_every == 0:
                evals = self.evals[length].losses(self.loss, rows)
                line |= {f"eval_{k}": round(v, 4) for k, v in evals.items()}
            self.log(**line, rate=round(rate(progress, state["step"]), 4), wall=time.time() - begin)
            if state["step"] % self.args.save_every == 0:
                save(self.folder / "last.pt", self.model, self.opts, state)
        save(self.folder / "last.pt", self.model, self.opts, state)
        save(self.folder / "base.pt", self.model, [], state)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus/ and eval/")
    parser.add_argument("--run", type=Path, required=True, help="folder with tokenizer.model")
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument(
        "--stop", type=float, default=0.82, help="share of the budget; finetune.py goes on from it"
    )
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8192, help="tokens per step")
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.004)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--eval-every", type=int, default=100)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    (args.run / "pid").write_text(str(os.getpid()))
    Run(args).train()


if __name__ == "__main__":
    main()
