# SPDX-License-Identifier: MIT
"""Types of the C++ core. Private: use the Python modules around it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

# -- gguf ---------------------------------------------------------------------------------------
class GgufFile:
    """A validated, read-only map of a GGUF file (all parts of a split file).

    Paths are str, or bytes as the file system has them. Raises ResourceError, FormatError,
    UnsupportedError.
    """

    def __init__(self, path: str | bytes) -> None: ...
    @property
    def version(self) -> int: ...
    @property
    def alignment(self) -> int: ...
    @property
    def paths(self) -> list[str]: ...
    @property
    def file_bytes(self) -> int: ...  # all parts
    def keys(self) -> list[str]: ...
    # These raise KeyError for a key or tensor that is not there.
    def value_type(self, key: str) -> str: ...  # "uint32", "array[string]", ...
    # Scalars; str (surrogateescape); arrays whole: NumPy (a copy), list[str], list of arrays.
    def value(self, key: str) -> Any: ...
    def array_length(self, key: str) -> int: ...
    # (name, type name, shape in numpy order (rows first), absolute offset, bytes, part)
    def tensors(self) -> list[tuple[str, str, tuple[int, ...], int, int, int]]: ...
    def tensor_bytes(self, name: str) -> NDArray[np.uint8]: ...  # a read-only view into the map

class GgufWriter:
    """Streams a GGUF v3 file to a temporary name; `close` renames it into place.

    Raises ResourceError (disk full, ...), FormatError, ShapeError, UnsupportedError. After a
    failure, and when dropped unclosed, `abort` removes the temporary file.
    """

    def __init__(self, path: str | bytes, alignment: int = 32) -> None: ...
    def add(self, key: str, value_type: str, value: Any) -> None: ...
    # Declares a tensor; the bytes follow in the order of declaration, in pieces of any size.
    def declare(self, name: str, type_name: str, shape: Sequence[int]) -> None: ...
    # Any object with a C-contiguous buffer.
    def write(self, name: str, data: NDArray[Any] | bytes | memoryview) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...

# -- formats ------------------------------------------------------------------------------------
# (name, id, values per block, bytes per block, "supported" | "data" | "removed")
def tensor_types() -> list[tuple[str, int, int, int, str]]: ...
def decode(
    type_name: str, blocks: NDArray[np.uint8], shape: Sequence[int]
) -> NDArray[np.float32]: ...
def encode(type_name: str, values: NDArray[np.float32]) -> NDArray[np.uint8]: ...

# -- machine ------------------------------------------------------------------------------------
def available_isas() -> list[str]: ...  # slowest first
def default_isa() -> str: ...  # honours GRISTMILL_ISA; raises UnsupportedError
def cpu_name() -> str: ...
def default_threads() -> tuple[int, str]: ...  # (count, why)
def measure_bandwidth(threads: int, megabytes: int = 512) -> float: ...  # bytes/s, sequential read
def measure_int8_peak(threads: int, isa: str) -> float: ...  # multiply-accumulates/s

# -- runtime ------------------------------------------------------------------------------------
class Model:
    """Packed weights and a validated plan. Shared by sessions; immutable.

    `plan` is the dict that gristmill.architectures.graph builds (see csrc/plan/plan.h).
    Raises ShapeError with every missing, extra or misshaped tensor at once, UnsupportedError,
    ResourceError.
    """

    def __init__(
        self,
        file: GgufFile,
        plan: dict[str, Any],
        threads: int = 0,
        isa: str = "",
        progress: Any = None,  # callable(done_bytes, total_bytes), called from the loading thread
    ) -> None: ...
    threads: int
    isa: str
    vocab_size: int
    weight_bytes: int  # read per token in decode
    panel_bytes: int
    mapped_bytes: int

class Session:
    """A KV cache and the buffers of one sequence. forward releases the GIL."""

    def __init__(
        self, model: Model, context: int, max_batch: int = 512, all_logits: bool = False
    ) -> None: ...
    position: int  # tokens in the KV cache
    context: int
    max_batch: int
    memory_bytes: dict[str, int]  # {"kv_cache": ..., "arena": ..., "rope_tables": ...}
    # Appends T <= max_batch tokens; logits of the last one (of all with all_logits=True).
    # Raises ContextError (does not fit, token out of range, empty) before any compute.
    def forward(self, tokens: NDArray[np.int32]) -> None: ...
    def truncate(self, position: int) -> None: ...  # drop the cache from `position` on
    def logits(self) -> NDArray[np.float32]: ...  # [rows, V], a read-only view valid until forward
    # Best n of the last row, logits descending (ties: lower id first), and logsumexp of the row.
    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]: ...
