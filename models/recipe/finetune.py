# SPDX-License-Identifier: MIT
"""Fine-tune the pretrained model on conversations, with plain stories mixed in.

The plain stories keep the model able to go on with a text that has no chat template.
Conversations are packed like the documents of the pretraining, each with its start token, so
that nothing is spent on padding. The rate goes on where a pretraining that was stopped early
left off, and falls to nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from time import time

import numpy as np
import sentencepiece as spm
import torch
from torch import Tensor

from chat import Conversations, encode
from data import Mixture
from llama import load
from muon import optimizers
from pretrain import Clock, Evaluation, save

ROWS, LENGTH = 4, 1024  # of one micro-batch; as in the last part of pretraining
TOKENS = ROWS * LENGTH


class Batches:
    """Micro-batches of conversations, packed one after the other, or of plain text."""

    def __init__(self, data: Path, sp: spm.SentencePieceProcessor, seed: int, plain: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.sp, self.plain = sp, plain
        self.talks = Conversations(data, self.rng)
        self.mixture = Mixture(data, sp, seed)
        self.ids: list[int] = []
        self.targets: list[int] = []

    def next(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the next micro-batch."""
        if self.rng.random() < self.plain:
            rows = torch.from_numpy(self.mixture.batch(ROWS, LENGTH, 1.0))
            return rows[:, :-1], rows[:, 1:]
        while len(self.ids) < TOKENS:
            ids, targets = encode(self.sp, self.talks.draw())
            self.ids += ids
            self.targets += targets
        x, self.ids = self.ids[:TOKENS], self.ids[TOKENS:]
        y, self.targets = self.targets[:TOKENS], self.targets[TOKENS:]
        return torch.tensor(x).view(ROWS, LENGTH), torch.tensor(y).view(ROWS, LENGTH)


def train(args: argparse.Namespace) -> None:
    """Run the fine-tune within its budget; the rate falls in a straight line."""
    sp = spm.SentencePieceProcessor(model_file=str(args.run / "tokenizer.model"))
    torch.manual_seed(args.seed)
    model = load(str(args.run / args.base)).train()
    opts = optimizers(model, args.muon_lr, args.adam_lr, args.weight_decay)
    base = [[g["lr"] for g in o.param_groups] for o in opts]
    loss_of = torch.compile(model.loss, dynamic=False)
    batches = Batches(args.data, sp, args.seed, args.plain)
    evaluation, clock, step = Evaluation(args.data, sp, LENGTH), Clock(0.0), 0
    while (progress := clock.used / (60 * args.minutes)) < 1:
        start, total = time(), 0.0
        factor = min(1.0, (step + 1) / 20) * max(0.01, 1 - progress)
        for opt, rates in zip(opts, base, strict=True):
            for group, lr in zip(opt.param_groups, rates, strict=True):
                group["lr"] = lr * factor
        for _ in range(args.micro):
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(*batches.next()) / args.micro
            loss.backward()
            total += loss.item()
        for opt in opts:
            opt.step()
        model.zero_grad(set_to_none=True)
        clock.add(time() - start)
        step += 1
        line = {"step": step, "progress": round(progress, 4), "loss": round(total, 4)}
        if step % args.save_every == 0:
            values = evaluation.losses(loss_of, ROWS)
            line |= {f"eval_{k}": round(v, 4) for k, v in values.items()}
            save(args.run / "chat.pt", model, [], dict(line, tokens=step * args.micro * TOKENS))
        with open(args.run / "chat.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line, used=clock.used)) + "\n")
    save(args.run / "chat.pt", model, [], {"step": step, "tokens": step * args.micro * TOKENS})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus/ and chat/")
    parser.add_argument("--run", type=Path, required=True, help="folder of the pretraining run")
    parser.add_argument("--base", default="base.pt")
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--micro", type=int, default=2, help="micro-batches per step")
    parser.add_argument("--plain", type=float, default=0.35, help="share of plain text")
    parser.add_argument("--muon-lr", type=float, default=0.007)
    parser.add_argument("--adam-lr", type=float, default=0.0014)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    (args.run / "pid").write_text(str(os.getpid()))
    train(args)


if __name__ == "__main__":
    main()
