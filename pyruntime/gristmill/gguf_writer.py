# SPDX-License-Identifier: MIT
"""The writer of GGUF files; use it as gristmill.gguf.Writer.

It gathers keys and tensors in any order and streams them to disk when it closes, one tensor in
memory at a time where sources are callables. The file appears under its name complete or not at
all, so an interrupt or a full disk cannot damage an older one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from gristmill import _core
from gristmill.errors import FormatError, ShapeError, UnsupportedError

__all__ = ["Writer"]

Path: TypeAlias = Union[str, "os.PathLike[str]"]
Array: TypeAlias = NDArray[Any]
Pieces: TypeAlias = Union[Array, Iterator[Array]]  # noqa: UP007 - evaluated on 3.10
TensorSource: TypeAlias = Union[Array, Callable[[], Pieces]]  # noqa: UP007

# Tensor types that NumPy has too; the others are seen as blocks of bytes.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "F64": np.dtype(np.float64),
    "I8": np.dtype(np.int8),
    "I16": np.dtype(np.int16),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
}
_TYPE_OF_DTYPE = {dtype: name for name, dtype in NUMPY_TYPES.items()}
_ALIGNMENT_KEY = "general.alignment"


@dataclass(frozen=True)
class _Pending:
    """A tensor that waits for close()."""

    name: str
    type: str
    shape: tuple[int, ...]
    raw: bool
    source: TensorSource


class Writer:
    """Writes a GGUF v3 file, complete or not at all.

    Used as a context manager; leaving the block writes the file, an exception discards it and
    leaves an older file of that name as it was.

    Args:
        path: The file to write or replace.
        alignment: Of tensor data, in bytes: a power of two from 8.

    Raises:
        ResourceError: The file cannot be created.
        FormatError: The alignment is not valid.

    Example:
        >>> with Writer("tiny.gguf") as writer:  # doctest: +SKIP
        ...     writer.add("general.architecture", "llama")
        ...     writer.add_tensor("output.weight", np.eye(32, dtype=np.float32), "Q8_0")
    """

    def __init__(self, path: Path, alignment: int = 32) -> None:
        self._core = _core.GgufWriter(os.fsencode(path), alignment)
        self._path = os.fspath(path)
        self._alignment = alignment
        self._pending: list[_Pending] = []

    def add(self, key: str, value: Any, type: str | None = None) -> None:
        """Adds a metadata value.

        Args:
            key: Unique; by convention lower_snake_case with dots.
            value: bool, int, float, str, bytes (a string that is not UTF-8), a NumPy scalar or
                array of one dimension, or a sequence of such scalars.
            type: GGUF type, such as "uint64" or "array[string]". None infers it: int is uint32
                (int32 if negative), float is float32, NumPy values keep their type.

        Raises:
            FormatError: The key was added already, or the value does not fit the type.
        """
        if key == _ALIGNMENT_KEY and value == self._alignment:
            return  # the writer says so itself, where it is not the default
        kind = _infer_type(key, value) if type is None else type
        if kind.startswith("array[") and isinstance(value, np.ndarray):
            value = _fitting_array(value, kind)
        self._core.add(key, kind, value)

    def add_tensor(
        self,
        name: str,
        source: TensorSource,
        type_name: str | None = None,
        *,
        shape: Sequence[int] | None = None,
        raw: bool = False,
    ) -> None:
        """Adds a tensor; its bytes are made and written when the writer closes.

        Args:
            name: Unique, 1 to 63 bytes.
            source: The array, or a callable that returns it: called once, at close, and its result
                is dropped once written, so that a large model needs memory for one tensor only.
                With `raw`, it may return an iterator of the bytes in pieces: memory for one piece.
            type_name: GGUF type to store, such as "Q8_0". None takes the type of the array.
            shape: Values per dimension in NumPy order. Needed for a callable and for raw blocks;
                otherwise that of the array.
            raw: `source` holds the bytes as they are to be stored. Otherwise it holds values, and
                quantized types are encoded from float32. Implied by an array of uint8 with a
                `shape`.

        Raises:
            ShapeError: No shape is given, or it is not that of the array.
            UnsupportedError: The type is unknown or cannot be encoded.
        """
        if callable(source):
            if shape is None or type_name is None:
                raise ShapeError(f"[tensor {name!r}] a callable needs type_name and shape.")
        else:
            source = np.asarray(source)
            raw = raw or (source.dtype == np.uint8 and shape is not None)
            type_name = type_name or _TYPE_OF_DTYPE.get(source.dtype)
            if type_name is None:
                raise UnsupportedError(
                    f"[tensor {name!r}] no GGUF type is like {source.dtype}. Hint: give type_name."
                )
            if raw and shape is None:
                raise ShapeError(f"[tensor {name!r}] raw blocks need a shape.")
            if not raw and shape is not None and tuple(shape) != source.shape:
                raise ShapeError(
                    f"[tensor {name!r}] the array has another shape. "
                    f"Got {source.shape}, expected {tuple(shape)}."
                )
            shape = source.shape if shape is None else shape
        self._pending.append(_Pending(name, type_name, tuple(shape), raw, source))

    def close(self) -> None:
        """Writes everything and renames the file into place; on failure nothing is left behind.

        Raises:
            ResourceError: The disk is full or the file cannot be written.
            ShapeError: A source gave other bytes than declared.
        """
        try:
            for tensor in self._pending:
                self._core.declare(tensor.name, tensor.type, tensor.shape)
            self._pending.reverse()
            while self._pending:
                tensor = self._pending.pop()
                for piece in _stored(tensor):
                    self._core.write(tensor.name, piece)
            self._core.close()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Discards everything; an older file of that name stays as it was."""
        self._pending.clear()
        self._core.abort()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()


def _stored(tensor: _Pending) -> Iterator[Array]:
    """The bytes of a tensor as they stand in the file, in pieces."""
    source = tensor.source() if callable(tensor.source) else tensor.source
    if tensor.raw:
        pieces = source if isinstance(source, Iterator) else iter((np.asarray(source),))
        yield from map(np.ascontiguousarray, pieces)
    else:
        yield _encoded(tensor, np.asarray(source))


def _encoded(tensor: _Pending, array: Array) -> Array:
    """The bytes of a tensor's values."""
    if array.shape != tensor.shape:
        raise ShapeError(
            f"[tensor {tensor.name!r}] the source gave another shape. "
            f"Got {array.shape}, expected {tensor.shape}."
        )
    dtype = NUMPY_TYPES.get(tensor.type.upper())
    if dtype is not None and array.dtype == dtype:
        return np.ascontiguousarray(array)
    if dtype is not None and dtype.kind == "i":
        raise ShapeError(
            f"[tensor {tensor.name!r}] integers are stored as they are. "
            f"Got {array.dtype}, expected {dtype}."
        )
    if array.dtype.kind != "f":
        raise ShapeError(
            f"[tensor {tensor.name!r}] values are floating-point. Got {array.dtype}. "
            "Hint: raw=True stores blocks."
        )
    if tensor.type.upper() == "F64":
        return array.astype(np.float64)
    return _core.encode(tensor.type, np.ascontiguousarray(array, dtype=np.float32))


_GGUF_OF_DTYPE = {
    np.dtype(kind): kind
    for kind in (
        "uint8", "int8", "uint16", "int16", "uint32", "int32",
        "uint64", "int64", "float32", "float64", "bool",
    )
}  # fmt: skip


def _infer_type(key: str, value: Any) -> str:
    """The GGUF type for a value that comes without one."""
    if isinstance(value, np.ndarray):
        if value.dtype not in _GGUF_OF_DTYPE or value.ndim != 1:
            raise FormatError(
                f"[key {key!r}] arrays are numbers or booleans of one dimension. "
                f"Got {value.dtype} {value.shape}."
            )
        return f"array[{_GGUF_OF_DTYPE[value.dtype]}]"
    if isinstance(value, np.generic) and value.dtype in _GGUF_OF_DTYPE:
        return _GGUF_OF_DTYPE[value.dtype]
    if isinstance(value, (list, tuple)):
        return f"array[{_infer_element(key, value)}]"
    scalar = _infer_scalar(value)
    if scalar is None:
        raise FormatError(f"[key {key!r}] no GGUF type fits. Got {type(value).__name__}.")
    return scalar


def _infer_scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int32" if value < 0 else "uint32"
    if isinstance(value, float):
        return "float32"
    return "string" if isinstance(value, (str, bytes)) else None


def _infer_element(key: str, values: Sequence[Any]) -> str:
    """The element type of a sequence: one for all, integers widened by sign."""
    kinds = {_infer_scalar(value) for value in values}
    if kinds == {"int32", "uint32"}:
        return "int32"
    if len(kinds) != 1 or None in kinds:
        raise FormatError(
            f"[key {key!r}] the elements have no common type. "
            "Hint: give the type, such as 'array[float32]'."
        )
    return str(kinds.pop())


def _fitting_array(value: Array, kind: str) -> Array:
    """`value` in the dtype of `kind` if that keeps every value; the core reports the rest."""
    name = kind[len("array[") : -1]
    if name not in _GGUF_OF_DTYPE.values() or value.ndim != 1 or name == "bool":
        return value
    with np.errstate(all="ignore"):
        cast = value.astype(name)
    same = np.array_equal(cast, value) or (value.dtype.kind == "f" and cast.dtype.kind == "f")
    return cast if same else value
