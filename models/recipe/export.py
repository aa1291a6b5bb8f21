# SPDX-License-Identifier: MIT
"""Write a checkpoint and its tokenizer as one GGUF file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import sentencepiece as spm

import llama
from chat import SYSTEM

TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] != 'system' %}<|system|>" + SYSTEM + "<|end|>{% endif %}"
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
DESCRIPTION = (
    "A very small storyteller for children's stories, the offline default of gristmill. "
    "Weights: MIT. Trained on TinyStories (CDLA-Sharing-1.0), FairytaleQA (Apache-2.0) and "
    "children's books in the public domain."
)
FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7}
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


class GgufWriter(Protocol):
    """What is used of gristmill.gguf.Writer."""

    def add(self, key: str, value: Any, type: str | None = None) -> None: ...

    def add_tensor(self, name: str, source: np.ndarray, type_name: str, /) -> None: ...

    def close(self) -> None: ...


def token_type(sp: spm.SentencePieceProcessor, token: int) -> int:
    """GGUF's token type of a SentencePiece id."""
    if sp.is_unknown(token):
        return UNKNOWN
    if sp.is_control(token):
        return CONTROL
    return BYTE if sp.is_byte(token) else NORMAL


def add_tokenizer(w: GgufWriter, sp: spm.SentencePieceProcessor) -> None:
    """Vocabulary, special tokens and the chat template."""
    ids = range(sp.get_piece_size())
    w.add("tokenizer.ggml.model", "llama")
    w.add("tokenizer.ggml.pre", "default")
    w.add("tokenizer.ggml.tokens", [sp.id_to_piece(i) for i in ids], "array[string]")
    w.add("tokenizer.ggml.scores", [sp.get_score(i) for i in ids], "array[float32]")
    w.add("tokenizer.ggml.token_type", [token_type(sp, i) for i in ids], "array[int32]")
    w.add("tokenizer.ggml.bos_token_id", sp.bos_id())
    w.add("tokenizer.ggml.eos_token_id", sp.eos_id())
    w.add("tokenizer.ggml.unknown_token_id", sp.unk_id())
    w.add("tokenizer.ggml.eot_token_id", sp.piece_to_id("<|end|>"))
    w.add("tokenizer.ggml.add_bos_token", True)
    w.add("tokenizer.ggml.add_eos_token", False)
    w.add("tokenizer.ggml.add_space_prefix", True)
    w.add("tokenizer.chat_template", TEMPLATE)


def add_shape(w: GgufWriter, c: llama.Config, name: str, kind: str) -> None:
    """General and architecture keys, named as llama.cpp names them."""
    w.add("general.architecture", "llama")
    w.add("general.type", "model")
    w.add("general.name", name)
    w.add("general.description", DESCRIPTION)
    w.add("general.license", "mit")
    w.add("general.languages", ["en"], "array[string]")
    w.add("general.file_type", FILE_TYPES[kind])
    w.add("general.quantization_version", 2)
    w.add("llama.context_length", c.context)
    w.add("llama.embedding_length", c.dim)
    w.add("llama.block_count", c.layers)
    w.add("llama.feed_forward_length", c.ffn)
    w.add("llama.rope.dimension_count", c.dim // c.heads)
    w.add("llama.rope.freq_base", c.theta, "float32")
    w.add("llama.attention.head_count", c.heads)
    w.add("llama.attention.head_count_kv", c.kv_heads)
    w.add("llama.attention.layer_norm_rms_epsilon", c.eps, "float32")
    w.add("llama.vocab_size", c.vocab)


def tensors(model: llama.Llama) -> Iterator[tuple[str, np.ndarray]]:
    """Weights under their GGUF names: the module names were chosen to be the same."""
    for name, value in model.state_dict().items():
        yield name, np.ascontiguousarray(value.float().numpy())


def export(
    w: GgufWriter, model: llama.Llama, sp: spm.SentencePieceProcessor, name: str, kind: str
) -> None:
    """Write everything; norms stay float32."""
    add_shape(w, model.config, name, kind)
    add_tokenizer(w, sp)
    for tensor, array in tensors(model):
        w.add_tensor(tensor, array, kind if array.ndim == 2 else "F32")
    w.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--type", choices=sorted(FILE_TYPES), default="Q8_0")
    parser.add_argument("--name", default="Gristmill Tales")
    args = parser.parse_args()
    from gristmill.gguf import Writer  # only here: the rest of this file works without it

    sp = spm.SentencePieceProcessor(model_file=args.tokenizer)
    export(Writer(args.out), llama.load(args.checkpoint), sp, args.name, args.type)


if __name__ == "__main__":
    main()
