# SPDX-License-Identifier: MIT
"""What a converted model computes beside what transformers computes for the same checkpoint."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hf_tiny import CASES, COUNT, VOCAB, convert_folder, tiny_model
from numpy.typing import NDArray
from tiny_models import kl_divergence

import gristmill

TOKENS = np.random.default_rng(8).integers(3, VOCAB, COUNT).tolist()
GREEDY = 8  # tokens of the continuation
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """Of one case.

    Args:
        architecture: Name in the file.
        oracle: Class of transformers.
        deviation: Of the oracle's logits: errors are small beside it.
        error: Largest difference of a logit, with F32 weights.
        error_f16: The same, if the oracle rounds keys and values to F16 as our cache does.
        kl_q8_0: Mean KL divergence in nats, with Q8_0 weights.
        same_bits: Whether prefill at once and token by token gave the same bits.
        same_greedy: Whether both chose the same continuation.
    """

    architecture: str
    oracle: str
    deviation: float
    error: float
    error_f16: float
    kl_q8_0: float
    same_bits: bool
    same_greedy: bool


def hf_logits(model: Any, tokens: list[int], *, f16_cache: bool = False) -> Logits:
    """Logits [T, V] of transformers, plainly or with keys and values that were rounded to F16."""
    import torch

    module = sys.modules[type(model).__module__]
    attend = module.eager_attention_forward

    def rounded(layer: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
        return attend(layer, q, k.half().float(), v.half().float(), *args, **kwargs)

    with (
        torch.no_grad(),
        mock.patch.object(module, "eager_attention_forward", rounded if f16_cache else attend),
    ):
        logits = model(torch.tensor([tokens]), use_cache=False).logits
    return np.array(logits[0].float().numpy())


def our_logits(model: gristmill.Model, context: int, tokens: list[int], step: int) -> Logits:
    """Logits [T, V] of ours, `step` tokens at a time."""
    session = model.session(context=context, all_logits=True)
    rows = []
    for start in range(0, len(tokens), step):
        session.append(tokens[start : start + step])
        rows.append(np.array(session.logits()))
    return np.concatenate(rows)


def _continued(logits: Any, tokens: list[int]) -> list[int]:
    """Greedily, with logits(tokens) of everything so far."""
    tokens = list(tokens)
    for _ in range(GREEDY):
        tokens.append(int(logits(tokens)[-1].argmax()))
    return tokens


def measure(name: str, folder: Path) -> Parity:
    """Converts a case into `folder` and compares."""
    case, model = CASES[name], tiny_model(name, folder)
    exact, blocks = (
        gristmill.Model.load(convert_folder(folder, kind), threads=1) for kind in ("f32", "q8_0")
    )
    theirs, rounded = (hf_logits(model, TOKENS, f16_cache=f16) for f16 in (False, True))
    ours, single = (our_logits(exact, case.context, TOKENS, step) for step in (COUNT, 1))
    return Parity(
        architecture=exact.report.architecture,
        oracle=case.model,
        deviation=float(theirs.std()),
        error=float(np.abs(ours - theirs).max()),
        error_f16=float(np.abs(ours - rounded).max()),
        kl_q8_0=kl_divergence(theirs, our_logits(blocks, case.context, TOKENS, COUNT)),
        same_bits=ours.tobytes() == single.tobytes(),
        same_greedy=_continued(lambda t: our_logits(exact, case.context, t, len(t)), TOKENS)
        == _continued(lambda t: hf_logits(model, t), TOKENS),
    )
