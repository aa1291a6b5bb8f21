# SPDX-License-Identifier: MIT
"""The encoders that can be converted. A classifier over a whole text makes a model a ranker."""

from __future__ import annotations

from typing import Any

from gristmill.architectures.pooling import POOLINGS

from .config import Config
from .scheme import Keys, Scheme, count, merged, real, require, table

_LAYER = "encoder.layer.{i}."
_BLOCK = "blk.{i}."

BERT = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.LayerNorm": "token_embd_norm",
    _LAYER + "attention.self.query": _BLOCK + "attn_q",
    _LAYER + "attention.self.key": _BLOCK + "attn_k",
    _LAYER + "attention.self.value": _BLOCK + "attn_v",
    _LAYER + "attention.output.dense": _BLOCK + "attn_output",
    _LAYER + "attention.output.LayerNorm": _BLOCK + "attn_output_norm",
    _LAYER + "intermediate.dense": _BLOCK + "ffn_up",
    _LAYER + "output.dense": _BLOCK + "ffn_down",
    _LAYER + "output.LayerNorm": _BLOCK + "layer_output_norm",
}
_NOMIC = "encoder.layers.{i}."
NOMIC = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "emb_ln": "token_embd_norm",
    _NOMIC + "attn.Wqkv": _BLOCK + "attn_qkv",
    _NOMIC + "attn.out_proj": _BLOCK + "attn_output",
    _NOMIC + "norm1": _BLOCK + "attn_output_norm",
    _NOMIC + "mlp.fc11": _BLOCK + "ffn_up",
    _NOMIC + "mlp.fc12": _BLOCK + "ffn_gate",
    _NOMIC + "mlp.fc2": _BLOCK + "ffn_down",
    _NOMIC + "norm2": _BLOCK + "layer_output_norm",
}
_MODERN = "layers.{i}."
MODERN = {
    "embeddings.tok_embeddings": "token_embd",
    "embeddings.norm": "token_embd_norm",
    "final_norm": "output_norm",
    _MODERN + "attn_norm": _BLOCK + "attn_norm",
    _MODERN + "attn.Wqkv": _BLOCK + "attn_qkv",
    _MODERN + "attn.Wo": _BLOCK + "attn_output",
    _MODERN + "mlp_norm": _BLOCK + "ffn_norm",
    _MODERN + "mlp.Wi": _BLOCK + "ffn_up",
    _MODERN + "mlp.Wo": _BLOCK + "ffn_down",
}
RANKER = {"pooler.dense": "cls", "classifier": "cls.output"}
ROBERTA_RANKER = {"classifier.dense": "cls", "classifier.out_proj": "cls.output"}

ENCODER = table(
    {
        "context_length": count("max_position_embeddings", "n_positions"),
        "embedding_length": count("hidden_size", "n_embd"),
        "block_count": lambda config: config.layers,
        "feed_forward_length": count("intermediate_size", "n_inner"),
        "attention.head_count": count("num_attention_heads", "n_head"),
        "attention.layer_norm_epsilon": real("layer_norm_eps", "layer_norm_epsilon", "norm_eps"),
        "attention.causal": lambda _: False,
    }
)
ABSOLUTE = require(
    "Positions must be absolute: no key says how others are embedded.",
    lambda config: config.raw("position_embedding_type") in (None, "absolute"),
)
_NEEDED = ("token_embd.weight", "token_embd_norm.weight")


def rank(config: Config) -> dict[str, Any]:
    """A classifier gives scores, one for each label."""
    labels = config.raw("id2label")
    keys: dict[str, Any] = {"pooling_type": POOLINGS.index("rank")}
    if isinstance(labels, dict) and labels:
        keys["classifier.output_labels"] = [str(label) for label in labels.values()]
    return keys


def _unused_positions(config: Config) -> int:
    """RoBERTa counts positions from the one behind that of padding."""
    return config.count("pad_token_id", default=1) + 1


def roberta_positions(config: Config) -> dict[str, int]:
    """Those that texts can have."""
    most = config.count("max_position_embeddings")
    return {"context_length": max(most - _unused_positions(config), 0)}


def roberta(classes: tuple[str, ...], names: dict[str, str], keys: tuple[Keys, ...]) -> Scheme:
    """BERT with positions that begin later."""
    return Scheme(
        "bert", classes, names, (ENCODER, roberta_positions, *keys), activation="gelu",
        prefix="roberta.", needed=_NEEDED, checks=(ABSOLUTE,),
        left_out=("lm_head.", "pooler.", "embeddings.position_ids"),
        defaults={"layer_norm_eps": 1e-5, "hidden_act": "gelu"},
        skipped=lambda config: {"position_embd.weight": _unused_positions(config)},
    )  # fmt: skip


def nomic_rope(config: Config) -> dict[str, Any]:
    """The base, under its older name, too."""
    base = config.rope().get("rope_theta", config.raw("rotary_emb_base") or 1000.0)
    return {"rope.freq_base": config.number("rope_theta", base)}


def modern_layers(config: Config) -> dict[str, Any]:
    """Windows, and the bases of both kinds of layers."""
    every = config.count("global_attn_every_n_layers", default=3)
    bases = {
        "rope.freq_base": ("full_attention", "global_rope_theta", 160000.0),
        "rope.freq_base_swa": ("sliding_attention", "local_rope_theta", 10000.0),
    }
    keys: dict[str, Any] = {
        key: config.number(old, config.rope(kind).get("rope_theta") or config.raw(old) or usual)
        for key, (kind, old, usual) in bases.items()
    }
    return keys | {
        "attention.sliding_window": config.count("local_attention", default=128),
        "attention.sliding_window_pattern": every,
    }


def _first_of_each(config: Config) -> bool:
    every = config.count("global_attn_every_n_layers", default=3)
    stated = config.layer_types()
    usual = [i % every == 0 for i in range(config.layers)] if every else []
    return not stated or usual == [kind == "full_attention" for kind in stated]


FIRST_OF_EACH = require(
    "The first layer of each group must see all positions: no key says another pattern.",
    _first_of_each,
)
NO_MIXTURE = require(
    "The feed-forward layers must be dense.", lambda config: not config.raw("num_experts")
)


def bert(classes: tuple[str, ...], names: dict[str, str], keys: tuple[Keys, ...]) -> Scheme:
    """A scheme of BERT's shape."""
    heads = ("cls.", "pooler.") if keys == (ENCODER,) else ("cls.",)
    return Scheme(
        "bert", classes, names, keys, activation="gelu", prefix="bert.", needed=_NEEDED,
        left_out=(*heads, "embeddings.position_ids"), checks=(ABSOLUTE,),
        defaults={"layer_norm_eps": 1e-12, "hidden_act": "gelu"},
    )  # fmt: skip


ENCODERS = (
    bert(("BertModel", "BertForMaskedLM"), BERT, (ENCODER,)),
    bert(("BertForSequenceClassification",), merged(BERT, RANKER), (ENCODER, rank)),
    roberta(
        ("XLMRobertaModel", "XLMRobertaForMaskedLM", "RobertaModel", "RobertaForMaskedLM"), BERT, ()
    ),
    roberta(
        ("XLMRobertaForSequenceClassification", "RobertaForSequenceClassification"),
        merged(BERT, ROBERTA_RANKER), (rank,),
    ),
    Scheme(
        "nomic-bert", ("NomicBertModel",), NOMIC, (ENCODER, nomic_rope), needed=_NEEDED,
        activation="silu", checks=(NO_MIXTURE,),
    ),
    Scheme(
        "modern-bert", ("ModernBertModel", "ModernBertForMaskedLM"), MODERN,
        (ENCODER, modern_layers), activation="gelu", prefix="model.",
        needed=(*_NEEDED, "output_norm.weight"), absent=("blk.0.attn_norm.weight",),
        left_out=("head.", "decoder."), checks=(FIRST_OF_EACH,),
    ),
)  # fmt: skip
