# SPDX-License-Identifier: MIT
"""Tiny random models of transformers that give embeddings or scores, and what ours give for them.

As hf_tiny.py, for models without logits: hidden states are compared, what pooling makes of them,
and the scores of rerankers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hf_tiny import VOCAB, WINDOW, convert_folder, save_checkpoint, stored_shapes
from numpy.typing import NDArray

import gristmill

Rows = NDArray[np.float32]
LENGTHS = (64, 1, 37)
POOLED = ("mean", "cls", "last")
TEXTS = [
    np.random.default_rng(seed).integers(3, VOCAB, count).tolist()
    for seed, count in enumerate(LENGTHS)
]
_SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
    "attn_implementation": "eager",
}
_ROBERTA = {"pad_token_id": 1, "type_vocab_size": 1}
_QWEN3 = {"num_key_value_heads": 2, "head_dim": 24}


@dataclass(frozen=True)
class EncoderCase:
    """A class of transformers, and what its configuration says besides _SHAPE."""

    architecture: str  # in the file
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    labels: int = 0  # of a reranker

    def config(self) -> Any:
        """The configuration."""
        import transformers

        cls = getattr(transformers, self.model).config_class
        labels = {"num_labels": self.labels} if self.labels else {}
        return cls(**{**_SHAPE, **self.options, **labels})


ENCODERS = {
    "bert": EncoderCase("bert", "BertModel"),
    "bert-rank": EncoderCase("bert", "BertForSequenceClassification", labels=1),
    "xlm-roberta": EncoderCase("bert", "XLMRobertaModel", _ROBERTA),
    "xlm-roberta-rank": EncoderCase(
        "bert", "XLMRobertaForSequenceClassification", _ROBERTA, labels=1
    ),
    "nomic-bert": EncoderCase("nomic-bert", "NomicBertModel"),
    "modern-bert": EncoderCase(
        "modern-bert", "ModernBertModel", {"local_attention": WINDOW, "num_hidden_layers": 3}
    ),
    "gemma-embedding": EncoderCase(
        "gemma-embedding", "Gemma3TextModel",
        {"use_bidirectional_attention": True, "num_key_value_heads": 2, "head_dim": 24,
         "sliding_window": WINDOW, "num_hidden_layers": 6, "query_pre_attn_scalar": 24},
    ),
    "qwen3-embedding": EncoderCase("qwen3", "Qwen3Model", _QWEN3),
    "qwen3-rank": EncoderCase("qwen3", "Qwen3ForSequenceClassification", _QWEN3, labels=2),
}  # fmt: skip


@dataclass(frozen=True)
class EncoderParity:
    """Of one case.

    Args:
        architecture: Name in the file.
        oracle: Class of transformers.
        deviation: Of the oracle's hidden states or scores: errors are small beside it.
        error: Largest difference of a number of them, with F32 weights.
        error_f16: The same, if the oracle rounds keys and values to F16 as our cache does.
        distance: Largest cosine distance of a pooled embedding, with F32 weights; of scores 0.
        cosine_q8_0: Smallest cosine of a pooled embedding with Q8_0 weights; of scores 1.
    """

    architecture: str
    oracle: str
    deviation: float
    error: float
    error_f16: float
    distance: float
    cosine_q8_0: float


def tiny_encoder(name: str, folder: Path) -> Any:
    """The model of a case, loaded from a checkpoint with random weights that `folder` gets."""
    import torch
    import transformers

    case = ENCODERS[name]
    cls = getattr(transformers, case.model)
    torch.manual_seed(5)
    cls(case.config()).save_pretrained(folder)
    shapes = stored_shapes(folder)
    config = (folder / "config.json").read_text(encoding="utf-8")
    save_checkpoint(folder, config, random_weights(shapes))
    return cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Scores spread by 1, halves add as much as there is; norms and biases are random too."""
    random = np.random.default_rng(6)
    weights = {}
    gemma = any("pre_feedforward" in name for name in shapes)
    for name, shape in shapes.items():
        values = random.standard_normal(shape)
        stem = name.removesuffix(".weight").lower()
        if len(shape) == 2:
            head = 3.0 if "classifier" in stem or stem == "score" else 1.0
            values *= 1.0 if "embed" in stem else head * shape[1] ** -0.5
        elif name.endswith("bias"):
            values *= 0.3
        else:
            values = values / 8 + (0 if gemma else 1)  # Gemma adds 1 to them
        weights[name] = values.astype(np.float32)
    return weights


def hf_rows(model: Any, tokens: list[int], types: list[int], *, f16_cache: bool = False) -> Rows:
    """Hidden states [T, width] of transformers, or its scores [1, labels]."""
    import torch

    module = sys.modules[type(model).__module__]
    attend = module.eager_attention_forward

    def rounded(layer: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
        return attend(layer, q, k.half().float(), v.half().float(), *args, **kwargs)

    given = {"token_type_ids": torch.tensor([types])} if any(types) else {}
    with (
        torch.no_grad(),
        mock.patch.object(module, "eager_attention_forward", rounded if f16_cache else attend),
    ):
        out = model(torch.tensor([tokens]), **given)
    rows = out.logits if hasattr(out, "logits") else out.last_hidden_state[0]
    return np.array(rows.float().numpy())


def pooled(rows: Rows, how: str) -> Rows:
    """One row [1, width] of a text."""
    return {"mean": rows.mean(0, keepdims=True), "cls": rows[:1], "last": rows[-1:]}[how]


def cosine(a: Rows, b: Rows) -> float:
    """Of two rows."""
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def types_of(model: gristmill.Model, tokens: list[int]) -> list[int]:
    """Types of the tokens, if the model knows two: the second from token 20 of the longest text."""
    typed = [0] * 20 + [1] * (LENGTHS[0] - 20)
    return typed[-len(tokens) :] if model._embedder._plan.types > 1 else []


def rows_of(model: gristmill.Model, tokens: list[int]) -> Rows:
    """What ours gives for a text."""
    return model._embedder.rows(tokens, types_of(model, tokens) or None)


def _load(path: Path, pooling: str | None) -> gristmill.Model:
    return gristmill.Model.load(path, pooling=pooling, threads=1)


def measure_encoder(name: str, folder: Path) -> EncoderParity:
    """Converts a case into `folder` and compares."""
    case, model = ENCODERS[name], tiny_encoder(name, folder)
    exact, blocks = (convert_folder(folder, kind) for kind in ("f32", "q8_0"))
    plain = _load(exact, None if case.labels else "none")
    texts = [(tokens, types_of(plain, tokens)) for tokens in TEXTS]
    theirs = [hf_rows(model, *text) for text in texts]
    rounded = [hf_rows(model, *text, f16_cache=True) for text in texts]
    ours = [rows_of(plain, tokens) for tokens in TEXTS]

    def error(rows: list[Rows]) -> float:
        return max(float(np.abs(a - b).max()) for a, b in zip(ours, rows, strict=True))

    distance, nearest = 0.0, 1.0
    for how in () if case.labels else POOLED:
        f32, q8 = (_load(path, how) for path in (exact, blocks))
        for tokens, rows in zip(TEXTS, theirs, strict=True):
            expected = pooled(rows, how)
            distance = max(distance, 1 - cosine(rows_of(f32, tokens), expected))
            nearest = min(nearest, cosine(rows_of(q8, tokens), expected))
    return EncoderParity(
        architecture=case.architecture,
        oracle=case.model,
        deviation=float(np.concatenate([rows.ravel() for rows in theirs]).std()),
        error=error(theirs),
        error_f16=error(rounded),
        distance=distance,
        cosine_q8_0=nearest,
    )
