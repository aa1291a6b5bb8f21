# SPDX-License-Identifier: MIT
"""Muon for the matrices, AdamW for embeddings and norms.

Muon (Keller Jordan and others, 2024) replaces each momentum matrix by the nearest
orthogonal one before the step. It learns more from each token than AdamW, which counts
when the text is short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration on a stack of matrices [n, rows, cols], in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    y: Tensor = x.mT if tall else x
    return y


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized; matrices of one shape are treated as one stack."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Apply one update."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                by_shape[p.shape].append(p)
            for params in by_shape.values():
                self.update(params, group)

    def update(self, params: list[Tensor], group: dict[str, float]) -> None:
        """Update all matrices of one shape."""
        momentum, looks = group["momentum"], []
        for p in params:
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            assert p.grad is not None
            state["momentum"].lerp_(p.grad, 1 - momentum)
            looks.append(p.grad.lerp(state["momentum"], momentum))
        rows, cols = params[0].shape
        scale = max(1.0, rows / cols) ** 0.5
        for p, u in zip(params, orthogonalize(torch.stack(looks)), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(u.to(p.dtype), alpha=-group["lr"] * scale)


def optimizers(
    model: nn.Module, muon_lr: float, adam_lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Split the parameters of a Llama between the two optimizers."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "blk." in n]
    norms = [p for p in model.parameters() if p.dim() == 1]
    embedding = [p for n, p in model.named_parameters() if "token_embd" in n]
    adam = torch.optim.AdamW(
        [{"params": embedding, "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}],
        lr=adam_lr,
        betas=(0.9, 0.95),
        fused=True,
    )
    return [Muon(matrices, muon_lr, 0.95, weight_decay), adam]
