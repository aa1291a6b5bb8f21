# SPDX-License-Identifier: MIT
"""Every format against the gguf package: dequantization bit for bit, encoders bit for bit or close.

Two formats are younger than its decoders; theirs are written here from the definition of the block,
and checked on blocks computed by hand. Blocks are random bytes under chosen scales: ordinary ones,
zeros of both signs, the largest f16, subnormals. Infinite and NaN scales are left out: no file
holds them and NaN has no one bit pattern.
"""

from __future__ import annotations

import numpy as np
import pytest
from format_budgets import BUDGETS
from numpy.typing import NDArray

import gguf
from gristmill import UnsupportedError, _core

SUPPORTED = {name: (values, size) for name, _, values, size, kind in _core.tensor_types()
             if kind == "supported"}  # fmt: skip
SCALES = {
    "ordinary": None,
    "zero": [0x0000, 0x8000],
    "largest": [0x7BFF, 0xFBFF],
    "subnormal": [0x0001, 0x8001, 0x03FF, 0x83FF],
    "smallest normal": [0x0400, 0x8400],
}


def _type(name: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType[name]


def _q1_0(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """d f16, then 128 signs, the first in the lowest bit: d where it is set, else -d."""
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return np.where(np.unpackbits(blocks[:, 2:], axis=1, bitorder="little") == 1, d, -d)


def _q2_0(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """d f16, then 64 pairs of bits, the first the lowest: d * (q - 1)."""
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").astype(np.int8)
    return (bits[:, 0::2] + 2 * bits[:, 1::2] - 1).astype(np.float32) * d


REFERENCES = {"Q1_0": _q1_0, "Q2_0": _q2_0}


def _dequantize(name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Blocks [rows, bytes] as the oracle reads them."""
    if name in REFERENCES:
        values = REFERENCES[name](blocks.reshape(-1, SUPPORTED[name][1]))
        return values.reshape(len(blocks), -1)
    with np.errstate(over="ignore"):  # the largest E8M0 scales
        return gguf.quants.dequantize(blocks, _type(name))


def _put_iq1_m_scale(blocks: NDArray[np.uint8], half: NDArray[np.uint16]) -> None:
    """IQ1_M has 4 bits of its f16 on top of each of four 16-bit words."""
    for i in range(4):
        nibble = (half >> (4 * i) & 15).astype(np.uint8)
        blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | nibble << 4


def _blocks(name: str, rows: int, scales: list[int] | None, seed: int) -> NDArray[np.uint8]:
    """Random blocks [rows, 4 blocks of 256 values] whose f16 fields are finite."""
    values, size = SUPPORTED[name]
    rng = np.random.default_rng(seed)
    count = rows * 1024 // values
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    offsets = BUDGETS[name].scales
    if name == "F32":
        blocks = rng.standard_normal(count).astype(np.float32).view(np.uint8)
    elif name in {"F16", "BF16"}:
        blocks = rng.integers(0, 0x7C00, count, dtype=np.uint16).view(np.uint8)
    for offset in offsets:
        if scales is None:
            half = rng.standard_normal(count).astype(np.float16).view(np.uint16)
        else:
            half = rng.choice(np.array(scales, dtype=np.uint16), count)
        blocks[:, offset : offset + 2] = half.view(np.uint8).reshape(-1, 2)
    if name == "IQ1_M":
        _put_iq1_m_scale(blocks, rng.standard_normal(count).astype(np.float16).view(np.uint16))
    return blocks.reshape(rows, -1)


def _values(kind: str, seed: int) -> NDArray[np.float32]:
    """[16, 1024] f32 to encode."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((16, 1024)).astype(np.float32)
    tables = {
        "normal": normal,
        "large": normal * np.float32(3e3),
        "tiny": normal * np.float32(1e-6),
        "zero": np.zeros_like(normal),
        "one per block": np.where(np.arange(1024) % 32 == 7, normal, np.float32(0)),
        "equal": np.full_like(normal, -0.75),
        "integers": np.rint(normal * 40).astype(np.float32),
        "half integers": (np.rint(normal * 40) + np.float32(0.5)).astype(np.float32),
        "positive": np.abs(normal),
    }
    return tables[kind]


def test_every_supported_format_has_a_budget() -> None:
    assert set(SUPPORTED) == set(BUDGETS)


@pytest.mark.parametrize("entry", _core.tensor_types(), ids=lambda entry: entry[0])
def test_geometry(entry: tuple[str, int, int, int, str]) -> None:
    name, number, values, size, kind = entry
    if kind == "removed":
        assert number not in {t.value for t in gguf.GGMLQuantizationType}
    elif number in {t.value for t in gguf.GGMLQuantizationType}:
        assert _type(name).value == number
        # The package gives Q8_1 two f32 fields; they have been f16 since 2024, and no file has it.
        expected = (32, 36) if name == "Q8_1" else gguf.GGML_QUANT_SIZES[_type(name)]
        assert expected == (values, size)
    else:
        # Younger than the gguf package at hand.
        assert number > max(t.value for t in gguf.GGMLQuantizationType)


@pytest.mark.parametrize(
    ("name", "scales"),
    [(n, s) for n in sorted(BUDGETS) for s in SCALES if s == "ordinary" or BUDGETS[n].scales],
)
def test_decode_bit_for_bit(name: str, scales: str) -> None:
    blocks = _blocks(name, 16, SCALES[scales], seed=len(scales))
    ours = _core.decode(name, blocks, (16, 1024))
    theirs = _dequantize(name, blocks)
    assert ours.shape == theirs.shape == (16, 1024)
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))


def test_every_e8m0_scale() -> None:
    """Each of the 256 scales with each of the 16 codes; 0 and 1 are denormal, 255 is no NaN."""
    blocks = np.empty((256, 17), dtype=np.uint8)
    blocks[:, 0] = np.arange(256)
    blocks[:, 1:] = np.arange(16) * 0x11
    ours = _core.decode("MXFP4", blocks, (256, 32))
    with np.errstate(over="ignore"):
        theirs = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.MXFP4)
    assert len(np.unique(np.abs(ours))) > 256
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))


def test_every_nvfp4_scale() -> None:
    """Each of the 256 scales with each of the 16 codes; 127 is NaN and stands for 0."""
    blocks = np.empty((256, 36), dtype=np.uint8)
    blocks[:, :4] = np.arange(256)[:, None]
    blocks[:, 4:] = np.arange(32) % 16 * 0x11
    ours = _core.decode("NVFP4", blocks, (256, 64))
    theirs = _dequantize("NVFP4", blocks)
    assert len(np.unique(np.abs(ours))) > 100
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("decode", ["ours", "the reference"])
def test_blocks_computed_by_hand(decode: str) -> None:
    q1_0 = bytes([0x00, 0xC0]) + bytes([0b00000101]) + bytes(14) + bytes([0x80])  # d = -2
    q2_0 = bytes([0x00, 0x38]) + bytes([0b11100100]) + bytes(14) + bytes([0x40])  # d = 0.5
    expected = {
        "Q1_0": [-2.0, 2.0, -2.0] + [2.0] * 124 + [-2.0],
        "Q2_0": [-0.5, 0.0, 0.5, 1.0] + [-0.5] * 59 + [0.0],
    }
    for name, block in {"Q1_0": q1_0, "Q2_0": q2_0}.items():
        row = np.frombuffer(block, dtype=np.uint8).reshape(1, -1)
        values = expected[name]
        got = (
            _core.decode(name, row, (1, len(values)))
            if decode == "ours"
            else _dequantize(name, row)
        )
        np.testing.assert_array_equal(got[0], np.array(values, dtype=np.float32))


@pytest.mark.parametrize("name", sorted(n for n, b in BUDGETS.items() if b.error is None))
def test_read_only_formats_say_so(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{name} can be read but not written"):
        _core.encode(name, _values("normal", seed=1))


@pytest.mark.parametrize("kind", [
    "normal", "large", "tiny", "zero", "one per block", "equal", "integers", "half integers",
    "positive",
])  # fmt: skip
@pytest.mark.parametrize("name", sorted(n for n, b in BUDGETS.items() if b.exact_encoder))
def test_encode_bit_for_bit(name: str, kind: str) -> None:
    values = _values(kind, seed=3)
    ours = _core.encode(name, values).reshape(-1)
    theirs = gguf.quants.quantize(values, _type(name)).view(np.uint8).reshape(-1)
    different = int((ours != theirs).sum())
    assert different == 0, f"{different} of {ours.size} bytes differ"


@pytest.mark.parametrize("name", sorted(n for n, b in BUDGETS.items() if b.error is not None))
def test_encode_error(name: str) -> None:
    values = _values("normal", seed=11)
    blocks = _core.encode(name, values).reshape(16, -1)
    decoded = _dequantize(name, blocks).astype(np.float64)
    error = float(
        np.sqrt(np.mean((decoded - values) ** 2) / np.mean(values.astype(np.float64) ** 2))
    )
    low, high = BUDGETS[name].error or (0.0, 0.0)
    assert low <= error <= high, f"{name}: {error:.5f}"
    twice = _core.decode(name, blocks, values.shape)
    np.testing.assert_array_equal(twice, decoded.astype(np.float32))
