# SPDX-License-Identifier: MIT
"""The operations of a plan, as plain frozen records.

They mirror csrc/plan/plan.h field by field. Ids are indices into `Plan.buffers`, `Plan.weights`,
`Plan.ropes`, `Plan.layers` and `Plan.states`; None is "none".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from gristmill.architectures.recurrent_plan import DeltaRule, ShortConv, SplitHeads

Activation = Literal["silu", "gelu_tanh", "gelu", "tanh", "swiglu_oai", "sigmoid", "none"]
Pool = Literal["last", "first", "mean"]
Gating = Literal["softmax", "sigmoid", "chosen_softmax"]


@dataclass(frozen=True)
class Embed:
    """out = scale * the weight's rows of the tokens."""

    op: ClassVar[str] = "embed"
    weight: int
    out: int
    scale: float = 1.0


@dataclass(frozen=True)
class AddRows:
    """out += the weight's rows of the tokens' positions or types."""

    op: ClassVar[str] = "add_rows"
    accumulate: ClassVar[bool] = True
    weight: int
    out: int
    index: Literal["position", "type"]


@dataclass(frozen=True)
class LayerNorm:
    """(x - mean) / sqrt(variance + eps) * weight + bias, as activations, as f32, or both."""

    op: ClassVar[str] = "layer_norm"
    x: int
    weight: int
    bias: int | None
    eps: float
    act: int | None
    out: int | None


@dataclass(frozen=True)
class RmsNorm:
    """x / rms(x) * weight of each head, as activations, as f32, or both; or added to out."""

    op: ClassVar[str] = "rms_norm"
    x: int
    weight: int
    eps: float
    act: int | None
    out: int | None
    heads: int = 1
    accumulate: bool = False


@dataclass(frozen=True)
class Quantize:
    """act = x as activations."""

    op: ClassVar[str] = "quantize"
    x: int
    act: int


@dataclass(frozen=True)
class Linear:
    """outs[i] (+)= scale * factors[i] * (weights[i] act + biases[i]), in one parallel region."""

    op: ClassVar[str] = "linear"
    act: int
    weights: tuple[int, ...]
    outs: tuple[int, ...]
    accumulate: bool
    biases: tuple[int | None, ...] = ()
    scale: float = 1.0
    factors: tuple[int | None, ...] = ()  # of whole matrices: vectors of one number


@dataclass(frozen=True)
class RopeStore:
    """Rotates q and k in place and stores k and v in the layer's cache."""

    op: ClassVar[str] = "rope_store"
    q: int
    k: int
    v: int
    layer: int
    heads: int
    rope: int | None
    neox: bool


@dataclass(frozen=True)
class Attention:
    """out = attention of q over the layer's cache (window 0: all; softcap 0: none).

    Causal, or bidirectional over the batch, where a token sees those up to window / 2 away.
    Sinks are scores, one per head, that take a share of the weights and add no value.
    """

    op: ClassVar[str] = "attention"
    q: int
    out: int
    layer: int
    heads: int
    scale: float
    window: int
    softcap: float = 0.0
    bidirectional: bool = False
    sinks: int | None = None


@dataclass(frozen=True)
class Glu:
    """act = activation(gate) * up, or activation(gate)."""

    op: ClassVar[str] = "glu"
    gate: int
    up: int | None
    act: int
    activation: Activation = "silu"


@dataclass(frozen=True)
class Route:
    """routes = ids of the best `used` of the scores x (with the bias), then their shares.

    Shares are made of the scores by `gating`, divided by their sum with `normalise`, and scaled.
    """

    op: ClassVar[str] = "route"
    x: int
    routes: int
    bias: int | None
    used: int
    gating: Gating
    normalise: bool
    scale: float


@dataclass(frozen=True)
class Experts:
    """out (+)= share * down(activation(gate x) * up x), summed over the chosen experts.

    The last six are work space, where tokens are sorted by expert.
    """

    op: ClassVar[str] = "experts"
    act: int
    routes: int
    out: int
    weights: tuple[int, ...]
    biases: tuple[int | None, ...]
    used: int
    activation: Activation
    accumulate: bool
    pairs: int
    sorted: int
    gates: int
    ups: int
    hidden: int
    rows: int


@dataclass(frozen=True)
class SelectRows:
    """out = the rows whose logits are wanted: the last ones, or one for the whole batch."""

    op: ClassVar[str] = "select_rows"
    x: int
    out: int
    pool: Pool = "last"


@dataclass(frozen=True)
class Logits:
    """The session's logits = scale * weight act, then softcap * tanh(x / softcap)."""

    op: ClassVar[str] = "logits"
    act: int
    weight: int
    scale: float = 1.0
    softcap: float = 0.0


@dataclass(frozen=True)
class Output:
    """What the session gives instead of logits: x."""

    op: ClassVar[str] = "output"
    x: int


Op = (
    Embed
    | AddRows
    | RmsNorm
    | LayerNorm
    | Quantize
    | Linear
    | RopeStore
    | Attention
    | Glu
    | Route
    | Experts
    | ShortConv
    | DeltaRule
    | SplitHeads
    | SelectRows
    | Logits
    | Output
)
