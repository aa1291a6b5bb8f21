# SPDX-License-Identifier: MIT
"""Random quantized weights, made directly as blocks: random bytes under sane f16 scales.

Quantizing gigabytes of random floats would take minutes and give nothing: every bit pattern of the
quants is as good as any other. The scale of a block is chosen so that the decoded values have mean
zero and the standard deviation asked for, so that activations stay finite and logits stay small.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Scales = NDArray[np.float32]

# Block geometry: type -> (values, bytes), the numbers of the GGUF specification.
GEOMETRY: dict[str, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2),
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176),
    "Q6_K": (256, 210), "IQ4_NL": (32, 18), "IQ4_XS": (256, 136),
    "MXFP4": (32, 17), "NVFP4": (64, 36), "Q1_0": (128, 18), "Q2_0": (64, 18),
    "IQ1_S": (256, 50), "IQ1_M": (256, 56), "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74),
    "IQ2_S": (256, 82), "IQ3_XXS": (256, 98), "IQ3_S": (256, 110),
    "TQ1_0": (256, 54), "TQ2_0": (256, 66),
}  # fmt: skip


def _put_f16(blocks: Bytes, offset: int, values: Scales) -> None:
    """Writes one f16 per block at a byte offset."""
    blocks[:, offset : offset + 2] = values.astype(np.float16).view(np.uint8).reshape(-1, 2)


def _fill_plain(blocks: Bytes, d: Scales, spread: float) -> None:
    """d at 0, quants behind it with a middle of -0.5: a d of either sign evens that out."""
    _put_f16(blocks, 0, np.where(blocks[:, 2] & 1, d, -d) / np.float32(spread))


def _fill_offset(blocks: Bytes, d: Scales, spread: float, middle: float) -> None:
    """d and m at 0; m puts the middle of the quants at zero."""
    scale = d / np.float32(spread)
    _put_f16(blocks, 0, scale)
    _put_f16(blocks, 2, scale * np.float32(-middle))


def _fill_q8_0(blocks: Bytes, d: Scales) -> None:
    quants = blocks[:, 2:]
    quants[quants == 0x80] = 0x81  # the quantizers never write -128
    _put_f16(blocks, 0, d / np.float32(73.6))


def _fill_k_minima(blocks: Bytes, d: Scales, spread: float, middle: float) -> None:
    """Q4_K and Q5_K: d, dmin, 12 bytes of packed 6-bit scales and minima, quants.

    The minima repeat the scales but for their two low bits, so that each sub-block has a mean near
    zero; sub-block scales lie in 16..63.
    """
    scales = blocks[:, 4:12]
    scales[:, 0:4] |= 0x10
    # The top two bits of scale i + 4 sit above scale i, its low nibble in byte 8 + i.
    scales[:, 0:4] |= np.where(scales[:, 0:4] & 0xC0, 0, 0x40).astype(np.uint8)
    scales[:, 4:8] = (scales[:, 4:8] & 0x03) | (scales[:, 0:4] & 0xFC)
    low = blocks[:, 12:16] & 0x0F
    blocks[:, 12:16] = low | ((low ^ (scales[:, 4:8] & 0x03)) << 4)
    scale = d / np.float32(spread * 42.0)
    _put_f16(blocks, 0, scale)
    _put_f16(blocks, 2, scale * np.float32(middle))


def _fill_q2_k(blocks: Bytes, d: Scales) -> None:
    low = blocks[:, :16] & 0x0F
    blocks[:, :16] = low | (low << 4)
    _put_f16(blocks, 80, d / np.float32(1.118 * 8.8))
    _put_f16(blocks, 82, d / np.float32(1.118 * 8.8) * np.float32(1.5))


def _fill_q6_k(blocks: Bytes, d: Scales) -> None:
    scales = blocks[:, 192:208]
    np.bitwise_or(scales & 0x80, (scales & 0x7F) | 0x20, out=scales)
    _put_f16(blocks, 208, d / np.float32(18.5 * 76.0))


def _fill_mxfp4(blocks: Bytes, d: Scales) -> None:
    """Powers of two below and above d, as many of each as give its mean square; d ends up there."""
    wanted = np.log2(d / np.float32(5.852))
    floor = np.floor(wanted)
    share = (np.exp2(2 * (wanted - floor)) - 1) / 3  # 1 - share + 4 share = the square above floor
    upper = blocks[:, 1].astype(np.float32) / 256 < share
    blocks[:, 0] = (floor + upper + 128).astype(np.uint8)


def _fill_iq1_m(blocks: Bytes, d: Scales) -> None:
    """The four nibbles of d are on top of four 16-bit words."""
    half = (d / np.float32(0.81 * 9.2)).astype(np.float16).view(np.uint16)
    for i in range(4):
        nibble = (half >> np.uint16(4 * i) & np.uint16(15)).astype(np.uint8)
        blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | nibble << 4


def _fill_ternary(blocks: Bytes, d: Scales, offset: int) -> None:
    """Both signs of d even out what the codes lack in symmetry."""
    _put_f16(blocks, offset, np.where(blocks[:, 3] & 1, d, -d))


def _fill_nvfp4(blocks: Bytes, d: Scales) -> None:
    """A scale for each 16 values: the middle bits of an f16, the last one random."""
    half = (d / np.float32(5.852 * 128)).astype(np.float16).view(np.uint16)
    blocks[:, :4] = (half >> np.uint16(7)).astype(np.uint8)[:, None] ^ (blocks[:, :4] & 1)


FILLERS: dict[str, Callable[[Bytes, Scales], None]] = {
    "Q4_0": lambda b, d: _fill_plain(b, d, 4.64),
    "Q5_0": lambda b, d: _fill_plain(b, d, 9.25),
    "IQ4_NL": lambda b, d: _fill_plain(b, d, 66.7),
    "IQ4_XS": lambda b, d: _fill_plain(b, d, 66.7 * 18.5),
    "Q4_1": lambda b, d: _fill_offset(b, d, 4.61, 7.5),
    "Q5_1": lambda b, d: _fill_offset(b, d, 9.23, 15.5),
    "Q8_0": _fill_q8_0,
    "Q2_K": _fill_q2_k,
    "Q3_K": lambda b, d: _put_f16(b, 108, d / np.float32(2.35 * 18.5)),
    "Q4_K": lambda b, d: _fill_k_minima(b, d, 4.61, 7.5),
    "Q5_K": lambda b, d: _fill_k_minima(b, d, 9.23, 15.5),
    "Q6_K": _fill_q6_k,
    "MXFP4": _fill_mxfp4,
    "NVFP4": _fill_nvfp4,
    "Q1_0": lambda b, d: _put_f16(b, 0, d),
    "Q2_0": lambda b, d: _fill_ternary(b, d / np.float32(1.22), 0),
    "TQ1_0": lambda b, d: _fill_ternary(b, d / np.float32(0.82), 52),
    "TQ2_0": lambda b, d: _fill_ternary(b, d / np.float32(1.22), 64),
    "IQ1_S": lambda b, d: _put_f16(b, 0, d / np.float32(0.81 * 9.2)),
    "IQ1_M": _fill_iq1_m,
    "IQ2_XXS": lambda b, d: _put_f16(b, 0, d / np.float32(2.92 * 18.5)),
    "IQ2_XS": lambda b, d: _put_f16(b, 0, d / np.float32(3.03 * 18.5)),
    "IQ2_S": lambda b, d: _put_f16(b, 0, d / np.float32(3.09 * 18.5)),
    "IQ3_XXS": lambda b, d: _put_f16(b, 0, d / np.float32(7.6 * 18.5)),
    "IQ3_S": lambda b, d: _put_f16(b, 0, d / np.float32(7.6 * 18.5)),
}


def row_bytes(type_name: str, columns: int) -> int:
    """Bytes of one row. Raises ValueError if the columns do not fill whole blocks."""
    values, size = GEOMETRY[type_name]
    if columns % values:
        raise ValueError(
            f"[{type_name}] rows are whole blocks. Got {columns} columns, "
            f"expected a multiple of {values}."
        )
    return columns // values * size


def _random_floats(rng: np.random.Generator, type_name: str, count: int, deviation: float) -> Bytes:
    """F32, F16 or BF16: uniform values, which cost a third of normal ones."""
    values = rng.random(count, dtype=np.float32)
    values -= np.float32(0.5)
    values *= np.float32(deviation * 12**0.5)
    if type_name == "F16":
        return values.astype(np.float16).view(np.uint8)
    if type_name == "BF16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    return values.view(np.uint8)


def random_blocks(
    rng: np.random.Generator, type_name: str, rows: int, columns: int, deviation: float
) -> Bytes:
    """A random [rows, columns] matrix in a GGUF type.

    Args:
        rng: the source; the result depends on nothing else.
        type_name: one of GEOMETRY.
        rows: number of rows.
        columns: values per row, whole blocks.
        deviation: standard deviation of the decoded values, about.

    Returns:
        [rows, bytes per row] u8, ready for a GGUF writer.

    Raises:
        ValueError: columns do not fill whole blocks.
    """
    width = row_bytes(type_name, columns)
    if type_name in {"F32", "F16", "BF16"}:
        return _random_floats(rng, type_name, rows * columns, deviation).reshape(rows, width)
    size = GEOMETRY[type_name][1]
    count = rows * width // size
    words = rng.integers(0, 1 << 64, -(-rows * width // 8), dtype=np.uint64)
    blocks = words.view(np.uint8)[: rows * width].reshape(count, size)
    d = np.float32(deviation) * (np.float32(0.75) + rng.random(count, dtype=np.float32) / 2)
    FILLERS[type_name](blocks, d)
    return blocks.reshape(rows, width)
