# SPDX-License-Identifier: MIT
"""The experts of gpt-oss, which its checkpoints hold in an order of their own.

Gates and ups take turns in one tensor. The published weights are MXFP4, blocks and scales in two
tensors of rows; other checkpoints have floats, where each expert's matrix is transposed. One
expert is in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill import _core
from gristmill.errors import ShapeError

from .config import Config
from .encode import check_values, to_floats
from .mapping import Output
from .safetensors import Checkpoint, Entry

Bytes = NDArray[np.uint8]

_EXPERTS = re.compile(
    r"(?:model\.)?layers\.(\d{1,5})\.mlp\.experts\.(gate_up|down)_proj(_bias|_blocks|_scales|)"
)
_BLOCK = 32  # values of an MXFP4 block
# Whose rows become which tensor: every second one, or all.
_PARTS = {
    "gate_up": (("ffn_gate_exps", 0, 2), ("ffn_up_exps", 1, 2)),
    "down": (("ffn_down_exps", 0, 1),),
}


def expert_tensors(config: Config, entries: Mapping[str, Entry]) -> dict[str, list[Output]]:
    """What the experts' tensors become, by the name of the tensor that is used up."""
    made: dict[str, list[Output]] = {}
    for key, entry in entries.items():
        match = _EXPERTS.fullmatch(key)
        if match is None:
            continue
        layer, kind, suffix = int(match[1]), match[2], match[3]
        if suffix == "_scales":
            made[key] = []
            continue
        scales = entries.get(key.removesuffix("_blocks") + "_scales")
        made[key] = [
            _output(f"blk.{layer}.{stem}", entry, scales, suffix, (first, step))
            for stem, first, step in _PARTS[kind]
        ]
    return made


def _output(
    stem: str, entry: Entry, scales: Entry | None, suffix: str, part: tuple[int, int]
) -> Output:
    """One tensor of the file: rows `part[0]`, `part[0] + part[1]`, and so on."""
    shape, step = entry.shape, part[1]
    if suffix == "_bias":
        _require(entry, len(shape) == 2 and shape[1] % step == 0)
        bias = _Bias(entry, part)
        return Output(f"{stem}.bias", (shape[0], shape[1] // step), (), reader=bias)
    if suffix == "_blocks":
        _require(entry, len(shape) == 4 and shape[1] % step == 0 and shape[3] == _BLOCK // 2)
        _require(entry, scales is not None and scales.shape == shape[:3])
        assert scales is not None
        full = (shape[0], shape[1] // step, shape[2] * _BLOCK)
        return Output(f"{stem}.weight", full, (), reader=_Mxfp4(entry, scales, part), type="MXFP4")
    _require(entry, len(shape) == 3 and shape[2] % step == 0)
    full = (shape[0], shape[2] // step, shape[1])
    return Output(f"{stem}.weight", full, (), reader=_Transposed(entry, part))


def _require(entry: Entry, holds: bool) -> None:
    if not holds:
        raise ShapeError(
            f"[tensor {entry.name!r}] Experts must have [experts, rows] biases, [experts, columns, "
            "rows] floats, or [experts, rows, blocks, 16] MXFP4 with as many scales. "
            f"Got {list(entry.shape)}."
        )


class _Bias:
    """[experts, rows] F32."""

    def __init__(self, entry: Entry, part: tuple[int, int]) -> None:
        self._entry, (self._first, self._step) = entry, part

    def __call__(self, checkpoint: Checkpoint, kind: str) -> Iterator[Bytes]:
        values = to_floats(checkpoint.read(self._entry, 0, self._entry.rows), self._entry.dtype)
        check_values(values, self._entry, kind)
        yield _core.encode(kind, np.ascontiguousarray(values[:, self._first :: self._step]))


class _Transposed:
    """[experts, rows, columns] of a matrix [columns, rows] per expert."""

    def __init__(self, entry: Entry, part: tuple[int, int]) -> None:
        self._entry, (self._first, self._step) = entry, part

    def __call__(self, checkpoint: Checkpoint, kind: str) -> Iterator[Bytes]:
        entry = self._entry
        experts, columns, _ = entry.shape
        for expert in range(experts):
            stored = checkpoint.read(entry, expert * columns, columns)
            values = to_floats(stored[:, self._first :: self._step].T, entry.dtype)
            check_values(values, entry, kind)
            yield _core.encode(kind, np.ascontiguousarray(values))


class _Mxfp4:
    """The bytes of blocks: a scale, then value i beside value i + 16 where they are neighbours."""

    def __init__(self, blocks: Entry, scales: Entry, part: tuple[int, int]) -> None:
        self._blocks, self._scales, (self._first, self._step) = blocks, scales, part

    def __call__(self, checkpoint: Checkpoint, _kind: str) -> Iterator[Bytes]:
        experts, rows, blocks, half = self._blocks.shape
        for expert in range(experts):
            codes = self._read(checkpoint, self._blocks, expert, rows * blocks)
            scales = self._read(checkpoint, self._scales, expert, rows)
            codes = codes.reshape(rows, blocks, half)[self._first :: self._step]
            scales = scales.reshape(rows, blocks, 1)[self._first :: self._step]
            low, high = codes[..., : half // 2], codes[..., half // 2 :]
            even = (low & 15) | (high << 4)
            odd = (low >> 4) | (high & 0xF0)
            mixed = np.stack([even, odd], axis=-1).reshape(codes.shape)
            yield np.concatenate([scales, mixed], axis=-1).reshape(-1)

    @staticmethod
    def _read(checkpoint: Checkpoint, entry: Entry, expert: int, rows: int) -> NDArray[Any]:
        return checkpoint.read_bytes(entry, expert * rows, rows)
