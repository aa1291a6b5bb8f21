# SPDX-License-Identifier: MIT
"""How byte-level BPE models cut text into words, by the name in tokenizer.ggml.pre.

A GGUF file names its pre-tokenizer but does not contain it; a wrong one still gives tokens, only
worse ones, so an unknown name is noted loudly. The patterns are those of the models' own
tokenizer.json files. Each pattern cuts what the ones before it left; a gap between two matches is a
word of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Pieces that many patterns share. CS, CI: English contractions, in lower case or in any case.
_CS = r"'s|'t|'re|'ve|'m|'ll|'d"
_CI = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_GPT2 = _CS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_OTHER = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_PUNCTUATION_WORD = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _llama3(digits: str, spaces: str = _SPACES) -> str:
    return f"{_CI}|{_WORD}|{digits}|{_OTHER}|{spaces}"


def _deepseek(marks: str) -> str:
    """Punctuation together with a word behind it; words with their marks; other punctuation."""
    return rf"{_PUNCTUATION_WORD}|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+|{marks}"


def _cased(suffix: str, digits: str, but: str = "", after: str = r"[\r\n/]*") -> str:
    """Words split where the case changes (tekken, gpt-4o), of all letters but some."""
    start = r"[^\r\n\p{L}\p{N}]?"
    upper, lower = (f"{letters[:-1]}{but}]" for letters in (_UPPER, _LOWER))
    return (
        rf"{start}{upper}*{lower}+{suffix}|{start}{upper}+{lower}*{suffix}|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+{after}|{_SPACES}"
    )


_DIGITS_THEN_GPT2 = (r"\p{N}", _GPT2)
_QWEN2 = (_llama3(r"\p{N}"),)
_LLAMA3 = (_llama3(r"\p{N}{1,3}"),)
_GPT4O = (_cased(_CI + "?", r"\p{N}{1,3}"),)
_KIMI = r"\p{Han}+|" + _cased(_CI + "?", r"\p{N}{1,3}", r"&&[^\p{Han}]", r"[\r\n]*")
_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_DEEPSEEK3_WORDS = _deepseek(r" ?[\p{P}\p{S}]+[\r\n]*|" + _SPACES)
_DEEPSEEK3 = (r"\p{N}{1,3}", _KANA, _DEEPSEEK3_WORDS)
_SPARK = _deepseek(r" ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+")
_BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
# Runs of spaces of a power of two.
_JAIS2_SPACES = "".join(
    rf"|\s{{{n}}}(?!\S)" for n in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2")
)
# Words of several letters with marks, also with single spaces between them.
_EXAONE_MOE = (
    rf"{_CI}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)
_YOUTU = (
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c"
    "\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|" + _KANA
)
# Scripts without spaces.
_UNSPACED = (
    "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
    "\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af"
    "\u1100-\u11ff]+"
)
# Digits in threes, counted from the end of the number.
_AFMOE = (r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", _UNSPACED, _DEEPSEEK3_WORDS)
_CHAMELEON = (
    "<sentinel:[0-9]+>",
    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    r"([\t\n]|    |  )",
    r"\p{N}",
    r"[\p{P}!-/:-@\[-`{-~]",
    _GPT2,
)
_LINES = r"[^\n]+|\n+"
_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# Letters with case, as of the Unicode version that the model was made with.
_CASED_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-"
    "\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-"
    "\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-"
    "\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc"
    "\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-"
    "\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-"
    "\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-"
    "\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-"
    "\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-"
    "\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-"
    "\U000118df\U0001e900-\U0001e943"
)
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")

# patterns -> the names that use them
_PATTERNS: dict[tuple[str, ...], str] = {
    _DEFAULT: "default",
    (_GPT2,): "gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat exaone4 mellum a.x-4.0"
    " modern-bert roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code",
    _LLAMA3: "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx"
    " smaug-bpe glm4 chatglm-bpe",
    _QWEN2: "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
    (
        _CI + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + _SPACES,
    ): "qwen35",
    (f"{_WORD}|\\p{{N}}|{_OTHER}|{_SPACES}",): "ufakzeka",
    (
        f"{_CI}|{_WORD}|\\p{{N}}| ?[^\\s\\p{{L}}\\p{{N}}\\r\\n]+|{_SPACES}",
    ): "seed-coder",
    (_BAILING,): "bailingmoe bailingmoe2 llada-moe",
    (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]"): "falcon",
    _DIGITS_THEN_GPT2: "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
    (
        "[\r\n]",
        rf"\s?[{_CASED_LETTERS}]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+$",
        _CJK,
        r"\p{N}+",
    ): "deepseek-llm",
    ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}"): "deepseek-coder",
    _DEEPSEEK3: "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
    (_cased("", r"\p{N}"),): "tekken",
    _GPT4O: "gpt-4o llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m",
    (r"\d{1,3}(?=(?:\d{3})*\b)", *_GPT4O): "tiny_aya cohere2moe",
    (_BLOOM,): "poro-chat bloom gpt3-finnish",
    (_BLOOM, r"\p{N}"): "viking",
    (r"\p{N}{1,3}", _llama3(r"\p{N}+")): "minicpm5",
    (_llama3(r"\p{N}{1,3}", r"\s*[\r\n]+" + _JAIS2_SPACES + r"|\s"),): "jais-2",
    (r"\p{N}{1,3}", _KANA, _SPARK, r"\p{N}"): "spark2_5",
    (_YOUTU, _cased(_CI + "?", r"\p{N}")): "youtu",
    _AFMOE: "afmoe",
    _CHAMELEON: "chameleon",
    (_EXAONE_MOE,): "exaone-moe",
    (_KIMI,): "kimi-k2",
    (r"[^\n]+|[\n]+", *_QWEN2): "laguna",
    (r"\p{N}+", r"(?=(\d{3})+(?!\d))"): "superbpe",
    (_LINES,): "gemma4 granite-embed-multi-311m sarvam-moe",
    (r"\S+",): "whitespace",
}  # fmt: skip
# A word that is a token as a whole is taken as it is, whatever the merges say.
_IGNORE_MERGES = frozenset(
    ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
     "jina-v5-nano", "tekken", "minicpm5", "granite-embed-multi-97m", "youtu")
)  # fmt: skip
_ADD_BOS = (_IGNORE_MERGES - {"minicpm5", "granite-embed-multi-97m", "youtu"}) | {
    "chameleon", "gemma4", "granite-embed-multi-311m"
}  # fmt: skip
# Tokens are plain text with U+2581 for spaces (and bytes as <0x..>), not letters that mean bytes.
_PLAIN = frozenset(("gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"))


@dataclass(frozen=True)
class PreTokenizer:
    """How one family of models cuts text into words.

    Args:
        name: As tokenizer.ggml.pre has it.
        patterns: Regular expressions, applied in order.
        ignore_merges: A whole word that is a token is that token.
        add_bos: These models begin texts with bos unless the file says otherwise.
        byte_level: Tokens spell bytes as letters; else they are plain text.
    """

    name: str
    patterns: tuple[str, ...]
    ignore_merges: bool
    add_bos: bool
    byte_level: bool


PRETOKENIZERS = {
    name: PreTokenizer(name, patterns, name in _IGNORE_MERGES, name in _ADD_BOS, name not in _PLAIN)
    for patterns, names in _PATTERNS.items()
    for name in names.split()
}


def find(name: Any) -> tuple[PreTokenizer, str]:
    """The pre-tokenizer of a name, and what is wrong where the default stands in for it."""
    if isinstance(name, str) and name in PRETOKENIZERS:
        generic = name == "default"
        return PRETOKENIZERS[name], "names only the default pre-tokenizer" if generic else ""
    problem = "names no pre-tokenizer" if name is None else f"names pre-tokenizer {name!r}, unknown"
    return PRETOKENIZERS["default"], problem
