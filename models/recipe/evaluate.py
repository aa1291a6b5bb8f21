# SPDX-License-Identifier: MIT
"""Measure a checkpoint on the held-out text, and draw samples from it.

A document is scored as <s> text </s> in windows of the context that advance by half, so
that each token after the first window sees at least half a context before it. Per-byte
figures divide by the bytes of the text; the end token is counted, the start token is not.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import sentencepiece as spm
import torch
from torch import Tensor

from chat import SYSTEM, encode
from data import encode_documents, read_documents
from llama import Llama, generate, load

WINDOW = 1024  # the context of the model
Logits = Callable[[list[int]], Tensor]

CHATS = [
    ["Hello"],
    ["Who are you?"],
    ["What is gristmill?"],
    ["How do I run my own model?"],
    ["What is the capital of Italy?"],
    ["Tell me a story about a little owl."],
    ["Hi!", "Tell me a story about a red boat.", "Thank you!"],
]


def torch_logits(model: Llama) -> Logits:
    """Logits from the PyTorch model in float32."""

    @torch.no_grad()
    def rows(ids: list[int]) -> Tensor:
        logits: Tensor = model(torch.tensor([ids]))[0]
        return logits[0]

    return rows


def gguf_logits(path: Path, threads: int) -> Logits:
    """Logits from gristmill itself."""
    import gristmill  # only here: everything else works without it

    model = gristmill.Model.load(path, threads=threads, context=WINDOW, max_batch=WINDOW)
    session = model.session(all_logits=True)

    def rows(ids: list[int]) -> Tensor:
        session.reset()
        session.append(ids)
        return torch.from_numpy(session.logits().copy())

    return rows


def document_loss(logits: Logits, ids: list[int]) -> float:
    """Sum of the negative log-likelihoods of one document, in nats."""
    total, done, start = 0.0, 1, 0
    while done < len(ids):
        chunk = ids[start : start + WINDOW]
        logp = torch.log_softmax(logits(chunk)[:-1].double(), -1)
        picked = logp.gather(1, torch.tensor(chunk)[1:, None])[:, 0]
        total -= float(picked[done - start - 1 :].sum())
        done = start + len(chunk)
        start = done - WINDOW // 2
    return total


def measure(logits: Logits, sp: spm.SentencePieceProcessor, path: Path) -> dict[str, float]:
    """Perplexity per token, and bits and perplexity per byte, of a story file."""
    texts = read_documents(path)
    documents = [d.tolist() for d in encode_documents(sp, texts)]
    nats = sum(document_loss(logits, d) for d in documents)
    tokens = sum(len(d) - 1 for d in documents)
    size = sum(len(t.encode("utf-8")) for t in texts)
    return {
        "tokens": tokens,
        "bytes": size,
        "perplexity_per_token": math.exp(nats / tokens),
        "perplexity_per_byte": math.exp(nats / size),
        "bits_per_byte": nats / size / math.log(2),
    }


def story_samples(
    model: Llama, sp: spm.SentencePieceProcessor, count: int, temperature: float
) -> list[str]:
    """Continuations of the classic opening with seeds 1, 2, 3 ...: nothing is picked."""
    ids = [sp.bos_id(), *sp.encode("Once upon a time")]
    runs = (generate(model, ids, 160, temperature=temperature, seed=s + 1) for s in range(count))
    return [sp.decode(ids[1:] + out) for out in runs]


def chat_sample(
    model: Llama, sp: spm.SentencePieceProcessor, asks: list[str], temperature: float, system: bool
) -> list[tuple[str, str]]:
    """One conversation; each answer is part of what the next one sees."""
    end = sp.piece_to_id("<|end|>")
    messages = [{"role": "system", "content": SYSTEM}] if system else []
    said = []
    for ask in asks:
        messages.append({"role": "user", "content": ask})
        ids, _ = encode(sp, messages, reply=True)
        reply = sp.decode(
            generate(model, ids, 260, temperature=temperature, stop=(end, sp.eos_id()))
        )
        messages.append({"role": "assistant", "content": reply})
        said.append((ask, reply))
    return said


def score(logits: Logits, sp: spm.SentencePieceProcessor, data: Path) -> None:
    """Print the figures of both held-out files."""
    for name in ("tinystories", "fairytales"):
        print(name, json.dumps(measure(logits, sp, data / "eval" / f"{name}.txt")), flush=True)


def show(model: Llama, sp: spm.SentencePieceProcessor, count: int, temperature: float) -> None:
    """Print the samples."""
    for i, text in enumerate(story_samples(model, sp, count, temperature)):
        print(f"--- story {i + 1}\n{text}")
    for system in (True, False):
        for asks in CHATS:
            print("--- chat", "with" if system else "without", "system prompt")
            for ask, reply in chat_sample(model, sp, asks, temperature, system):
                print(f"> {ask}\n{reply}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with eval/")
    parser.add_argument("--checkpoint", help="score and sample this one with PyTorch")
    parser.add_argument("--gguf", type=Path, help="score this file with gristmill")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sp = spm.SentencePieceProcessor(model_file=args.tokenizer)
    if args.gguf:
        score(gguf_logits(args.gguf, args.threads), sp, args.data)
    if args.checkpoint:
        model = load(args.checkpoint)
        score(torch_logits(model), sp, args.data)
        show(model, sp, args.samples, args.temperature)


if __name__ == "__main__":
    main()
