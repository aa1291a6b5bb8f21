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
    # Raises ResourceError if bytes of the file are gone; the reads above do, too.
    def check(self) -> None: ...

# (NaNs, infinities, index of the first such value, largest magnitude of the others, its index,
# median over pieces of 4096 values of their largest magnitudes) of a tensor; None if its type has
# no decoder. Raises KeyError, and ResourceError if the file cannot be read to the end.
def scan_values(
    file: GgufFile,
    name: str,
    threads: int = 0,
    progress: Any = None,  # callable(done_bytes), called from the calling thread
) -> tuple[int, int, int, float, int, float] | None: ...

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
def quantize(
    type_name: str,
    values: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
    threads: int = 1,
    isa: str = "",
) -> NDArray[np.uint8]: ...
def fit(
    type_name: str,
    values: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
    threads: int = 1,
    isa: str = "",
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.uint8],
]: ...
def pack(
    type_name: str,
    d: NDArray[np.float32],
    m: NDArray[np.float32],
    scales: NDArray[np.int32],
    mins: NDArray[np.int32],
    codes: NDArray[np.uint8],
) -> NDArray[np.uint8]: ...

# -- machine ------------------------------------------------------------------------------------
def available_isas() -> list[str]: ...  # slowest first
def default_isa() -> str: ...  # honours GRISTMILL_ISA; raises UnsupportedError
def cpu_name() -> str: ...
def default_threads() -> tuple[int, str]: ...  # (count, why)

# Keys: cpus (list of those allowed), online, sockets, cores, performance_cores, threads_per_core,
# quota (CPUs of the tightest cgroup). 0 where the system says nothing or sets no limit.
def cpu_topology() -> dict[str, Any]: ...
def measure_bandwidth(threads: int, megabytes: int = 512) -> float: ...  # bytes/s, sequential read
def measure_int8_peak(threads: int, isa: str) -> float: ...  # multiply-accumulates/s
def measure_float_peak(threads: int, isa: str) -> float: ...  # the same, f32
def packed_bytes_per_value(format: str) -> float: ...  # in memory, as the kernels read it
def bench_linear(
    format: str,
    rows: int,
    K: int,
    T: int,
    isa: str = "",
    threads: int = 1,
    passes: int = 10,
) -> list[float]: ...  # seconds of each pass over a [rows, K] matrix with T tokens

# -- memory -------------------------------------------------------------------------------------
class MemoryPlan:
    """Bytes of a model and a session, from the header; raises what Model and Session raise."""

    def __init__(
        self, file: GgufFile, plan: dict[str, Any], threads: int = 0, isa: str = ""
    ) -> None: ...
    # Keys: panels, mapped, vectors, kv_cache, activations, logits, scratch, rope_tables,
    # loading (what the peak of loading takes beyond all the others).
    def bytes(
        self, context: int, max_batch: int = 512, all_logits: bool = False, kv: str = "f16"
    ) -> dict[str, int]: ...
    weight_bytes: int  # read per token in decode

class PanelCacheWriter:
    """Writes a cache entry under a temporary name. Raises ResourceError (disk full, ...)."""

    def step(self) -> bool: ...  # some megabytes; False when all are written
    def commit(self) -> None: ...
    def abort(self) -> None: ...  # does nothing after commit

# (path of the model, bytes of the entry); raises ResourceError if it is no whole entry.
def panel_cache_info(path: str | bytes) -> tuple[str, int]: ...

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
        cache: str | bytes = "",  # folder of the panel cache; empty: none
    ) -> None: ...
    threads: int
    isa: str
    vocab_size: int
    weight_bytes: int  # read per token in decode
    panel_bytes: int
    mapped_bytes: int
    # ("off" | "hit" | "compared" | "miss", path of the entry, why it was missed)
    cache: tuple[str, str, str]
    # After a miss. Raises ResourceError: the folder cannot be written, the file has changed.
    def cache_writer(self) -> PanelCacheWriter: ...

class Session:
    """A KV cache and the buffers of one sequence. forward releases the GIL."""

    def __init__(
        self,
        model: Model,
        context: int,
        max_batch: int = 512,
        all_logits: bool = False,
        kv: str = "f16",
        taps: bool = False,
    ) -> None: ...
    position: int  # tokens in the KV cache
    context: int
    max_batch: int
    kv: str  # "f16", "q8_0", "q4_0"
    memory_bytes: dict[str, int]  # the part of MemoryPlan.bytes that a session takes
    # Appends T <= max_batch tokens; logits of the last one (of all with all_logits=True).
    # Raises ContextError (does not fit, token out of range, empty) before any compute.
    # A plan of whole texts begins anew with every call. types: of the tokens; None: all 0.
    def forward(
        self,
        tokens: NDArray[np.int32] | Sequence[int],
        types: NDArray[np.int32] | Sequence[int] | None = None,
    ) -> None: ...
    # Drops the cache from `position` on. A model with a recurrent state goes back to positions that
    # are `reachable` only; ContextError for others.
    def truncate(self, position: int) -> None: ...
    def reachable(self, position: int) -> int: ...  # the last one at or before `position`
    def checkpoint(self) -> None: ...  # makes the present position one, while there is room
    # [rows, V], or of a plan with an output [rows, its width]; a read-only view valid until forward
    def logits(self) -> NDArray[np.float32]: ...
    # With taps: of each linear operation the names of its weights and its inputs [rows, K], rounded
    # as the kernels see them, of the last forward.
    def taps(self) -> list[tuple[list[str], NDArray[np.float32]]]: ...
    # Best n of the last row, logits descending (ties: lower id first), and logsumexp of the row.
    def candidates(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]: ...
    # The same of edited logits: `bias` is added (ids ascending, numbers), `recent` tokens are
    # penalised (divided or multiplied by repeat; less count * frequency and presence), `less` is
    # subtracted. Only tokens whose bit in `mask` [ceil(V / 32)] u32 is set, if there is one; then
    # there may be fewer than n, and -inf is none.
    # Returns ids [n], edited logits [n] descending, logits as computed [n], and of the edited row
    # the logsumexp and the standard deviation (NaN unless asked for; what is -inf does not count),
    # and the logsumexp of the row as computed. Raises ContextError.
    def edited_candidates(
        self,
        n: int,
        recent: Sequence[int] | NDArray[np.int32] = (),
        repeat: float = 1.0,
        frequency: float = 0.0,
        presence: float = 0.0,
        bias: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None,
        less: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None,
        mask: NDArray[np.uint32] | None = None,
        mass: bool = False,
        deviation: bool = False,
    ) -> tuple[
        NDArray[np.int32], NDArray[np.float64], NDArray[np.float32], float, float, float
    ]: ...
