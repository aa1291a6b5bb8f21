# SPDX-License-Identifier: MIT
"""Tokens per second of an embedding model, by the length of its texts, with one thread.

    python bench/embeddings.py [--torch]

Random weights of the shape of bge-small (12 layers, 384 wide), F16 and Q8_0; --torch adds PyTorch
in F32, one text at a time and all of them at once. CPU time, the best of three passes.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gristmill import Model
from gristmill.embedding import Embedder
from gristmill.gguf import Writer

WIDTH, FFN, LAYERS, HEADS, VOCAB = 384, 1536, 12, 12, 30522
LENGTHS = (16, 64, 256)
TOKENS = 1024  # of a pass


def write_model(path: Path, type_name: str) -> None:
    """A BERT with random weights."""
    square, vector = (WIDTH, WIDTH), (WIDTH,)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCAB, WIDTH),
        "token_types.weight": (2, WIDTH),
        "position_embd.weight": (512, WIDTH),
        "token_embd_norm.weight": vector,
        "token_embd_norm.bias": vector,
    }
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes |= {f"blk.{i}.{name}.weight": square, f"blk.{i}.{name}.bias": vector}
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"blk.{i}.{name}.weight": vector, f"blk.{i}.{name}.bias": vector}
        shapes |= {f"blk.{i}.ffn_up.weight": (FFN, WIDTH), f"blk.{i}.ffn_up.bias": (FFN,)}
        shapes |= {f"blk.{i}.ffn_down.weight": (WIDTH, FFN), f"blk.{i}.ffn_down.bias": vector}
    keys = {
        "block_count": LAYERS, "context_length": 512, "embedding_length": WIDTH,
        "feed_forward_length": FFN, "attention.head_count": HEADS, "pooling_type": 1,
        "attention.layer_norm_epsilon": 1e-12,
    }  # fmt: skip
    rng = np.random.default_rng(1)
    with Writer(path) as writer:
        writer.add("general.architecture", "bert")
        for key, value in keys.items():
            writer.add(f"bert.{key}", value)
        writer.add("tokenizer.ggml.model", "bert")
        writer.add("tokenizer.ggml.tokens", ["[UNK]", *(f"t{i}" for i in range(1, VOCAB))])
        writer.add("tokenizer.ggml.unknown_token_id", 0)
        for name, shape in shapes.items():
            values = rng.standard_normal(shape, dtype=np.float32) * 0.05
            plain = len(shape) == 1 or name.startswith(("position", "token_t"))
            writer.add_tensor(name, values, "F32" if plain else type_name)


def speed(run: Callable[[], object]) -> float:
    """Tokens per second of CPU time."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return TOKENS / best


def torch_speeds(texts: list[list[int]]) -> list[float]:
    """Of PyTorch: one at a time, all at once."""
    import torch
    import transformers

    torch.set_num_threads(1)
    config = transformers.BertConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=FFN,
    )  # fmt: skip
    model = transformers.BertModel(config).train(mode=False)
    with torch.no_grad():
        batches = [torch.tensor([text]) for text in texts]
        together = torch.tensor(texts)
        return [speed(lambda: [model(b) for b in batches]), speed(lambda: model(together))]


def run_all(model: Embedder, texts: list[list[int]]) -> None:
    """One text after another."""
    for text in texts:
        model.rows(text)


def main() -> None:
    """Prints a row per length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", action="store_true")
    compare = parser.parse_args().torch
    rng = np.random.default_rng(0)
    print("tokens   F16  Q8_0" + ("  torch  at once" if compare else ""))
    with tempfile.TemporaryDirectory() as folder:
        models = []
        for kind in ("F16", "Q8_0"):
            write_model(Path(folder, kind), kind)
            models.append(Model.load(Path(folder, kind), threads=1, cache=False)._embedder)
        for length in LENGTHS:
            texts = [rng.integers(1, VOCAB, length).tolist() for _ in range(TOKENS // length)]
            speeds = [speed(functools.partial(run_all, model, texts)) for model in models]
            speeds += torch_speeds(texts) if compare else []
            print(f"{length:6} " + "".join(f"{value:7.0f}" for value in speeds))


if __name__ == "__main__":
    main()
