# SPDX-License-Identifier: MIT
"""The encoders that can be converted, and how texts become vectors in any model.

sentence-transformers says in modules.json and a folder beside it how it pools; a classifier over a
whole text makes a model a ranker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gristmill.architectures.pooling import POOLINGS

from .config import Config
from .files import load_json_list, load_optional
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
RANKER = {"pooler.dense": "cls", "classifier": "cls.output"}

ENCODER = table(
    {
        "context_length": count("max_position_embeddings"),
        "embedding_length": count("hidden_size"),
        "block_count": lambda config: config.layers,
        "feed_forward_length": count("intermediate_size"),
        "attention.head_count": count("num_attention_heads"),
        "attention.layer_norm_epsilon": real("layer_norm_eps"),
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
)

# -- pooling --------------------------------------------------------------------------------------

_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}


def pooling_keys(folder: Path) -> dict[str, Any]:
    """pooling_type as sentence-transformers has it; nothing for a folder that is not its.

    Args:
        folder: Of the model, with modules.json.
    """
    for module in load_json_list(folder / "modules.json"):
        kind, path = str(module.get("type")), str(module.get("path"))
        if not kind.endswith(".Pooling") or ".." in path or path.startswith("/"):
            continue
        modes = load_optional(folder / path / "config.json")
        found = [name for mode, name in _MODES.items() if modes.get(mode) is True]
        if len(found) == 1:
            return {"pooling_type": POOLINGS.index(found[0])}
    return {}
