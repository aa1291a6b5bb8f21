# SPDX-License-Identifier: MIT
"""What loading a model decided, and why.

Nothing falls back in silence: each choice that the file or the machine forced is a note here, for
people (`describe`) and for programs (`to_dict`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .errors import ResourceError

if TYPE_CHECKING:
    from . import gguf


@dataclass(frozen=True)
class FormatCount:
    """Tensors of one block format."""

    format: str
    tensors: int
    bytes: int


@dataclass(frozen=True)
class CacheUse:
    """What the panel cache did.

    Attributes:
        state: "off"; "hit" (a known file: mapped at once); "compared" (mapped after it was
            compared with the whole file); "writing", "written", "not written" (packed).
        path: The entry; empty if off.
        why: Why it is off, was missed or not written.
    """

    state: str
    path: str = ""
    why: str = ""

    def describe(self) -> str:
        """A line for people."""
        why = f" ({self.why})" if self.why else ""
        return f"{self.state}{why}" + (f": {self.path}" if self.path else "")


@dataclass(frozen=True)
class LoadReport:
    """The decisions and costs of one `Model.load`; sizes in bytes, times in seconds."""

    path: str
    architecture: str
    name: str
    isa: str
    isa_why: str
    cpu: str
    threads: int
    threads_why: str
    context: int
    context_why: str
    kv: str
    trained_context: int
    vocab_size: int
    formats: tuple[FormatCount, ...]
    template_source: str
    sampling: str
    tokenizer_source: str
    memory_bytes: dict[str, int]
    cache: CacheUse
    load_seconds: float
    notes: tuple[str, ...]
    embedding: str = ""  # what a text becomes; empty: it is continued

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def describe(self) -> str:
        """A few lines for people."""
        formats = ", ".join(
            f"{item.format} x{item.tensors} ({human_bytes(item.bytes)})" for item in self.formats
        )
        memory = ", ".join(
            f"{name} {human_bytes(size)}" for name, size in self.memory_bytes.items()
        )
        lines = [
            f"model      {self.name} ({self.architecture}, {self.vocab_size} tokens)",
            f"file       {self.path}",
            f"kernels    {self.isa} ({self.isa_why}) on {self.cpu}",
            f"threads    {self.threads} ({self.threads_why})",
            f"context    {self.context} ({self.context_why}), KV cache in {self.kv}",
            f"formats    {formats}",
            f"tokenizer  {self.tokenizer_source}",
            f"template   {self.template_source}",
            f"sampling   {self.sampling}",
            f"memory     {memory}",
            f"cache      {self.cache.describe()}",
            f"loaded in  {self.load_seconds:.2f} s",
        ]
        lines += [f"embedding  {self.embedding}"] if self.embedding else []
        lines += [f"note       {note}" for note in self.notes]
        return "\n".join(lines)


def count_formats(file: gguf.File) -> tuple[FormatCount, ...]:
    """Tensors and bytes by format, the largest first."""
    tensors: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for info in file.tensors.values():
        tensors[info.type] = tensors.get(info.type, 0) + 1
        sizes[info.type] = sizes.get(info.type, 0) + info.nbytes
    ordered = sorted(sizes, key=lambda name: -sizes[name])
    return tuple(FormatCount(name, tensors[name], sizes[name]) for name in ordered)


def parse_bytes(text: str, where: str, what: str) -> int:
    """'4.2GiB' -> bytes; units are powers of 1024; `where` and `what` name it in the error.

    Raises:
        ResourceError: It is no size.
    """
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    try:
        factor = units.get(number[-1:], 1)
        value = float(number[:-1] if factor > 1 else number) * factor
        if 0 <= value < 2**63:
            return int(value)
    except ValueError:
        pass
    raise ResourceError(f"[{where}] {what} is a size such as 5G. Got {text!r}.")


def human_bytes(size: float) -> str:
    """1536 -> '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
