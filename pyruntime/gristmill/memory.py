# SPDX-License-Identifier: MIT
"""What a model will take on this machine, before it is loaded.

Sizes of weights, KV cache and buffers are the core's own (`_core.MemoryPlan`), computed from the
file's header by the functions that allocate. The rest of the process (interpreter, libraries,
tokenizer) is measured instead of guessed: what loading imports is imported, tokenizer and chat
template are built, and what this process then has resident is the base.
"""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from typing import Any

from . import gguf, host_memory, machine, tokenizer
from .blueprint import Blueprint
from .kv import checked

_PAGE_POSITIONS = 64  # contexts are told in whole KV pages
_MAX_CONTEXT = 2**24
LABELS = {
    "panels": "weights, packed",
    "mapped": "embedding rows, mapped",
    "vectors": "norms",
    "kv_cache": "KV cache",
    "states": "recurrent states, checkpoints",
    "activations": "activations of a batch",
    "logits": "logits",
    "scratch": "scratch of the threads",
    "rope_tables": "RoPE tables",
    "loading": "more while loading",
    "process": "interpreter, libraries, tokenizer",
}

# What of the code of the core and of libraries only a forward pass touches: 1 to 3 MB, measured.
_FORWARD_BYTES = 3 << 19


@dataclass(frozen=True)
class MemoryEstimate:
    """The peak of a process that loads the model and fills one session; sizes in bytes.

    Attributes:
        parts: By category, see LABELS.
        total: Their sum: the peak resident size.
        available: What this process can still get, besides what it has; None if unknown.
        available_why: Where that comes from.
        largest_context: The most tokens that fit, in whole KV pages; None if unknown or none do.
        trained_context: What the model was trained on, in tokens.
    """

    path: str
    context: int
    context_why: str
    trained_context: int
    kv: str
    max_batch: int
    threads: int
    isa: str
    parts: dict[str, int]
    total: int
    available: int | None
    available_why: str
    largest_context: int | None

    @property
    def fits(self) -> bool:
        """Whether it fits into what is available."""
        return self.available is None or self.total - self.parts["process"] <= self.available

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "fits": self.fits}


def estimate(
    file: gguf.File,
    context: int | None = None,
    *,
    kv: str = "f16",
    max_batch: int = 512,
    threads: int = 0,
    isa: str = "",
) -> MemoryEstimate:
    """The memory plan of a file.

    Args:
        file: The opened file; its weights are not read.
        context: Tokens of the session; None: as `Model.load` chooses.
        kv: Type of the KV cache, one of gristmill.kv.KV_TYPES.
        max_batch: Most tokens in one forward pass.
        threads: Worker threads; 0: what suits machine and model.
        isa: Kernel level; empty: the best one here.

    Raises:
        UnsupportedError: An unknown KV type.
        GristmillError: The file cannot be run.
    """
    from . import choices
    from .chat.from_gguf import read_template

    count, _ = choices.choose_threads(threads or None, file.nbytes)
    level, _ = choices.choose_isa(isa or None)
    blueprint = Blueprint.of(file, context, max_batch, threads=count, isa=level, kv=checked(kv))
    blueprint.require()
    text = tokenizer.from_metadata(file.metadata)
    template = read_template(file.metadata, text)
    for module in ("gristmill.model", "numpy.random"):  # loading and sampling need them, too
        importlib.import_module(module)
    base = (machine.resident_bytes() or 0) + _FORWARD_BYTES
    del text, template
    plan = blueprint.memory
    assert plan is not None

    parts = {**plan.bytes(blueprint.context, blueprint.max_batch, kv=kv), "process": base}
    available, why = host_memory.available_bytes()
    return MemoryEstimate(
        path=file.paths[0],
        context=blueprint.context,
        context_why=blueprint.context_why,
        trained_context=blueprint.trained_context,
        kv=kv,
        max_batch=min(blueprint.max_batch, blueprint.context),
        threads=count,
        isa=level,
        parts=parts,
        total=sum(parts.values()),
        available=available,
        available_why=why,
        largest_context=_largest(blueprint, available, max_batch, kv),
    )


def _largest(blueprint: Blueprint, available: int | None, max_batch: int, kv: str) -> int | None:
    """The largest context, in whole pages, whose cost is at most `available`."""
    plan = blueprint.memory
    if available is None or plan is None:
        return None
    pooled = blueprint.require().pooling != ""  # a text is a batch, and no longer than trained for
    most = blueprint.trained_context if pooled else _MAX_CONTEXT
    low, high = 0, most // _PAGE_POSITIONS
    while low < high:
        middle = (low + high + 1) // 2
        size = middle * _PAGE_POSITIONS
        if sum(plan.bytes(size, size if pooled else max_batch, kv=kv).values()) <= available:
            low = middle
        else:
            high = middle - 1
    return low * _PAGE_POSITIONS or None
