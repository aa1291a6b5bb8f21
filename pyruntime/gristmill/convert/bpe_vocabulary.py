# SPDX-License-Identifier: MIT
"""tokenizer.json: byte-level BPE as it stands, and BPE over pieces with byte fallback.

The second kind is a SentencePiece model whose scores became an order of merges. The order gives
scores back that choose the same merges: the earlier a merge, the higher the score of its result.
"""

from __future__ import annotations

from typing import Any

from gristmill.errors import TokenizerError
from gristmill.tokenizer.vocabulary import ESCAPED_SPACE, TokenType

from .pretokenizer import is_byte_level, recognise, steps
from .vocabulary import Vocabulary

_HARMLESS = ("NFC", "Prepend", "Replace", "Sequence", "Precompiled")
_BYTE = "<0x{:02X}>"


def from_json(data: dict[str, Any], where: str, pre: str | None = None) -> Vocabulary:
    """The vocabulary of a tokenizer.json.

    Args:
        data: The parsed file.
        where: What messages call it.
        pre: The pre-tokenizer's name; None: recognise it.

    Raises:
        TokenizerError: The file is damaged, or its tokenizer is no BPE.
    """
    model = data.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise TokenizerError(f"[{where}] The model must be BPE. Got {kind!r:.40}.")
    tokens = tokens_by_id(model.get("vocab"), where)
    merges = _merges(model.get("merges"), where)
    if is_byte_level(data):
        vocab = _byte_level(data, tokens, merges, where, pre)
    elif model.get("byte_fallback"):
        vocab = _pieces(data, tokens, merges, str(model.get("unk_token") or "<unk>"))
    else:
        raise TokenizerError(
            f"[{where}] The BPE must be over bytes, or fall back to them. Got neither."
        )
    _note_normalizer(vocab, data)
    return vocab


def tokens_by_id(ids: Any, where: str) -> list[str]:
    """Texts by id; an id that is not used has an empty text.

    Raises:
        TokenizerError: The vocabulary is damaged.
    """
    if not isinstance(ids, dict) or not ids:
        raise TokenizerError(f"[{where}] The model's vocab must be an object of texts to ids.")
    most = 2 * len(ids) + 1024  # gaps are for added tokens, of which there are few
    texts = [""] * len(ids)
    for text, token in ids.items():
        if type(token) is not int or not 0 <= token < most:
            raise TokenizerError(f"[{where}] A token's id must be small. Got {token!r:.40}.")
        if token >= len(texts):
            texts += [""] * (token + 1 - len(texts))
        if texts[token] or not text:
            raise TokenizerError(f"[{where}] Tokens must differ and not be empty. Got id {token}.")
        texts[token] = text
    return texts


def _merges(merges: Any, where: str) -> list[tuple[str, str]]:
    """Pairs; older files write one string with a space between."""
    pairs = []
    for merge in merges if isinstance(merges, list) else []:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_text, pair)):
            raise TokenizerError(f"[{where}] A merge must be two tokens. Got {merge!r:.80}.")
        pairs.append((pair[0], pair[1]))
    if not pairs:
        raise TokenizerError(f"[{where}] BPE needs its merges. Got none.")
    return pairs


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _byte_level(
    data: dict[str, Any],
    tokens: list[str],
    merges: list[tuple[str, str]],
    where: str,
    pre: str | None,
) -> Vocabulary:
    name, notes = (pre, []) if pre else recognise(data, where)
    types = [int(TokenType.NORMAL if text else TokenType.UNUSED) for text in tokens]
    texts = [text or f"[PAD{token}]" for token, text in enumerate(tokens)]
    vocab = Vocabulary("gpt2", name, texts, types, notes=list(notes))
    # A space within a token would end it; byte-level BPE writes it as this letter.
    vocab.extra["merges"] = [
        f"{a} {b}" if " " not in a + b else " ".join(t.replace(" ", "\u0120") for t in (a, b))
        for a, b in merges
    ]
    return vocab


def _pieces(
    data: dict[str, Any], tokens: list[str], merges: list[tuple[str, str]], unknown: str
) -> Vocabulary:
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    spelled = {_BYTE.format(byte) for byte in range(256)}

    def type_of(text: str) -> int:
        if not text:
            return TokenType.UNUSED
        if text in spelled:
            return TokenType.BYTE
        return TokenType.UNKNOWN if text == unknown else TokenType.NORMAL

    vocab = Vocabulary(
        "llama",
        "default",
        [text or f"[PAD{token}]" for token, text in enumerate(tokens)],
        [int(type_of(text)) for text in tokens],
        [-float(ranks.get(text, len(merges))) for text in tokens],
    )
    vocab.extra["add_space_prefix"] = _adds_space(data)
    return vocab


def _adds_space(data: dict[str, Any]) -> bool:
    """Whether text gets a space in front: by the normalizer, or by the pre-tokenizer."""
    for part in steps(data.get("normalizer"), "normalizers"):
        if part.get("type") == "Prepend" and part.get("prepend") == ESCAPED_SPACE:
            return True
    for part in steps(data.get("pre_tokenizer"), "pretokenizers"):
        if part.get("type") == "Metaspace":
            scheme = "always" if part.get("add_prefix_space", True) else "never"
            return bool(part.get("prepend_scheme", scheme) != "never")
    return False


def _note_normalizer(vocab: Vocabulary, data: dict[str, Any]) -> None:
    """Says where readers of GGUF files will see text that the tokenizer would have changed."""
    kinds = {str(part.get("type")) for part in steps(data.get("normalizer"), "normalizers")}
    lost = sorted(kinds - set(_HARMLESS))
    if lost:
        vocab.notes.append(f"the tokenizer normalizes text ({', '.join(lost)}); no key says so")
