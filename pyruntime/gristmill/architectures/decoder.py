# SPDX-License-Identifier: MIT
"""What decoder-only transformers share: the usual keys, the usual block, the frame around it.

An architecture derives from Decoder, says in class attributes and `read` what it has, and overrides
what it does differently: `block`, `attention`, `feed_forward`, `rope`. Tensors are addressed by
their GGUF names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

from gristmill.architectures.graph import Graph
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.lower import lower
from gristmill.architectures.mixture import (
    Mixture,
    chosen_experts,
    read_mixture,
    shared_expert,
)
from gristmill.architectures.nodes import Heads, Routing, Value
from gristmill.architectures.operations import Activation
from gristmill.architectures.plan import Plan, Rope
from gristmill.architectures.pooling import Embedder
from gristmill.architectures.rope import read_rope
from gristmill.errors import UnsupportedError

MAX_LAYERS = 2048
MAX_WIDTH = 1 << 20
MAX_HEADS = 1 << 14
MAX_HEAD_DIM = 1 << 12
MAX_SHARING = 64  # query heads of one KV head
MAX_CONTEXT = 1 << 24
MAX_VOCABULARY = 1 << 26
MAX_SCALE = 1e6
ROPE_FACTORS = "rope_freqs"


class Tensor(Protocol):
    """An entry of the tensor table."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def type(self) -> str:
        """Such as "Q4_K"."""


class Source(Protocol):
    """The part of `gristmill.gguf.File` that a plan is built from."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Values by key."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Entries by name."""


@dataclass(frozen=True)
class Shape:
    """The usual hyperparameters, checked."""

    vocab_size: int
    context: int
    layers: int
    width: int
    ffn: int
    heads: Heads
    eps: float
    rope: Rope


def read_shape(
    source: Source,
    keys: Hyperparameters,
    eps_key: str,
    *,
    whole_pairs: bool = True,
    mixed: bool = False,
) -> Shape:
    """Reads and checks the usual keys; problems are collected in `keys`.

    With `mixed`, layers may have no KV heads.

    Raises:
        UnsupportedError: They describe something that has no operations here.
    """
    width = keys.count("embedding_length", most=MAX_WIDTH)
    heads = _read_heads(keys, width, mixed)
    n_rot = keys.count("rope.dimension_count", heads.head_dim, least=2, most=MAX_HEAD_DIM)
    if n_rot % 2 != 0 or n_rot > heads.head_dim:
        keys.refuse(
            f"{n_rot} rotated of {heads.head_dim} numbers of a head (an even part is needed)"
        )
    context = keys.count("context_length", most=1 << 31)
    return Shape(
        vocab_size=_vocab_size(source, keys),
        context=context,
        layers=keys.count("block_count", most=MAX_LAYERS),
        width=width,
        ffn=keys.count("feed_forward_length", most=MAX_WIDTH),
        heads=heads,
        eps=keys.real(f"attention.{eps_key}", above=0.0, most=1.0),
        rope=read_rope(keys, n_rot, context, whole_pairs=whole_pairs),
    )


def _read_heads(keys: Hyperparameters, width: int, mixed: bool) -> Heads:
    heads = keys.count("attention.head_count", most=MAX_HEADS)
    kv_heads = keys.count("attention.head_count_kv", heads, most=MAX_HEADS, gaps=mixed)
    if heads % kv_heads != 0 or heads // kv_heads > MAX_SHARING:
        keys.refuse(f"{heads} query heads over {kv_heads} KV heads")
    if not keys.given("attention.key_length") and width % heads != 0:
        keys.refuse(f"{width} numbers over {heads} heads")
    head_dim = keys.count("attention.key_length", max(width // heads, 1), most=MAX_HEAD_DIM)
    if keys.count("attention.value_length", head_dim, most=MAX_HEAD_DIM) != head_dim:
        raise UnsupportedError("[metadata] Keys and values must be of one length. Got two.")
    return Heads(heads, kv_heads, head_dim)


def _vocab_size(source: Source, keys: Hyperparameters) -> int:
    """Tokens of the tokenizer, else the key, else the rows of the embedding table."""
    if "tokenizer.ggml.tokens" in source.metadata:
        return len(source.metadata["tokenizer.ggml.tokens"])
    table = source.tensors.get("token_embd.weight")
    rows = table.shape[0] if table is not None and len(table.shape) == 2 else None
    return keys.count("vocab_size", rows, most=MAX_VOCABULARY)


class Decoder(Embedder):
    """Embedding, blocks, final norm, output layer (tied to the embedding if it has no tensor).

    Args:
        source: An open GGUF file.
        architecture: The name in its metadata.

    Attributes:
        neox: Whether rotary pairs are half a head apart; else they are neighbours.
        qk_norm: Norms of queries and keys before they are rotated: of each head, or of all at once.
        activation: Of the feed-forward layer's gate.
        ffn_norm: The norm before the feed-forward layer.
        fused_up: Whether ffn_up holds the gate's rows, then its own.
        mixed: Whether layers without KV heads are of another kind.
        window_period: One in so many layers, the last of each group, sees all positions while the
            others have the window; 0: all have it.
        usual_window: Where the file does not say; 0: none.
        bidirectional: Whether tokens see those after them, too.
        eps_key: Where the file has the epsilon of norms.
        whole_yarn_pairs: Whether YaRN's borders between fast and slow are rounded to pairs.
        usual_routing: Of a mixture of experts, where the file does not say.
    """

    neox: ClassVar[bool] = False
    qk_norm: ClassVar[Literal["none", "heads", "row"]] = "none"
    activation: ClassVar[Activation] = "silu"
    fused_up: ClassVar[bool] = False
    ffn_norm: ClassVar[str] = "ffn_norm"
    mixed: ClassVar[bool] = False
    window_period: ClassVar[int] = 0
    usual_window: ClassVar[int] = 0
    bidirectional: ClassVar[bool] = False
    eps_key: ClassVar[str] = "layer_norm_rms_epsilon"
    whole_yarn_pairs: ClassVar[bool] = True
    usual_routing: ClassVar[Routing] = Routing(1)

    embedding_scale = 1.0
    residual_scale = 1.0
    logit_scale = 1.0
    logit_cap = 0.0  # 0: none
    score_cap = 0.0
    score_scale: float | None = None  # None: 1 / sqrt(head_dim)

    def __init__(self, source: Source, architecture: str) -> None:
        self.source = source
        self.architecture = architecture
        keys = Hyperparameters(source.metadata, architecture)
        self.shape = read_shape(
            source, keys, self.eps_key, whole_pairs=self.whole_yarn_pairs, mixed=self.mixed
        )
        self.mixture = read_mixture(keys, self.shape.ffn, MAX_WIDTH, usual=self.usual_routing)
        mixture = self.mixture
        if mixture and not mixture.shared_ffn and self.has(f"blk.{mixture.first}.ffn_up_shexp"):
            keys.refuse("an expert of all tokens whose length is not given")
        self.windows = self.read_windows(keys)
        if keys.given("attention.scale"):
            self.score_scale = keys.real("attention.scale", above=0.0, most=MAX_SCALE)
        self.read(keys)
        keys.finish()

    def read(self, keys: Hyperparameters) -> None:
        """Reads the keys that only this architecture has."""

    def read_windows(self, keys: Hyperparameters) -> tuple[int, ...]:
        """Positions that each layer sees; 0: all."""
        key = "attention.sliding_window"
        window = keys.count(key, self.usual_window, least=0, most=1 << 31)
        pattern = keys.pattern(f"{key}_pattern", self.shape.layers, self.window_period)
        return tuple(window if windowed else 0 for windowed in pattern)

    # -- one block
    def block(self, g: Graph, x: Value, i: int) -> Value:
        """Appends block i; x and the result are [T, width]."""
        x = g.add(x, self.attention(g, g.rms_norm(x, f"blk.{i}.attn_norm"), i))
        h = g.rms_norm(x, f"blk.{i}.{self.ffn_norm}")
        x = g.add(x, self.feed_forward(g, h, i))
        mixture = self.mixture_of(i)
        if mixture is None or mixture.shared_ffn == 0:
            return x
        shared = shared_expert(
            g,
            mixture,
            h,
            i,
            activation=self.activation,
            scale=self.residual_scale,
            has=self.has,
        )
        return g.add(x, shared)

    def attention(self, g: Graph, h: Value, i: int) -> Value:
        """Grouped-query attention and its output layer."""
        a = self.attend(g, *self.queries_keys_values(g, h, i), i)
        (out,) = g.linear(a, f"blk.{i}.attn_output", scale=self.residual_scale)
        return out

    def attend(self, g: Graph, q: Value, k: Value, v: Value, i: int) -> Value:
        """What the queries find, with the rotary embedding of layer i."""
        rope = self.rope(g, i)
        if rope is not None:
            q, k = g.rope(q, k, rope, neox=self.neox)
        return g.attention(
            q,
            k,
            v,
            layer=i,
            heads=self.shape.heads,
            scale=self.score_scale,
            window=self.windows[i],
            softcap=self.score_cap,
            bidirectional=self.bidirectional,
            sinks=f"blk.{i}.attn_sinks" if self.has(f"blk.{i}.attn_sinks") else "",
        )

    def queries_keys_values(self, g: Graph, h: Value, i: int) -> tuple[Value, Value, Value]:
        """From one fused matrix if the file has it, else from three; normed, not yet rotated."""
        heads, rows = self.shape.heads, self.rows()
        names = ("attn_q", "attn_k", "attn_v")
        if self.has(f"blk.{i}.attn_qkv"):
            q, k, v = g.split(h, f"blk.{i}.attn_qkv", *(rows[name] for name in names))
        else:
            q, k, v = g.linear(h, *(f"blk.{i}.{name}" for name in names))
        if self.qk_norm != "none":
            parts = (heads.heads, heads.kv_heads) if self.qk_norm == "heads" else (1, 1)
            q = g.rms_norm(q, f"blk.{i}.attn_q_norm", heads=parts[0])
            k = g.rms_norm(k, f"blk.{i}.attn_k_norm", heads=parts[1])
        return q, k, v

    def feed_forward(self, g: Graph, h: Value, i: int) -> Value:
        """The gated feed-forward layer, or the chosen experts of a mixture."""
        mixture = self.mixture_of(i)
        if mixture is not None:
            return chosen_experts(
                g, mixture, h, i, activation=self.activation, scale=self.residual_scale
            )
        if self.fused_up:
            gate, up = g.split(h, f"blk.{i}.ffn_up", self.shape.ffn, self.shape.ffn)
        else:
            gate, up = g.linear(h, f"blk.{i}.ffn_gate", f"blk.{i}.ffn_up")
        a = g.glu(gate, up, self.activation)
        (out,) = g.linear(a, f"blk.{i}.ffn_down", scale=self.residual_scale)
        return out

    def rope(self, g: Graph, i: int) -> Rope | None:
        """The rotary embedding of layer i, with the file's factors if it has them; None: none."""
        rope = self.shape.rope
        if not self.has(ROPE_FACTORS):
            return rope
        return replace(rope, factors=g.vector(ROPE_FACTORS, rope.n_rot // 2))

    # -- the frame
    def build(self, context: int | None = None, pooling: str = "") -> Plan:
        """The plan, not yet compared with the file's tensors.

        Args:
            context: Positions that will be used; None: as trained.
            pooling: For embeddings, a name of `pooling.POOLINGS`; empty: for logits.
        """
        shape = self.shape
        rows = self.rows() | self.head_rows()
        g = Graph(rows=rows, eps=shape.eps, tensors=self.source.tensors)
        x = self.embed(g)
        for i in range(shape.layers):
            x = self.block(g, x, i)
        if pooling:
            self.finish_embedding(g, x, pooling)
        else:
            self.finish_logits(g, x)
        return lower(
            g,
            architecture=self.architecture,
            vocab_size=shape.vocab_size,
            context=self.context if context is None else context,
            pooling=pooling,
        )

    def embed(self, g: Graph) -> Value:
        """What the first block reads."""
        return g.embed(
            "token_embd",
            vocab_size=self.shape.vocab_size,
            width=self.shape.width,
            scale=self.embedding_scale,
        )

    def final_norm(self, g: Graph, x: Value) -> Value:
        """What the output layer, or the pooling, reads of the last block."""
        return g.rms_norm(x, "output_norm")

    def finish_logits(self, g: Graph, x: Value) -> None:
        """The output layer."""
        g.logits(
            self.final_norm(g, g.select_rows(x)),
            "output" if self.has("output") else "token_embd",
            vocab_size=self.shape.vocab_size,
            scale=self.logit_scale,
            softcap=self.logit_cap,
        )

    @property
    def context(self) -> int:
        """Positions that the model was trained for."""
        return self.shape.context

    def rows(self) -> dict[str, int]:
        """Rows of the linear weights by role."""
        shape, heads = self.shape, self.shape.heads
        return {
            "attn_q": heads.heads * heads.head_dim,
            "attn_k": heads.kv_heads * heads.head_dim,
            "attn_v": heads.kv_heads * heads.head_dim,
            "attn_output": shape.width,
            "ffn_gate": shape.ffn,
            "ffn_up": shape.ffn,
            "ffn_down": shape.width,
            "ffn_down_shexp": shape.width,
            **({} if self.mixture is None else self.mixture.rows),
        }

    def mixture_of(self, i: int) -> Mixture | None:
        """The mixture of layer i, if it has one."""
        return self.mixture if self.mixture is not None and i >= self.mixture.first else None

    def has(self, name: str) -> bool:
        """Whether the file has the tensor `name`.weight."""
        return f"{name}.weight" in self.source.tensors


class SandwichDecoder(Decoder):
    """Each half has a norm before it, and goes through another one before it is added."""

    def block(self, g: Graph, x: Value, i: int) -> Value:
        """The same halves as always."""
        h = self.attention(g, g.rms_norm(x, f"blk.{i}.attn_norm"), i)
        x = g.add(x, g.rms_norm(h, f"blk.{i}.post_attention_norm"))
        h = self.feed_forward(g, g.rms_norm(x, f"blk.{i}.ffn_norm"), i)
        return g.add(x, g.rms_norm(h, f"blk.{i}.post_ffw_norm"))
