# SPDX-License-Identifier: MIT
"""Files without a template: the family is read off the vocabulary, and the choice is reported."""

from __future__ import annotations

import numpy as np
import pytest

from gristmill.chat import ChatTemplate, default_template
from gristmill.tokenizer import Tokenizer, from_metadata

TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U "},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "V"},
]


def _tokenizer(markers: list[str], kind: int = 3) -> Tokenizer:
    tokens = ["<unk>", "<s>", "</s>", "a", *markers]
    return from_metadata(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": np.zeros(len(tokens), "f4"),
            "tokenizer.ggml.token_type": np.array([2, 3, 3, 1] + [kind] * len(markers), "i4"),
        }
    )


@pytest.mark.parametrize(
    ("name", "markers", "prompt"),
    [
        (
            "ChatML",
            ["<|im_start|>", "<|im_end|>"],
            (
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU <|im_end|>\n"
                "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"
                "<|im_start|>assistant\n"
            ),
        ),
        (
            "Llama 3",
            ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
            (
                "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
                "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>"
                "<|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
        ),
        (
            "Gemma",
            ["<start_of_turn>", "<end_of_turn>"],
            (
                "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n"
                "<start_of_turn>model\nA<end_of_turn>\n"
                "<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n"
            ),
        ),
        (
            "Phi-3",
            ["<|user|>", "<|assistant|>", "<|end|>"],
            (
                "<|system|>\nS<|end|>\n<|user|>\nU <|end|>\n<|assistant|>\nA<|end|>\n"
                "<|user|>\nV<|end|>\n<|assistant|>\n"
            ),
        ),
        (
            "Mistral",
            ["[INST]", "[/INST]"],
            "<s>[INST] S\n\nU  [/INST] A</s>[INST] V [/INST]",
        ),
        ("plain text", [], "<s>System: S\n\nUser: U\n\nAssistant: A\n\nUser: V\n\nAssistant:"),
    ],
)
def test_families(name: str, markers: list[str], prompt: str) -> None:
    source, note = default_template(_tokenizer(markers))
    assert name in note
    assert "no chat template" in note
    assert ChatTemplate(source, "<s>", "</s>").render(TALK) == prompt
    assert ChatTemplate(source, "<s>", "</s>").render(TALK[1:2], add_generation_prompt=False)


def test_markers_that_are_plain_text_do_not_count() -> None:
    _, note = default_template(_tokenizer(["[INST]", "[/INST]"], kind=1))
    assert "plain text" in note
    _, note = default_template(_tokenizer(["<|im_start|>"]))
    assert "plain text" in note, "a family needs all its markers"
