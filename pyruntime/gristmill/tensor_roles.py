# SPDX-License-Identifier: MIT
"""What a tensor is for, by its name: who may quantize it."""

from __future__ import annotations

CONVOLUTIONS = ("conv", "ssm_conv1d")
_PLAIN = (
    "ffn_gate_inp", "ffn_gate_inp_shexp", "position_embd", "token_types", "rope_freqs",
    *CONVOLUTIONS,
)  # fmt: skip


def role_of(name: str) -> str:
    """The last part of a tensor's name without the suffix."""
    return name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2]


def is_plain(name: str) -> bool:
    """Whether a tensor stays F32 whatever its shape: norms, routers, positions, convolutions and
    the biases of experts are no matrices of a linear layer."""
    role = role_of(name)
    return role.endswith("_norm") or role in _PLAIN or name.endswith("_exps.bias")
