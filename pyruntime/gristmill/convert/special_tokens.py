# SPDX-License-Identifier: MIT
"""Roles of tokens, what is added to texts, and chat templates.

tokenizer_config.json names tokens by text, config.json and generation_config.json by id; the first
that says something wins. What is added to a text is tried out where tokenizer.json allows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gristmill.errors import FormatError
from gristmill.tokenizer.special import END_OF_GENERATION

from .config import Config
from .files import load_json, load_optional, read_text
from .vocabulary import Vocabulary

_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",  # the format's own spelling
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}
_ENDS = ("eot_token_id", "eom_token_id")  # for models that end with more than one token


def special_keys(
    folder: Path, config: Config, vocab: Vocabulary, *, pooled: bool = False
) -> dict[str, Any]:
    """tokenizer.ggml.* of special tokens, without the prefix; adds to the vocabulary's notes.

    Args:
        folder: Of the model.
        config: Its configuration.
        vocab: Its vocabulary.
        pooled: It gives embeddings: the token that closes a text is the one that counts.
    """
    stated = load_optional(folder / "tokenizer_config.json")
    generation = load_optional(folder / "generation_config.json")
    ids = {text: token for token, text in reversed(list(enumerate(vocab.tokens)))}
    keys: dict[str, Any] = {}
    for role, key in _KEYS.items():
        token = ids.get(_text(stated.get(f"{role}_token")))
        if token is None:
            token = _first_id(config.raw(f"{role}_token_id"), len(vocab.tokens))
        if token is not None:
            keys[key] = token
    keys |= _more_ends(config, generation, vocab, keys)
    if vocab.model == "bert":  # texts are framed by cls and sep, as every reader assumes
        keys |= {"bos_token_id": keys["cls_token_id"]} if "cls_token_id" in keys else {}
    else:
        keys |= _additions(folder, vocab, keys, pooled)
    for role in ("bos", "eos", "sep"):
        wanted = stated.get(f"add_{role}_token")
        if isinstance(wanted, bool):
            keys[f"add_{role}_token"] = wanted
    if config.raw("type_vocab_size") is not None:
        keys["token_type_count"] = config.count("type_vocab_size")
    if isinstance(stated.get("add_prefix_space"), bool) and vocab.scores is not None:
        keys["add_space_prefix"] = stated["add_prefix_space"]
    return keys


def _text(entry: Any) -> str:
    """The text of a token in tokenizer_config.json; "" for none."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else ""


def _ids(value: Any) -> list[int]:
    listed = value if isinstance(value, list) else [value]
    return [token for token in listed if type(token) is int]


def _first_id(value: Any, count: int) -> int | None:
    return next((token for token in _ids(value) if 0 <= token < count), None)


def _more_ends(
    config: Config, generation: dict[str, Any], vocab: Vocabulary, keys: dict[str, Any]
) -> dict[str, int]:
    """Keys for ends of a text beyond eos that no reader would know by their text."""
    stated = [*_ids(generation.get("eos_token_id")), *_ids(config.raw("eos_token_id"))]
    more = [
        token
        for token in dict.fromkeys(stated)
        if 0 <= token < len(vocab.tokens)
        and token != keys.get("eos_token_id")
        and vocab.tokens[token] not in END_OF_GENERATION
    ]
    if len(more) > len(_ENDS):
        left = ", ".join(repr(vocab.tokens[token]) for token in more[len(_ENDS) :])
        vocab.notes.append(f"no key is left for these tokens that end a text: {left}")
    return dict(zip(_ENDS, more, strict=False))


def _additions(
    folder: Path, vocab: Vocabulary, keys: dict[str, Any], pooled: bool
) -> dict[str, Any]:
    """add_bos_token and add_eos_token, from what tokenizer.json does to a letter."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return {}
    import tokenizers

    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        bare = tokenizer.encode("a", add_special_tokens=False).ids
        framed = tokenizer.encode("a").ids
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        vocab.notes.append(f"tokenizer.json cannot be tried out: {error}")
        return {}
    at = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), None)
    if at is None:
        return {}
    before, behind = framed[:at], framed[at + len(bare) :]
    bos, eos = keys.get("bos_token_id"), keys.get("eos_token_id")
    additions: dict[str, Any] = {}
    if pooled and len(behind) == 1 and behind[0] < len(vocab.tokens):
        additions["eos_token_id"] = eos = behind[0]  # Qwen3-Embedding: not the end of a turn
    if before not in ([], [bos]) or behind not in ([], [eos]):
        vocab.notes.append(
            f"texts are framed by the tokens {before} and {behind}, which no key can say in full"
        )
    if bos is not None:
        additions["add_bos_token"] = before[-1:] == [bos]
    if eos is not None:
        additions["add_eos_token"] = behind[:1] == [eos]
    return additions


def template_keys(folder: Path) -> dict[str, Any]:
    """tokenizer.chat_template and its named variants.

    Raises:
        FormatError: A template is neither a text nor a list of named texts.
    """
    jinja, wrapped = folder / "chat_template.jinja", folder / "chat_template.json"
    found: Any
    if jinja.is_file():
        found = read_text(jinja)
        others = sorted((folder / "additional_chat_templates").glob("*.jinja"))
        if others:
            named = [{"name": path.stem, "template": read_text(path)} for path in others]
            found = [{"name": "default", "template": found}, *named]
    else:
        found = load_optional(folder / "tokenizer_config.json").get("chat_template")
        if found is None and wrapped.is_file():
            found = load_json(wrapped).get("chat_template")
    if found is None:
        return {}
    if isinstance(found, str):
        return {"tokenizer.chat_template": found}
    templates: dict[str, str] = {}
    for entry in found if isinstance(found, list) else [None]:
        fields = entry if isinstance(entry, dict) else {}
        name, text = fields.get("name"), fields.get("template")
        if not isinstance(name, str) or not isinstance(text, str):
            raise FormatError(f"[{folder}] A chat template must be a text. Got {entry!r:.80}.")
        templates[name] = text
    keys: dict[str, Any] = {
        f"tokenizer.chat_template.{name}": text
        for name, text in templates.items()
        if name != "default"
    }
    if keys:
        keys["tokenizer.chat_templates"] = [name for name in templates if name != "default"]
    if "default" in templates:
        keys["tokenizer.chat_template"] = templates["default"]
    return keys


_SAMPLING = {
    "temperature": ("temp", float),
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
    "min_p": ("min_p", float),
    "repetition_penalty": ("penalty_repeat", float),
}


def sampling_keys(folder: Path) -> dict[str, Any]:
    """general.sampling.* from generation_config.json; none where it asks for greedy decoding."""
    stated = load_optional(folder / "generation_config.json")
    if stated.get("do_sample") is False:
        return {}
    keys = {}
    for name, (key, kind) in _SAMPLING.items():
        value = stated.get(name)
        if isinstance(value, int | float) and 0 <= value < 1 << 31:
            keys[f"general.sampling.{key}"] = kind(value)
    return keys
