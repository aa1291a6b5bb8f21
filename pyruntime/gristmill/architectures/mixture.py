# SPDX-License-Identifier: MIT
"""Mixtures of experts: their keys, and the feed-forward layer that they make.

A router scores the experts of a layer, a token uses the best of them; some models add an expert
that every token uses, as it is or times the sigmoid of a score of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.nodes import Routing, Value
from gristmill.architectures.operations import Activation, Gating

MAX_EXPERTS = 1 << 12
MAX_USED = 128  # experts of a token
_GATING: tuple[Gating, ...] = ("softmax", "sigmoid", "chosen_softmax")  # from 1 on in the file
_ALONE = Routing(1, "sigmoid", normalise=False)


@dataclass(frozen=True)
class Mixture:
    """Of the layers from `first` on.

    Attributes:
        count: Experts of a layer.
        ffn: Rows of an expert's gate.
        shared_ffn: Rows of the gate of the one that all tokens use; 0: there is none.
        first: Layers before it are dense.
        routing: How a token chooses.
    """

    count: int
    ffn: int
    shared_ffn: int
    first: int
    routing: Routing

    @property
    def rows(self) -> dict[str, int]:
        """Rows of the linear weights by role."""
        return {
            "ffn_gate_inp": self.count,
            "ffn_gate_inp_shexp": 1,
            "ffn_gate_shexp": self.shared_ffn,
            "ffn_up_shexp": self.shared_ffn,
        }


def read_mixture(
    keys: Hyperparameters, ffn: int, most_ffn: int, *, usual: Routing
) -> Mixture | None:
    """The mixture of a file, or None if its layers are dense.

    Args:
        keys: Problems are collected there.
        ffn: Of dense layers: what experts have where the file does not say.
        most_ffn: The largest that makes sense.
        usual: What the architecture does where the file does not say; `used` is always said.
    """
    count = keys.count("expert_count", 0, least=0, most=MAX_EXPERTS)
    if count == 0:
        return None
    expert_ffn = keys.count("expert_feed_forward_length", ffn, most=most_ffn)
    shared = keys.count("expert_shared_count", 0, least=0, most=MAX_EXPERTS)
    gating = keys.count("expert_gating_func", 1 + _GATING.index(usual.gating), most=len(_GATING))
    return Mixture(
        count,
        expert_ffn,
        keys.count(
            "expert_shared_feed_forward_length", shared * expert_ffn, least=0, most=most_ffn
        ),
        keys.count("leading_dense_block_count", 0, least=0, most=1 << 16),
        Routing(
            keys.count("expert_used_count", most=min(count, MAX_USED)),
            _GATING[gating - 1],
            keys.flag("expert_weights_norm", usual.normalise),
            keys.real("expert_weights_scale", 1.0, above=0.0, most=1e6),
        ),
    )


def chosen_experts(
    g: Graph, mixture: Mixture, h: Value, i: int, *, activation: Activation, scale: float
) -> Value:
    """`scale` times what the chosen experts of layer i make of h."""
    (scores,) = g.linear(h, f"blk.{i}.ffn_gate_inp")
    routing = replace(mixture.routing, scale=mixture.routing.scale * scale)
    return g.experts(
        h,
        g.route(scores, routing, f"blk.{i}.exp_probs_b"),
        *(f"blk.{i}.ffn_{part}_exps" for part in ("gate", "up", "down")),
        count=mixture.count,
        ffn=mixture.ffn,
        activation=activation,
    )


def shared_expert(
    g: Graph,
    mixture: Mixture,
    h: Value,
    i: int,
    *,
    activation: Activation,
    scale: float,
    has: Callable[[str], bool],
) -> Value:
    """`scale` times what the expert of all tokens makes of h."""
    gate_name, up_name, down_name = (f"blk.{i}.ffn_{part}_shexp" for part in ("gate", "up", "down"))
    if has(f"blk.{i}.ffn_gate_inp_shexp"):  # a mixture of one
        (score,) = g.linear(h, f"blk.{i}.ffn_gate_inp_shexp")
        routes = g.route(score, replace(_ALONE, scale=scale))
        return g.experts(
            h, routes, gate_name, up_name, down_name,
            count=1, ffn=mixture.shared_ffn, activation=activation,
        )  # fmt: skip
    gate, up = g.linear(h, gate_name, up_name)
    (out,) = g.linear(g.glu(gate, up, activation), down_name, scale=scale)
    return out
