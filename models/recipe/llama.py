# SPDX-License-Identifier: MIT
"""The Llama architecture in plain PyTorch, with the conventions of GGUF files.

RoPE rotates neighbouring pairs (2i, 2i+1), so the Q and K weights are exported as they
are; the output head is the embedding matrix; nothing has a bias.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Config:
    """Shape of the model; every row length is a multiple of 256 for the block formats."""

    dim: int = 256
    layers: int = 8
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 768
    vocab: int = 4096
    context: int = 1024
    eps: float = 1e-5
    theta: float = 10000.0

    def to_dict(self) -> dict[str, Any]:
        """Plain form for checkpoints."""
        return asdict(self)


Cache = list[tuple[Tensor, Tensor]]


def rope_table(config: Config) -> tuple[Tensor, Tensor]:
    """Cosines and sines, one row per position and one column per pair."""
    head = config.dim // config.heads
    freq = config.theta ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
    angle = torch.outer(torch.arange(config.context, dtype=torch.float64), freq)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply RoPE to [batch, heads, time, head] in interleaved order."""
    pair = x.float().view(*x.shape[:-1], -1, 2)
    a, b = pair[..., 0], pair[..., 1]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).type_as(x)


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned scale, computed in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Block(nn.Module):
    """Attention with grouped keys and values, then SwiGLU."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.heads, self.kv_heads = c.heads, c.kv_heads
        kv_dim = c.dim // c.heads * c.kv_heads
        self.attn_norm = RMSNorm(c.dim, c.eps)
        self.attn_q = nn.Linear(c.dim, c.dim, bias=False)
        self.attn_k = nn.Linear(c.dim, kv_dim, bias=False)
        self.attn_v = nn.Linear(c.dim, kv_dim, bias=False)
        self.attn_output = nn.Linear(c.dim, c.dim, bias=False)
        self.ffn_norm = RMSNorm(c.dim, c.eps)
        self.ffn_gate = nn.Linear(c.dim, c.ffn, bias=False)
        self.ffn_up = nn.Linear(c.dim, c.ffn, bias=False)
        self.ffn_down = nn.Linear(c.ffn, c.dim, bias=False)

    def attend(
        self, x: Tensor, rope: tuple[Tensor, Tensor], past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Causal attention; with a past, x holds only the new positions."""
        q = self.attn_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k = self.attn_k(x).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)
        v = self.attn_v(x).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)
        q, k = rotate(q, *rope), rotate(k, *rope)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        group = self.heads // self.kv_heads
        wide_k, wide_v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = nn.functional.scaled_dot_product_attention(q, wide_k, wide_v, is_causal=past is None)
        return self.attn_output(y.transpose(1, 2).flatten(2)), (k, v)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, kept = self.attend(self.attn_norm(x), rope, past)
        x = x + y
        h = self.ffn_norm(x)
        return x + self.ffn_down(nn.functional.silu(self.ffn_gate(h)) * self.ffn_up(h)), kept


class Llama(nn.Module):
    """The whole model; the parameters have their GGUF names."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab, config.dim)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_norm = RMSNorm(config.dim, config.eps)
        cos, sin = rope_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Small random weights; what writes into the residual stream starts at zero."""
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for name, p in self.blk.named_parameters():
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(p)
            elif p.dim() == 2:
                nn.init.normal_(p, std=0.5 * p.shape[1] ** -0.5)

    def hidden(self, ids: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """Normed last hidden states, and keys and values for the next call."""
        start = cache[0][0].shape[2] if cache else 0
        assert not cache or ids.shape[1] == 1, "a cache takes one token at a time"
        rope = (self.cos[start : start + ids.shape[1]], self.sin[start : start + ids.shape[1]])
        x, kept = self.token_embd(ids), []
        for i, block in enumerate(self.blk):
            x, pair = block(x, rope, cache[i] if cache else None)
            kept.append(pair)
        return self.output_norm(x), kept

    def forward(self, ids: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """Logits for each position, and the cache."""
        x, kept = self.hidden(ids, cache)
        return nn.functional.linear(x, self.token_embd.weight), kept

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy; targets of -100 do not count."""
        x, _ = self.hidden(ids)
        logits = nn.functional.linear(x, self.token_embd.weight).float()
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-100
        )


def load(path: str) -> Llama:
    """Read a checkpoint written by pretrain.py or finetune.py."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = Llama(Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    return model.eval()


@torch.no_grad()
def generate(
    model: Llama,
    ids: list[int],
    count: int,
    *,
    temperature: float = 0.8,
    top_p: float = 0.95,
    stop: tuple[int, ...] = (2,),
    seed: int = 1,
) -> list[int]:
    """Sample up to count tokens after ids; temperature 0 takes the likeliest token."""
    rng = torch.Generator().manual_seed(seed)
    logits, cache = model(torch.tensor([ids]))
    out: list[int] = []
    for _ in range(min(count, model.config.context - len(ids))):
        row = logits[0, -1].float()
        if temperature <= 0:
            token = int(row.argmax())
        else:
            probs, order = torch.softmax(row / temperature, -1).sort(descending=True)
            probs[probs.cumsum(-1) - probs > top_p] = 0.0
            token = int(order[torch.multinomial(probs, 1, generator=rng)])
        if token in stop:
            break
        out.append(token)
        logits, cache = model(torch.tensor([[token]]), cache)
    return out
