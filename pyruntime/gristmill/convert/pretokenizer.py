# SPDX-License-Identifier: MIT
"""The name of a pre-tokenizer, which is all that a GGUF file says of it.

tokenizer.json contains the regular expressions; those of tokenizer/pretokenizers.py are compared
with them. What is said in another way there (Falcon, older DeepSeek) is recognised as llama.cpp
does: by a hash of the ids that a test text gets.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from gristmill.errors import TokenizerError
from gristmill.tokenizer.pretokenizers import PRETOKENIZERS

# Of the names that mean the same, the one that llama.cpp writes for the best-known model.
_PREFERRED = ("llama-bpe", "dbrx", "qwen2", "gpt-2", "smollm", "gpt-4o", "tekken", "deepseek-v3")
_GPT2 = PRETOKENIZERS["gpt-2"].patterns[0]

# llama.cpp's test text and the SHA-256 of its ids, special tokens included.
TEST_TEXT = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n\U0001f680 (normal) \U0001f636\u200d"
    "\U0001f32b\ufe0f (multiple emojis concatenated) \u2705 \U0001f999\U0001f999 3 33 333 3333 "
    "33333 333333 3333333 33333333 3.3 3..3 3...3 \u1780\u17b6\u1793\u17cb\u178f\u17c2\u1796"
    "\u17b7\u179f\u17c1\u179f\u17a2\u17b6\u1785\U0001f601 ?\u6211\u60f3\u5728apple\u5de5\u4f5c"
    "1314151\u5929\uff5e ------======= \u043d\u0435\u0449\u043e \u043d\u0430 \u0411\u044a\u043b"
    "\u0433\u0430\u0440\u0441\u043a\u0438 ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told "
    "he's there, 'RE you sure? 'M not sure I'll make it, 'D you like some tea? We'Ve a'lL"
)
HASHES = {
    "8aeee3860c56296a157a1fe2fad249ec40aa59b1bb5709f4ade11c4e6fe652ed": "falcon",
    "049ecf7629871e3041641907f3de7c733e4dbfdc736f57d882ba0b0845599754": "deepseek-llm",
    "347715f544604f9118bb75ed199f68779f423cabb20db6de6f31b908d04d7821": "deepseek-coder",
    "4e2b24cc4770243d65a2c9ec19770a72f08cffc161adbb73fcbb6b7dd45a0aae": "exaone",
    "9c2227e4dd922002fb81bde4fc02b0483ca4f12911410dee2255e4987644e3f8": "command-r",
    "3c30d3ad1d6b64202cd222813e7736c2db6e1bd6d67197090fc1211fbc612ae7": "bloom",
    "c7ea5862a53e4272c035c8238367063e2b270d51faa48c0f09e9d5b54746c360": "poro-chat",
    "7fc505bd3104ca1083b150b17d088b59534ede9bde81f0dd2090967d7fe52cee": "viking",
}


def recognise(data: dict[str, Any], where: str) -> tuple[str, list[str]]:
    """tokenizer.ggml.pre of a tokenizer.json, and notes on what is not exact.

    Raises:
        TokenizerError: No known pre-tokenizer does the same.
    """
    found = patterns(data.get("pre_tokenizer"))
    whole = bool(data["model"].get("ignore_merges", False))
    if found is not None:
        names = [name for name, known in PRETOKENIZERS.items() if known.patterns == found]
        same = [name for name in names if PRETOKENIZERS[name].ignore_merges == whole]
        if same:
            return _best(same), []
        if names:
            name = _best(names)
            return name, [f"pre-tokenizer {name!r} treats whole words that are tokens otherwise"]
    name = HASHES.get(fingerprint(data), "")
    if name:
        return name, []
    shown = json.dumps(data.get("pre_tokenizer"), ensure_ascii=True)
    raise TokenizerError(
        f"[{where}] The pre-tokenizer must be one that GGUF has a name for. Got {shown[:300]}. "
        "Hint: --pre NAME writes a name regardless."
    )


def _best(names: list[str]) -> str:
    return next((name for name in _PREFERRED if name in names), names[0])


def fingerprint(data: dict[str, Any]) -> str:
    """The hash of the ids of the test text; empty if the library refuses the tokenizer."""
    import tokenizers

    try:
        ids = tokenizers.Tokenizer.from_str(json.dumps(data)).encode(TEST_TEXT).ids
    except Exception:  # noqa: BLE001 - the library raises plain Exception
        return ""
    return hashlib.sha256(str(ids).encode()).hexdigest()


def is_byte_level(data: dict[str, Any]) -> bool:
    """Whether tokens spell bytes as letters."""
    return any(
        step.get("type") == "ByteLevel"
        for part, inner in (("pre_tokenizer", "pretokenizers"), ("decoder", "decoders"))
        for step in steps(data.get(part), inner)
    )


def steps(value: Any, inner: str) -> list[dict[str, Any]]:
    """The steps of a component, sequences taken apart."""
    if not isinstance(value, dict):
        return []
    listed = value.get(inner)
    if isinstance(listed, list):
        return [step for item in listed for step in steps(item, inner)]
    return [value]


def patterns(pre_tokenizer: Any) -> tuple[str, ...] | None:
    """The regular expressions that cut text, in order; None where a step is something else."""
    found: list[str] = []
    for step in steps(pre_tokenizer, "pretokenizers"):
        pattern = _pattern(step)
        if pattern is None:
            return None
        found += [pattern] if pattern else []
    return tuple(found)


def _pattern(step: dict[str, Any]) -> str | None:
    """The expression of one step; "" of one that cuts nothing, None of one that is another kind."""
    kind = step.get("type")
    if kind == "ByteLevel":
        return _GPT2 if step.get("use_regex", True) else ""
    if kind == "Digits":
        return r"\p{N}" if step.get("individual_digits") else r"\p{N}+"
    if kind != "Split":
        return None
    pattern = step.get("pattern")
    text = None
    if isinstance(pattern, dict):
        literal = pattern.get("String")
        text = re.escape(literal) if isinstance(literal, str) else pattern.get("Regex")
    # Matches are words either way: kept apart, or what is left when the gaps are removed.
    way = (step.get("behavior"), bool(step.get("invert")))
    kept = way in (("Isolated", False), ("Removed", True), ("Isolated", True))
    return text if kept and isinstance(text, str) else None
