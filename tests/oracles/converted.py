# SPDX-License-Identifier: MIT
"""A transformers model saved, given a tokenizer and converted: what gristmill then runs.

The bridge of the parity tests. Random models have no tokenizer; theirs is byte-level BPE with one
token per byte, filled up to the size of their vocabulary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.convert import convert

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MERGES = 4


def write_tokenizer(folder: Path, size: int) -> None:
    """tokenizer.json of `size` tokens, from 261: bytes, four merges, end of text."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    texts = [*letters, "th", "the", "in", "ing"]
    assert size > len(texts)
    texts += [f"<|unused{i}|>" for i in range(size - len(texts) - 1)] + ["<|endoftext|>"]
    ids = {text: token for token, text in enumerate(texts)}
    added = [
        {"id": ids[text], "content": text, "special": True, "normalized": False,
         "single_word": False, "lstrip": False, "rstrip": False}
        for text in texts[len(letters) + MERGES :]
    ]  # fmt: skip
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "vocab": {text: i for text, i in ids.items() if i < len(letters) + MERGES},
            "merges": [["t", "h"], ["th", "e"], ["i", "n"], ["in", "g"]],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    config = {"eos_token": "<|endoftext|>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def save(model: PreTrainedModel, folder: Path, **options: Any) -> Path:
    """Writes the model and a tokenizer of its size.

    Args:
        model: of any architecture that has a conversion.
        folder: where to; it is made.
        options: of save_pretrained, such as max_shard_size.
    """
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)
    # The default configuration's ids belong to another vocabulary than the one below.
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config.get("text_config", {})):
        for role in ("bos", "eos", "pad"):
            part.pop(f"{role}_token_id", None)
    path.write_text(json.dumps(config), encoding="utf-8")
    write_tokenizer(folder, model.config.get_text_config().vocab_size)
    return folder


def converted(model: PreTrainedModel, folder: Path, type: str = "f32") -> Path:
    """The model as a GGUF file in `folder`, made by gristmill.convert."""
    source = save(model, folder / "checkpoint")
    return convert(source, folder / f"{type}.gguf", type).path
