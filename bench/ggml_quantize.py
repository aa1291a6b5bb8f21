# SPDX-License-Identifier: MIT
"""Files whose blocks ggml's own encoders make, with our recipe: what llama.cpp's quantizer gives.

Needs the shared library libggml-base that comes with llama-cpp-python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gristmill import _core
from gristmill.gguf import File, Writer
from gristmill.quantize.quantizer import types_of
from gristmill.quantize.recipe import FILE_TYPES
from gristmill.tensor_types import TENSOR_TYPES

Array = NDArray[np.float32]
_IDS = {name: number for name, number, *_ in _core.tensor_types()}


class Ggml:
    """ggml_quantize_chunk of a library."""

    def __init__(self, library: Path) -> None:
        self._encode = ctypes.CDLL(str(library)).ggml_quantize_chunk
        self._encode.restype = ctypes.c_size_t
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._encode.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]

    def encode(self, kind: str, values: Array, weights: Array | None = None) -> NDArray[np.uint8]:
        """The blocks of a matrix [rows, K], its columns weighted [K]."""
        known = TENSOR_TYPES[kind]
        out = np.zeros(values.size // known.values * known.nbytes, np.uint8)
        rows, columns = values.shape
        importance = None if weights is None else weights.ctypes.data
        written = self._encode(
            _IDS[kind], values.ctypes.data, out.ctypes.data, 0, rows, columns, importance
        )
        if written != out.size:
            raise RuntimeError(f"ggml wrote {written} bytes of {kind}, expected {out.size}")
        return out

    def quantize(
        self, source: Path, out: Path, file_type: str, importance: Mapping[str, Array] | None = None
    ) -> None:
        """Writes a model in another type."""
        file = File(source)
        types = types_of(file, file_type)
        with Writer(out) as writer:
            for key in file.metadata:
                if not key.startswith(("general.file_type", "general.quantization_version")):
                    writer.add(key, file.metadata[key], file.metadata.type(key))
            writer.add("general.file_type", FILE_TYPES[file_type][0])
            writer.add("general.quantization_version", 2)
            for name, tensor in file.tensors.items():
                values = file.dequantize(name)
                if TENSOR_TYPES[types[name]].values == 1:
                    writer.add_tensor(name, values, types[name])
                    continue
                rows = np.ascontiguousarray(values.reshape(-1, tensor.shape[-1]))
                made = self.encode(types[name], rows, (importance or {}).get(name))
                writer.add_tensor(name, made, types[name], shape=tensor.shape, raw=True)
