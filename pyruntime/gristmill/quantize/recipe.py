# SPDX-License-Identifier: MIT
"""Which tensor gets which type: the mixes that people download.

File types are names as model files carry them (Q4_K_M). The rules are those of the common
quantizer for dense decoders without an importance matrix: more bits for attn_v and ffn_down in
the first and last eighth and in every third layer between, Q6_K for the output, and a fallback
where a row is no whole number of blocks. Types below 3 bits (whose mixes need such a matrix), IQ3
and what is younger are one type throughout, but for the output.
"""

from __future__ import annotations

from ..tensor_types import TENSOR_TYPES

# File type -> (general.file_type, base type)
FILE_TYPES: dict[str, tuple[int, str]] = {
    "F32": (0, "F32"), "F16": (1, "F16"), "BF16": (32, "BF16"),
    "Q4_0": (2, "Q4_0"), "Q4_1": (3, "Q4_1"), "Q8_0": (7, "Q8_0"),
    "Q5_0": (8, "Q5_0"), "Q5_1": (9, "Q5_1"), "Q2_K": (10, "Q2_K"),
    "Q3_K_S": (11, "Q3_K"), "Q3_K_M": (12, "Q3_K"), "Q3_K_L": (13, "Q3_K"),
    "Q4_K_S": (14, "Q4_K"), "Q4_K_M": (15, "Q4_K"),
    "Q5_K_S": (16, "Q5_K"), "Q5_K_M": (17, "Q5_K"), "Q6_K": (18, "Q6_K"),
    "IQ4_NL": (25, "IQ4_NL"), "IQ4_XS": (30, "IQ4_XS"), "MXFP4": (38, "MXFP4"),
    "IQ2_XXS": (19, "IQ2_XXS"), "IQ2_XS": (20, "IQ2_XS"), "IQ2_S": (28, "IQ2_S"),
    "IQ3_XXS": (23, "IQ3_XXS"), "IQ3_S": (26, "IQ3_S"),
    "IQ1_S": (24, "IQ1_S"), "IQ1_M": (31, "IQ1_M"), "TQ1_0": (36, "TQ1_0"), "TQ2_0": (37, "TQ2_0"),
    "NVFP4": (39, "NVFP4"), "Q1_0": (40, "Q1_0"), "Q2_0": (41, "Q2_0"),
}  # fmt: skip

# A row that is no whole number of super-blocks falls back to a type of 32-blocks, then to F16.
FALLBACKS = {
    "Q2_K": "IQ4_NL",
    "Q3_K": "IQ4_NL",
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S"), "IQ4_NL"),
    **dict.fromkeys(("IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("TQ1_0", "TQ2_0", "NVFP4", "Q1_0", "Q2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


def use_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth, and every third layer between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _output(base: str, columns: int) -> str:
    if columns % TENSOR_TYPES[base].values:
        return "Q8_0"
    return "Q8_0" if base in {"Q8_0", "MXFP4"} else "Q6_K"


def _attn_v(file_type: str, base: str, layer: int, layers: int, gqa: int) -> str:
    if file_type == "Q2_K":
        return "Q4_K" if gqa >= 4 else "Q3_K"
    if file_type == "Q3_K_M":
        return "Q5_K" if layer < 2 else "Q4_K"
    if file_type == "Q3_K_L":
        return "Q5_K"
    if file_type in {"IQ4_NL", "IQ4_XS"} and gqa >= 4:
        return "Q5_K"
    if file_type in {"Q4_K_M", "Q5_K_M"} and use_more_bits(layer, layers):
        return "Q6_K"
    return "Q5_K" if file_type == "Q4_K_S" and layer < 4 else base


def _ffn_down(file_type: str, base: str, layer: int, layers: int) -> str:
    if file_type == "Q2_K":
        return "Q3_K"
    if file_type == "Q3_K_M":
        return "Q5_K" if layer < layers // 16 else "Q4_K"
    if file_type == "Q3_K_L":
        return "Q5_K"
    if file_type in {"Q4_K_M", "Q5_K_M"} and use_more_bits(layer, layers):
        return "Q6_K"
    early = layer < layers // 8
    return "Q5_K" if file_type in {"IQ4_NL", "IQ4_XS", "Q4_K_S"} and early else base


def _attn_output(file_type: str, base: str) -> str:
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(file_type, base)


def tensor_type(
    file_type: str, name: str, columns: int, *, layers: int, gqa: int, tied: bool
) -> str:
    """The type of one weight matrix.

    Args:
        file_type: one of FILE_TYPES.
        name: GGUF tensor name, "blk.3.attn_v.weight".
        columns: values per row.
        layers: number of blocks.
        gqa: query heads per key/value head.
        tied: the token embedding is the output matrix too.
    """
    base = FILE_TYPES[file_type][1]
    if base in {"F32", "F16", "BF16"}:
        return base
    wanted = base
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        wanted = _output(base, columns)
    elif name.startswith("blk."):
        _, number, *_, kind, _ = name.split(".")
        kind = kind.removesuffix("_exps")
        if kind == "ffn_gate_inp":
            return "F32"
        if kind == "attn_v":
            wanted = _attn_v(file_type, base, int(number), layers, gqa)
        elif kind == "ffn_down":
            wanted = _ffn_down(file_type, base, int(number), layers)
        elif kind == "attn_output":
            wanted = _attn_output(file_type, base)
    return fitting(wanted, columns)


def fitting(wanted: str, columns: int) -> str:
    """The type, or what takes its place where rows are no whole number of its blocks."""
    if columns % TENSOR_TYPES[wanted].values:
        wanted = FALLBACKS.get(wanted, "F16")
    return "F16" if columns % TENSOR_TYPES[wanted].values else wanted
