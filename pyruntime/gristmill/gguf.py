# SPDX-License-Identifier: MIT
"""GGUF files in Python: read metadata and tensors, write new files.

`File` is a view of a validated, read-only map: opening walks the header, values are read when asked
for, and tensor bytes are never copied. `Writer` is in gguf_writer.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill import _core
from gristmill.errors import FormatError
from gristmill.gguf_writer import NUMPY_TYPES, Array, Path, Writer

__all__ = ["File", "Metadata", "TensorInfo", "Writer"]


@dataclass(frozen=True)
class TensorInfo:
    """One entry of a tensor table.

    Attributes:
        name: Unique in the model.
        type: GGUF type name, such as "Q4_K".
        shape: Values per dimension in NumPy order (rows first, the row length last).
        offset: Bytes from the start of the file that holds it.
        nbytes: Size in the file, in bytes.
        part: Which file of a split model holds it, from 0; see `File.paths`.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    part: int


class Metadata(Mapping[str, Any]):
    """The keys of a GGUF file; values are read on first use and kept.

    Values are int, float, bool, str, NumPy arrays (of numbers and booleans; do not modify them) or
    lists (of str, or of such values for nested arrays). Strings that are not valid UTF-8 keep
    their bytes through the surrogateescape error handler.
    """

    def __init__(self, core: _core.GgufFile) -> None:
        self._core = core
        self._keys = dict.fromkeys(core.keys())
        self._cache: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        if key not in self._cache:
            value = self._core.value(key)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            self._cache[key] = value
        return self._cache[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __repr__(self) -> str:
        return f"<Metadata: {len(self)} keys>"

    def type(self, key: str) -> str:
        """Returns the GGUF type of a value, such as "uint32" or "array[string]"."""
        if key not in self._keys:
            raise KeyError(key)
        return self._core.value_type(key)

    def length(self, key: str) -> int:
        """Returns the number of elements of an array without reading it.

        Raises:
            FormatError: The value is not an array.
        """
        if key not in self._keys:
            raise KeyError(key)
        return self._core.array_length(key)


class File:
    """A GGUF model on disk, one file or all parts of a split one.

    There is nothing to close: the map lives as long as this object or an array from it does.

    Args:
        path: The file; for a split model its first part.

    Raises:
        ResourceError: The file, or a part of it, cannot be read.
        FormatError: Its bytes break the format.
        UnsupportedError: Its version, byte order or a tensor type cannot be read.

    Example:
        >>> file = File("model.gguf")  # doctest: +SKIP
        >>> file.architecture, file.metadata["general.name"]  # doctest: +SKIP
        >>> file.dequantize("token_embd.weight").shape  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self._core = _core.GgufFile(os.fsencode(path))
        self.metadata: Metadata = Metadata(self._core)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(
            {entry[0]: TensorInfo(*entry) for entry in self._core.tensors()}
        )

    @property
    def core(self) -> _core.GgufFile:
        """The object of the C++ core, for building a model on it."""
        return self._core

    @property
    def version(self) -> int:
        """GGUF version, 2 or 3."""
        return self._core.version

    @property
    def alignment(self) -> int:
        """Alignment of tensor data in bytes."""
        return self._core.alignment

    @property
    def paths(self) -> list[str]:
        """The files that make up the model."""
        return self._core.paths

    @property
    def nbytes(self) -> int:
        """Size of all files in bytes."""
        return self._core.file_bytes

    @property
    def architecture(self) -> str:
        """The value of general.architecture.

        Raises:
            FormatError: The key is missing or not a string.
        """
        value = self.metadata.get("general.architecture")
        if isinstance(value, str):
            return value
        got = "no such key" if value is None else self.metadata.type("general.architecture")
        raise FormatError(
            f"[{self.paths[0]}, key 'general.architecture'] a string is needed. Got {got}."
        )

    def data(self, name: str) -> Array:
        """Returns a tensor as a read-only view of the file, without a copy.

        Args:
            name: A key of `tensors`.

        Returns:
            For types that NumPy has (F32, F16, F64, I8 to I64) an array of the tensor's shape. For
            the others uint8 [..., row bytes]: the blocks, one row of the tensor per row.

        Raises:
            KeyError: There is no such tensor.
        """
        info = self.tensors[name]
        raw = self._core.tensor_bytes(name)
        dtype = NUMPY_TYPES.get(info.type)
        if dtype is not None:
            return raw.view(dtype).reshape(info.shape)
        return raw.reshape(*info.shape[:-1], -1)

    def dequantize(self, name: str) -> NDArray[np.float32]:
        """Returns a tensor's values as a new float32 array of its shape.

        Args:
            name: A key of `tensors`.

        Raises:
            KeyError: There is no such tensor.
            UnsupportedError: The type has no decoder.
            ResourceError: The file was shortened or failed meanwhile.
        """
        info = self.tensors[name]
        if info.type in NUMPY_TYPES:
            values = self.data(name).astype(np.float32)
        else:
            values = _core.decode(info.type, self._core.tensor_bytes(name), info.shape)
        self.check()
        return values

    def check(self) -> None:
        """Makes sure that what was read so far was really there.

        Bytes of a file that another program shortens while it is open, or that its medium fails to
        give, read as zeros. Values and tensors are checked when they are handed out; call this
        after reading a view of `data`.

        Raises:
            ResourceError: Some bytes are gone.
        """
        self._core.check()

    def __repr__(self) -> str:
        counts = f"{len(self.metadata)} keys, {len(self.tensors)} tensors"
        return f"<gguf.File {self.paths[0]!r}: {counts}>"
