# SPDX-License-Identifier: MIT
"""Special tokens, chat templates and sampling, against the gguf package where it has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpoints import write_json
from tokenizer_files import added, bytelevel

import gguf
from gristmill.convert.config import Config
from gristmill.convert.special_tokens import sampling_keys, special_keys, template_keys
from gristmill.convert.vocabulary import read_vocabulary

SPECIAL = {
    "plain": {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}},
    "flags": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "add_bos_token": True,
              "add_eos_token": False, "pad_token": "<|endoftext|>"},
    "unknown text": {"bos_token": "<nothing>", "eos_token": "<|im_end|>"},
    "none": {},
    "unk": {"unk_token": "<|endoftext|>", "eos_token": None},
}  # fmt: skip
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ],
    "pair": [],
    "special_tokens": {
        "<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}
    },
}  # fmt: skip


@pytest.mark.parametrize("frame", [None, TEMPLATE], ids=["bare", "framed"])
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_tokens_equal_the_gguf_package(tmp_path: Path, name: str, frame: Any) -> None:
    bytelevel(tmp_path, post_processor=frame)
    write_json(tmp_path / "tokenizer_config.json", SPECIAL[name])
    config = {"bos_token_id": 0, "eos_token_id": 2, "vocab_size": 520}
    write_json(tmp_path / "config.json", config)
    theirs = gguf.SpecialVocab(tmp_path, load_merges=True, n_vocab=520)
    vocab = read_vocabulary(tmp_path, 520)
    ours = special_keys(tmp_path, Config(config), vocab)
    names = {"unk": "unknown", "pad": "padding", "sep": "seperator"}
    assert {k: v for k, v in ours.items() if k.endswith("_id")} == {
        f"{names.get(role, role)}_token_id": token
        for role, token in theirs.special_token_ids.items()
    }
    for role, wanted in theirs.add_special_token.items():
        # Where tokenizer_config.json names no such token, the package takes another for it.
        if ours.get(f"{role}_token_id") in (1, 2) and SPECIAL[name].get(f"{role}_token"):
            assert ours[f"add_{role}_token"] == wanted
    assert vocab.extra["merges"] == theirs.merges


def test_more_than_one_end(tmp_path: Path) -> None:
    data = bytelevel(tmp_path)
    data["added_tokens"] += [
        added(512 + i, text, special=True)
        for i, text in enumerate(("<|user|>", "<|observation|>", "<|other|>"))
    ]
    write_json(tmp_path / "tokenizer.json", data)
    write_json(tmp_path / "tokenizer_config.json", {"eos_token": "<|endoftext|>"})
    write_json(tmp_path / "generation_config.json", {"eos_token_id": [0, 512, 2, 513, 514]})
    vocab = read_vocabulary(tmp_path, 520)
    keys = special_keys(tmp_path, Config({}), vocab)
    # 2 is "<|im_end|>", which every reader knows by its text.
    assert (keys["eos_token_id"], keys["eot_token_id"], keys["eom_token_id"]) == (0, 512, 513)
    assert "'<|other|>'" in vocab.notes[-1]


def test_chat_templates(tmp_path: Path) -> None:
    assert template_keys(tmp_path) == {}
    named = [
        {"name": "default", "template": "{{ 1 }}"},
        {"name": "tool_use", "template": "{{ 2 }}"},
    ]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": named})
    assert template_keys(tmp_path) == {
        "tokenizer.chat_template": "{{ 1 }}",
        "tokenizer.chat_template.tool_use": "{{ 2 }}",
        "tokenizer.chat_templates": ["tool_use"],
    }
    write_json(tmp_path / "tokenizer_config.json", {})
    write_json(tmp_path / "chat_template.json", {"chat_template": "{{ 3 }}"})
    assert template_keys(tmp_path) == {"tokenizer.chat_template": "{{ 3 }}"}
    (tmp_path / "chat_template.jinja").write_text("{{ 4 }}")
    assert template_keys(tmp_path) == {"tokenizer.chat_template": "{{ 4 }}"}
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("{{ 5 }}")
    assert template_keys(tmp_path)["tokenizer.chat_template.rag"] == "{{ 5 }}"


def test_sampling(tmp_path: Path) -> None:
    stated = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0,
              "repetition_penalty": 1.05, "max_length": 9}  # fmt: skip
    write_json(tmp_path / "generation_config.json", stated)
    prefix = "general.sampling."
    keys = sampling_keys(tmp_path)
    assert keys == {
        prefix + "temp": 0.6, prefix + "top_k": 20, prefix + "top_p": 0.95, prefix + "min_p": 0.0,
        prefix + "penalty_repeat": 1.05,
    }  # fmt: skip
    known = {v for k, v in vars(gguf.constants.Keys.General).items() if k.startswith("SAMPLING")}
    assert set(keys) <= known
    write_json(tmp_path / "generation_config.json", stated | {"do_sample": False})
    assert sampling_keys(tmp_path) == {}
