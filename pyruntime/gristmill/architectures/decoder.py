# SPDX-License-Identifier: MIT
"""What decoder-only transformers share: reading the usual keys, the frame around the blocks.

An architecture derives from Decoder and writes `block`; where it differs in the frame, it overrides
`build`. Tensors are addressed by their GGUF names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gristmill.architectures.graph import Graph, Heads, Value
from gristmill.architectures.hyperparameters import Hyperparameters
from gristmill.architectures.lower import lower
from gristmill.architectures.plan import Plan, Rope
from gristmill.errors import UnsupportedError

MAX_LAYERS = 2048
MAX_WIDTH = 1 << 20
MAX_HEADS = 1 << 14
MAX_HEAD_DIM = 1 << 12
MAX_SHARING = 64  # query heads of one KV head
MAX_CONTEXT = 1 << 24
MAX_VOCABULARY = 1 << 26
MAX_BASE = 1e15
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
    n_rot: int
    freq_base: float
    rope_scale: float
    window: int


def read_shape(source: Source, architecture: str) -> Shape:
    """Reads and checks the usual keys.

    Raises:
        FormatError: Keys are missing or absurd; all are listed.
        UnsupportedError: They describe something that has no operations here.
    """
    keys = Hyperparameters(source.metadata, architecture)
    if keys.count("expert_count", 0, least=0, most=1 << 20) > 0:
        raise UnsupportedError(
            "[metadata] The feed-forward layer must be dense. Got experts (MoE)."
        )
    width = keys.count("embedding_length", most=MAX_WIDTH)
    heads = keys.count("attention.head_count", most=MAX_HEADS)
    kv_heads = keys.count("attention.head_count_kv", heads, most=MAX_HEADS)
    if heads % kv_heads != 0 or heads // kv_heads > MAX_SHARING:
        keys.refuse(f"{heads} query heads over {kv_heads} KV heads")
    if not keys.given("attention.key_length") and width % heads != 0:
        keys.refuse(f"{width} numbers over {heads} heads")
    head_dim = keys.count("attention.key_length", max(width // heads, 1), most=MAX_HEAD_DIM)
    if keys.count("attention.value_length", head_dim, most=MAX_HEAD_DIM) != head_dim:
        raise UnsupportedError("[metadata] Keys and values must be of one length. Got two.")
    n_rot = keys.count("rope.dimension_count", head_dim, least=2, most=MAX_HEAD_DIM)
    if n_rot % 2 != 0 or n_rot > head_dim:
        keys.refuse(f"{n_rot} rotated of {head_dim} numbers of a head (an even part is needed)")
    shape = Shape(
        vocab_size=_vocab_size(source, keys),
        context=keys.count("context_length", most=1 << 31),
        layers=keys.count("block_count", most=MAX_LAYERS),
        width=width,
        ffn=keys.count("feed_forward_length", most=MAX_WIDTH),
        heads=Heads(heads, kv_heads, head_dim),
        eps=keys.real("attention.layer_norm_rms_epsilon", above=0.0, most=1.0),
        n_rot=n_rot,
        freq_base=keys.real("rope.freq_base", 10000.0, above=1.0, most=MAX_BASE),
        rope_scale=_rope_scale(keys),
        window=keys.count("attention.sliding_window", 0, least=0, most=1 << 31),
    )
    keys.finish()
    return shape


def _vocab_size(source: Source, keys: Hyperparameters) -> int:
    """Tokens of the tokenizer, else the key, else the rows of the embedding table."""
    if "tokenizer.ggml.tokens" in source.metadata:
        return len(source.metadata["tokenizer.ggml.tokens"])
    table = source.tensors.get("token_embd.weight")
    rows = table.shape[0] if table is not None and len(table.shape) == 2 else None
    return keys.count("vocab_size", rows, most=MAX_VOCABULARY)


def _rope_scale(keys: Hyperparameters) -> float:
    """1 / factor of linear scaling.

    Raises:
        UnsupportedError: Another kind of scaling.
    """
    kind = keys.text("rope.scaling.type", "linear")
    if kind == "none":
        return 1.0
    if kind != "linear":
        raise UnsupportedError(
            f"[metadata] Rope scaling must be 'linear' or 'none'. Got {kind!r}, not supported yet."
        )
    old = keys.real("rope.scale_linear", 1.0, above=0.0, most=1e6)
    return 1.0 / keys.real("rope.scaling.factor", old, above=0.0, most=1e6)


class Decoder:
    """Embedding, blocks, final norm, output layer (tied to the embedding if it has no tensor).

    Args:
        source: An open GGUF file.
        architecture: The name in its metadata.
    """

    def __init__(self, source: Source, architecture: str) -> None:
        self.source = source
        self.architecture = architecture
        self.shape = read_shape(source, architecture)

    def block(self, g: Graph, x: Value, i: int) -> Value:
        """Appends block i; x and the result are [T, width]."""
        raise NotImplementedError

    def build(self, context: int | None = None) -> Plan:
        """The plan, not yet compared with the file's tensors."""
        shape = self.shape
        g = Graph(rows=self.rows(), eps=shape.eps)
        x = g.embed("token_embd", vocab_size=shape.vocab_size, width=shape.width)
        for i in range(shape.layers):
            x = self.block(g, x, i)
        x = g.rms_norm(g.select_rows(x), "output_norm")
        output = "output" if self.has("output") else "token_embd"
        g.logits(x, output, vocab_size=shape.vocab_size)
        return lower(
            g,
            architecture=self.architecture,
            vocab_size=shape.vocab_size,
            context=shape.context if context is None else context,
        )

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
        }

    def rope(self, g: Graph) -> Rope:
        """The rotary embedding, with the file's frequency factors if it has them."""
        shape = self.shape
        factors = g.vector(ROPE_FACTORS, shape.n_rot // 2) if self.has(ROPE_FACTORS) else None
        return Rope(shape.freq_base, shape.n_rot, shape.rope_scale, factors)

    def has(self, name: str) -> bool:
        """Whether the file has the tensor `name`.weight."""
        return f"{name}.weight" in self.source.tensors
