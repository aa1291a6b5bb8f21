# SPDX-License-Identifier: MIT
"""A plan: the flat list of fused operations of one forward pass, as plain frozen records.

The records mirror csrc/plan/plan.h field by field; `Plan.to_dict` is what the core reads, and it
validates everything again. Ids are indices into `Plan.buffers`, `Plan.weights`, `Plan.ropes`,
`Plan.layers` and `Plan.states`; None is "none".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from gristmill.architectures.operations import (
    AddRows,
    Experts,
    Glu,
    LayerNorm,
    Linear,
    Logits,
    Op,
    Output,
    Quantize,
    RmsNorm,
    RopeStore,
    Route,
)
from gristmill.architectures.recurrent_plan import State

PLAN_VERSION = 2
PAGE_POSITIONS = 64  # positions of a KV page


@dataclass(frozen=True)
class Buffer:
    """A value: rows of `width` numbers, f32 or quantized activations, in memory slot `slot`."""

    kind: Literal["f32", "act"]
    rows: Literal["batch", "logits"]
    width: int
    slot: int


@dataclass(frozen=True)
class Weight:
    """A tensor of the file and the shape it must have (rows first).

    Or a slice of a fused matrix: rows from `first_row` on of the `of_rows` that the tensor has. Or
    matrices of `experts` one below the other, where the tensor has a dimension for them.
    """

    name: str
    shape: tuple[int, ...]
    first_row: int = 0
    of_rows: int = 0
    experts: int = 1

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """The shape of the whole tensor."""
        if self.experts > 1:
            return (self.experts, self.shape[0] // self.experts, self.shape[1])
        return (self.of_rows, *self.shape[1:]) if self.of_rows else self.shape

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of that shape can be read as this; one row may be a vector."""
        return self.tensor_shape in {shape, (1, *shape)}


@dataclass(frozen=True)
class Rope:
    """Angles: position * scale * scales[i] * freq_base^(-2i / n_rot) / factors[i], per pair i.

    Sessions of more than `long_from` positions take `long_factors`, if there are any. cos and sin
    are multiplied by `magnitude`, queries at position p also by 1 + query_slope * ln(1 + floor(p /
    query_length)).
    """

    freq_base: float
    n_rot: int
    scale: float = 1.0
    factors: int | None = None
    long_factors: int | None = None
    long_from: int = 0
    scales: tuple[float, ...] = ()
    magnitude: float = 1.0
    query_slope: float = 0.0
    query_length: int = 0


@dataclass(frozen=True)
class Kv:
    """What a layer keeps per position: a key and a value of head_dim numbers per KV head."""

    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class Plan:
    """Everything that the core needs to run a model, besides the weights themselves.

    Attributes:
        architecture: The name in the metadata.
        vocab_size: Tokens V.
        context: Positions the model was trained for, or the ones asked for.
        layers: KV geometry of the layers that attend.
        ops: In the order of execution.
        unused: Tensors of the file that the plan does not read.
        pooling: How the rows of a text become its embedding, a name of `pooling.POOLINGS`; empty:
            the plan gives logits.
        states: Of recurrent operations.
    """

    architecture: str
    vocab_size: int
    context: int
    layers: tuple[Kv, ...]
    buffers: tuple[Buffer, ...]
    weights: tuple[Weight, ...]
    ropes: tuple[Rope, ...]
    ops: tuple[Op, ...]
    unused: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    pooling: str = ""

    @property
    def types(self) -> int:
        """Types that tokens may have; 0: the model knows none."""
        tables = (op for op in self.ops if isinstance(op, AddRows) and op.index == "type")
        return min((self.weights[op.weight].shape[0] for op in tables), default=0)

    @property
    def output_width(self) -> int:
        """Values that a row of the session's output has: V, or those of an embedding."""
        last = self.ops[-1]
        return self.buffers[last.x].width if isinstance(last, Output) else self.vocab_size

    def to_dict(self) -> dict[str, Any]:
        """The form that `_core.Model` reads."""
        return {
            "version": PLAN_VERSION,
            "vocab_size": self.vocab_size,
            "layers": [dict(vars(layer)) for layer in self.layers],
            "states": [dict(vars(state)) for state in self.states],
            "buffers": [dict(vars(buffer)) for buffer in self.buffers],
            "weights": [dict(vars(weight)) for weight in self.weights],
            "ropes": [dict(vars(rope)) for rope in self.ropes],
            "ops": [{"op": op.op, **vars(op)} for op in self.ops],
        }

    @property
    def macs_per_token(self) -> int:
        """Multiply-accumulates of the linear layers per token, without the output layer."""
        total = 0
        for op in self.ops:
            if isinstance(op, Linear):
                total += sum(self._size(weight) for weight in op.weights)
            if isinstance(op, Experts):
                share = op.used / self.weights[op.weights[0]].experts
                total += round(share * sum(map(self._size, op.weights)))
        return total

    @property
    def macs_per_logits_row(self) -> int:
        """Multiply-accumulates of the output layer, per token whose logits are wanted."""
        return sum(self._size(op.weight) for op in self.ops if isinstance(op, Logits))

    @property
    def kv_bytes_per_position(self) -> int:
        """Bytes of f16 keys and values that one position takes over all layers."""
        return sum(2 * 2 * layer.kv_heads * layer.head_dim for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of the states of a sequence."""
        return sum(4 * state.values for state in self.states)

    def kv_bytes(self, context: int) -> int:
        """Bytes of the KV cache for `context` positions (whole pages)."""
        pages = -(-context // PAGE_POSITIONS)
        return pages * PAGE_POSITIONS * self.kv_bytes_per_position

    def describe(self) -> str:
        """A table of all operations with their shapes, for people."""
        head = (
            f"{self.architecture}: {len(self.layers)} layers, {len(self.ops)} operations, "
            f"{len(self.weights)} weights, vocabulary {self.vocab_size}, context {self.context}\n"
            f"{self.macs_per_token / 1e6:.1f} + {self.macs_per_logits_row / 1e6:.1f} million "
            f"multiply-accumulates per token (layers + logits), "
            f"{self.kv_bytes_per_position} bytes of KV cache per position, "
            f"{self.state_bytes} of recurrent state, "
            f"{len({buffer.slot for buffer in self.buffers})} memory slots"
        )
        width = max(len(op.op) for op in self.ops)
        lines = [f"{i:4d}  {op.op:<{width}}  {self._line(op)}" for i, op in enumerate(self.ops)]
        notes = [f"not read: {', '.join(self.unused)}"] if self.unused else []
        return "\n".join([head, "", *lines, *notes])

    def _size(self, weight: int) -> int:
        rows, k = self.weights[weight].shape
        return rows * k

    def _line(self, op: Op) -> str:
        """One operation: 'x0 [T, 512] -> a1 [T, 512] act; blk.0.attn_norm.weight [512]'."""
        reads, writes, rest = [], [], []
        for field in fields(op):
            value = getattr(op, field.name)
            items = value if isinstance(value, tuple) else (value,)
            if field.name in _WORK:
                continue
            if field.name in _BUFFER_READS or (field.name == "routes" and isinstance(op, Experts)):
                reads += [self._buffer(item) for item in items if item is not None]
            elif field.name in _BUFFER_WRITES or self._is_output(op, field.name):
                writes += [self._buffer(item) for item in items if item is not None]
            elif field.name in _WEIGHTS:
                rest += [self._weight(item) for item in items if item is not None]
            elif field.name == "act":
                reads.append(self._buffer(value))
            elif value not in (None, False, field.default):
                rest.append(
                    f"{field.name} {value:g}"
                    if isinstance(value, float)
                    else f"{field.name} {value}"
                )
        arrow = " += " if getattr(op, "accumulate", False) else " -> "
        if isinstance(op, Logits):
            writes = [f"logits [L, {self.vocab_size}]"]
        if isinstance(op, Output):
            writes = ["embedding"]
        if isinstance(op, RopeStore):
            writes = ["in place, cache"]
        left, right = ", ".join(reads or ["tokens [T]"]), ", ".join(writes)
        return f"{left}{arrow}{right}" + (f"; {', '.join(rest)}" if rest else "")

    @staticmethod
    def _is_output(op: Op, field: str) -> bool:
        made = isinstance(op, RmsNorm | LayerNorm | Quantize | Glu)
        return (field == "act" and made) or (field == "routes" and isinstance(op, Route))

    def _buffer(self, index: int) -> str:
        buffer = self.buffers[index]
        letter, rows = (
            ("a" if buffer.kind == "act" else "x"),
            "T" if buffer.rows == "batch" else "L",
        )
        return f"{letter}{index} [{rows}, {buffer.width}]"

    def _weight(self, index: int) -> str:
        weight = self.weights[index]
        rows = f" from row {weight.first_row}" if weight.of_rows else ""
        return f"{weight.name} {list(weight.shape)}{rows}"


_BUFFER_READS = {"x", "q", "k", "v", "gate", "up", "qkv", "alpha", "beta"}
_BUFFER_WRITES = {"out", "outs", "first", "second"}
_WEIGHTS = {"weight", "weights", "biases", "factors", "sinks", "bias", "rate", "shift"}
_WORK = {"pairs", "sorted", "gates", "ups", "hidden", "rows"}
