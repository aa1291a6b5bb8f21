# SPDX-License-Identifier: MIT
"""From the builder's nodes to the plan's operations.

Fusions: a norm or GLU writes quantized activations directly when only linear layers read it; a
linear layer or a norm whose only reader is a residual add accumulates in place; rope and the cache
store are one operation. Then every buffer gets a memory slot: buffers that are never alive together
share.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gristmill.architectures.graph import Graph
from gristmill.architectures.nodes import (
    AddNode,
    AddRowsNode,
    AttentionNode,
    EmbedNode,
    ExpertsNode,
    GluNode,
    LayerNormNode,
    LinearNode,
    LogitsNode,
    Node,
    NormNode,
    OutputNode,
    RopeNode,
    RouteNode,
    Rows,
    SelectNode,
    Value,
)
from gristmill.architectures.operations import (
    AddRows,
    Attention,
    Embed,
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
    SelectRows,
)
from gristmill.architectures.plan import Buffer, Plan
from gristmill.architectures.recurrent import (
    DeltaRuleNode,
    ShortConvNode,
    SplitHeadsNode,
    lowered,
)
from gristmill.errors import UnsupportedError

_ACT_BYTES = 1.25  # per value, roughly: int8 with scales and sums


@dataclass
class _Draft:
    """A buffer before it has a slot, with the operations that define it and use it last."""

    kind: str
    width: int
    rows: Rows
    first: int = -1
    last: int = -1

    @property
    def weight(self) -> float:
        """Bytes of a row, roughly; rows of logits are few."""
        return self.width * (4.0 if self.kind == "f32" else _ACT_BYTES)


@dataclass
class _Lowering:
    graph: Graph
    ops: list[Op] = field(default_factory=list)
    drafts: list[_Draft] = field(default_factory=list)
    f32: dict[int, int] = field(default_factory=dict)  # value -> buffer
    act: dict[int, int] = field(default_factory=dict)
    rotated: dict[int, RopeNode] = field(default_factory=dict)  # output value -> node
    fused: dict[int, int] = field(default_factory=dict)  # value added in place -> buffer of x

    def __post_init__(self) -> None:
        # Layers that attend are numbered without a gap.
        self.caches = {layer: n for n, layer in enumerate(sorted(self.graph.layers))}
        self.readers: dict[int, list[int]] = {}
        for i, node in enumerate(self.graph.nodes):
            for value in node.inputs:
                self.readers.setdefault(value.id, []).append(i)

    def run(self) -> None:
        for i, node in enumerate(self.graph.nodes):
            match node:
                case EmbedNode():
                    self.ops.append(Embed(node.weight, self.new_f32(node.outputs[0]), node.scale))
                case AddRowsNode():
                    self.add_rows(node)
                case NormNode() | LayerNormNode():
                    self.norm(node, i)
                case LinearNode():
                    self.linear(node, i)
                case RopeNode():
                    self.rope(node)
                case AttentionNode():
                    self.attention(node)
                case GluNode():
                    gate, *up = map(self.number, node.inputs)
                    act = self.new_act(node.outputs[0])
                    self.ops.append(Glu(gate, up[0] if up else None, act, node.activation))
                case RouteNode():
                    self.route(node)
                case ExpertsNode():
                    self.experts(node, i)
                case ShortConvNode() | DeltaRuleNode() | SplitHeadsNode():
                    self.ops.append(lowered(node, self))
                case AddNode():
                    self.add(node)
                case SelectNode():
                    x = self.number(node.inputs[0])
                    self.ops.append(SelectRows(x, self.new_f32(node.outputs[0]), node.pool))
                case OutputNode():
                    self.ops.append(Output(self.number(node.inputs[0])))
                case LogitsNode():
                    act = self.activations(node.inputs[0])
                    self.ops.append(Logits(act, node.weight, node.scale, node.softcap))

    # -- buffers
    def new(self, kind: str, value: Value) -> int:
        self.drafts.append(_Draft(kind, value.width, value.rows))
        return len(self.drafts) - 1

    def work(self, kind: str, width: int) -> int:
        self.drafts.append(_Draft(kind, width, "batch"))
        return len(self.drafts) - 1

    def new_f32(self, value: Value) -> int:
        self.f32[value.id] = self.new("f32", value)
        return self.f32[value.id]

    def new_act(self, value: Value) -> int:
        self.act[value.id] = self.new("act", value)
        return self.act[value.id]

    def number(self, value: Value) -> int:
        """The f32 buffer of a value."""
        if value.id not in self.f32:
            raise UnsupportedError("[graph] Only linear layers can read this value.")
        return self.f32[value.id]

    def activations(self, value: Value) -> int:
        """The quantized buffer of a value, made here if there is none yet."""
        if value.id not in self.act:
            source = self.number(value)
            self.ops.append(Quantize(source, self.new_act(value)))
        return self.act[value.id]

    def read_by(self, value: Value, *kinds: type[Node]) -> tuple[bool, bool]:
        """Whether nodes of these kinds read the value, and whether others do."""
        matches = [isinstance(self.graph.nodes[i], kinds) for i in self.readers.get(value.id, [])]
        return any(matches), not all(matches)

    def only_reader(self, value: Value) -> Node | None:
        readers = self.readers.get(value.id, [])
        return self.graph.nodes[readers[0]] if len(readers) == 1 else None

    # -- nodes
    def add_rows(self, node: AddRowsNode) -> None:
        (x,), (out,) = node.inputs, node.outputs
        if self.only_reader(x) is not node:
            raise UnsupportedError("[graph] What rows are added to is read by nothing else.")
        self.f32[out.id] = self.number(x)
        self.ops.append(AddRows(node.weight, self.f32[out.id], node.index))

    def norm(self, node: NormNode | LayerNormNode, index: int) -> None:
        (x,), (out,) = node.inputs, node.outputs
        source, target = self.number(x), self.residual_target(node, index)
        if isinstance(node, NormNode) and target not in (None, source):
            self.fused[out.id] = target
            self.ops.append(RmsNorm(source, node.weight, node.eps, None, target, node.heads, True))
            return
        linear, others = self.read_by(out, LinearNode, ExpertsNode, LogitsNode)
        act = self.new_act(out) if linear else None
        plain = self.new_f32(out) if others or not linear else None
        if isinstance(node, LayerNormNode):
            self.ops.append(LayerNorm(source, node.weight, node.bias, node.eps, act, plain))
            return
        self.ops.append(RmsNorm(source, node.weight, node.eps, act, plain, node.heads))

    def linear(self, node: LinearNode, index: int) -> None:
        act = self.activations(node.inputs[0])
        target = self.residual_target(node, index)
        if target is not None:
            self.fused[node.outputs[0].id] = target
            self.ops.append(Linear(act, node.weights, (target,), True, *node.details))
            return
        outs = tuple(self.new_f32(value) for value in node.outputs)
        self.ops.append(Linear(act, node.weights, outs, False, *node.details))

    def residual_target(self, node: Node, index: int) -> int | None:
        """The buffer of x where the node's output is only added to x, and x is then dead."""
        if len(node.outputs) != 1:
            return None
        add = self.only_reader(node.outputs[0])
        if not isinstance(add, AddNode):
            return None
        x = add.inputs[0] if add.inputs[1] is node.outputs[0] else add.inputs[1]
        later = [i for i in self.readers[x.id] if i > index]
        if len(later) != 1 or x.id not in self.f32:
            return None
        return self.f32[x.id]

    def route(self, node: RouteNode) -> None:
        scores, how = self.number(node.inputs[0]), node.routing
        routes = self.new_f32(node.outputs[0])
        self.ops.append(
            Route(scores, routes, node.bias, how.used, how.gating, how.normalise, how.scale)
        )

    def experts(self, node: ExpertsNode, index: int) -> None:
        (x, routes), (out,) = node.inputs, node.outputs
        act, used = self.activations(x), routes.width // 2
        target = self.residual_target(node, index)
        if target is not None:
            self.fused[out.id] = target
        self.ops.append(
            Experts(
                act,
                self.number(routes),
                self.new_f32(out) if target is None else target,
                node.weights,
                node.biases,
                used,
                node.activation,
                target is not None,
                pairs=self.work("f32", 2 * (used + node.count + 1)),
                sorted=self.work("act", used * x.width),
                gates=self.work("f32", used * _spread(node.ffn)),
                ups=self.work("f32", used * _spread(node.ffn)),
                hidden=self.work("act", used * node.ffn),
                rows=self.work("f32", used * _spread(x.width)),
            )
        )

    def add(self, node: AddNode) -> None:
        for value in node.inputs:
            if value.id in self.fused:
                self.f32[node.outputs[0].id] = self.fused[value.id]
                return
        raise UnsupportedError(
            "[graph] A sum needs a term that a linear layer or a norm makes for it alone, and "
            "another that nothing reads afterwards."
        )

    def rope(self, node: RopeNode) -> None:
        for before, after in zip(node.inputs, node.outputs, strict=True):
            if self.only_reader(before) is not node:
                raise UnsupportedError("[graph] Values that are rotated are read by nothing else.")
            self.f32[after.id] = self.number(before)
            self.rotated[after.id] = node

    def attention(self, node: AttentionNode) -> None:
        q, k, v = node.inputs
        rope = self.rotated.get(q.id)
        if self.rotated.get(k.id) is not rope or any(
            self.only_reader(value) is not node for value in (q, k)
        ):
            raise UnsupportedError("[graph] q and k are rotated together, for one attention.")
        heads, cache = node.heads.heads, self.caches[node.layer]
        buffers = (self.number(q), self.number(k), self.number(v))
        table = None if rope is None else rope.rope
        neox = rope is not None and rope.neox
        self.ops.append(RopeStore(*buffers, cache, heads, table, neox))
        out = self.new_f32(node.outputs[0])
        self.ops.append(
            Attention(
                buffers[0],
                out,
                cache,
                heads,
                node.scale,
                node.window,
                node.softcap,
                node.bidirectional,
                node.sinks,
            )
        )

    # -- memory
    def buffers(self) -> tuple[Buffer, ...]:
        for i, op in enumerate(self.ops):
            for buffer in _buffers_of(op):
                draft = self.drafts[buffer]
                draft.first = i if draft.first < 0 else draft.first
                draft.last = i
        slots = _assign_slots(self.drafts)
        return tuple(
            Buffer("f32" if d.kind == "f32" else "act", d.rows, d.width, slot)
            for d, slot in zip(self.drafts, slots, strict=True)
        )


_BUFFER_FIELDS = (
    "x", "act", "out", "outs", "q", "k", "v", "gate", "up", "routes", "pairs", "sorted", "gates",
    "ups", "hidden", "rows", "qkv", "alpha", "beta", "first", "second",
)  # fmt: skip


def _spread(width: int) -> int:
    """Rows of a multiple of 2 KiB would meet in a few sets of the L1 cache."""
    return width + 16 if width % 512 == 0 else width


def _buffers_of(op: Op) -> list[int]:
    """Every buffer that an operation touches."""
    found: list[int] = []
    for name in _BUFFER_FIELDS:
        value = getattr(op, name, None)
        found += value if isinstance(value, tuple) else [] if value is None else [value]
    return found


def _assign_slots(drafts: list[_Draft]) -> list[int]:
    """First fit in the order of definition: the smallest free slot that is large enough."""
    sizes: list[float] = []
    free_after: list[int] = []  # operation that uses the slot last
    slots = [0] * len(drafts)
    for i in sorted(range(len(drafts)), key=lambda i: drafts[i].first):
        draft = drafts[i]
        free = [s for s, last in enumerate(free_after) if last < draft.first]
        fitting = [s for s in free if sizes[s] >= draft.weight]
        if fitting:
            slot = min(fitting, key=lambda s: sizes[s])
        elif free:
            slot = max(free, key=lambda s: sizes[s])
        else:
            slot = len(sizes)
            sizes.append(0.0)
            free_after.append(-1)
        sizes[slot] = max(sizes[slot], draft.weight)
        free_after[slot] = draft.last
        slots[i] = slot
    return slots


def lower(
    graph: Graph, *, architecture: str, vocab_size: int, context: int, pooling: str = ""
) -> Plan:
    """The plan of a finished graph.

    Raises:
        UnsupportedError: The graph asks for a combination that has no fused operation.
    """
    lowering = _Lowering(graph)
    lowering.run()
    return Plan(
        architecture=architecture,
        vocab_size=vocab_size,
        context=context,
        layers=tuple(graph.layers[i] for i in sorted(graph.layers)),
        states=tuple(graph.states),
        buffers=lowering.buffers(),
        weights=tuple(graph.weights),
        ropes=tuple(graph.ropes),
        ops=tuple(lowering.ops),
        pooling=pooling,
    )
