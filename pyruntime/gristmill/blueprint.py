# SPDX-License-Identifier: MIT
"""What running a file would take, from its header alone: the plan, the context, the memory.

`Model.load` builds on it and `gristmill inspect` shows it, so both say the same. A file that cannot
be run has a blueprint too; it holds the reason instead of a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core, architectures
from .errors import GristmillError

if TYPE_CHECKING:
    from . import gguf
    from .architectures.plan import Plan

DEFAULT_CONTEXT = 4096  # tokens; long trained contexts would take more memory than most chats use


@dataclass(frozen=True)
class Blueprint:
    """A plan and its costs; `problem` is None if the file can be run."""

    plan: Plan | None
    error: GristmillError | None
    trained_context: int
    context: int
    context_why: str
    max_batch: int
    memory_bytes: dict[str, int]  # by category, as `_core.MemoryPlan` has them
    memory: _core.MemoryPlan | None = None
    core_plan: dict[str, Any] | None = None  # the plan as the core reads it

    @classmethod
    def of(
        cls,
        file: gguf.File,
        context: int | None = None,
        max_batch: int = 512,
        *,
        threads: int = 0,
        isa: str = "",
        kv: str = "f16",
        pooling: str | None = None,
    ) -> Blueprint:
        """The blueprint of a file.

        Args:
            file: The opened file; only its header is read.
            context: Tokens a session shall hold; None: as trained, at most 4096.
            max_batch: Most tokens in one forward pass.
            threads: Worker threads; 0: what suits the machine.
            isa: Kernel level; empty: the best one here.
            kv: Type of the KV cache, one of gristmill.kv.KV_TYPES.
            pooling: For embeddings; None: as the file says.
        """
        try:
            plan = architectures.build_plan(file, pooling=pooling)
            core_plan = plan.to_dict()
            memory = _core.MemoryPlan(file.core, core_plan, threads, isa)
            size, why = _choose_context(plan.context, context)
            if plan.pooling:  # a text is one batch
                max_batch = size
            nbytes = memory.bytes(size, max_batch, kv=kv)
        except GristmillError as error:
            return cls(None, error, 0, 0, "", max_batch, {})
        return cls(plan, None, plan.context, size, why, max_batch, nbytes, memory, core_plan)

    @property
    def problem(self) -> str | None:
        """Why the file cannot be run; None if it can."""
        return None if self.error is None else str(self.error)

    def require(self) -> Plan:
        """The plan.

        Raises:
            GristmillError: Why there is none.
        """
        if self.plan is None:
            raise self.error or GristmillError("[plan] There is none.")
        return self.plan

    def require_core_plan(self) -> dict[str, Any]:
        """The plan as the core reads it.

        Raises:
            GristmillError: Why there is none.
        """
        self.require()
        return self.core_plan or {}

    def to_dict(self) -> dict[str, Any]:
        """The costs as plain data."""
        if self.plan is None:
            return {"problem": self.problem}
        return {
            "problem": None,
            "trained_context": self.trained_context,
            "context": self.context,
            "max_batch": self.max_batch,
            "memory_bytes": self.memory_bytes,
            "total_bytes": sum(self.memory_bytes.values()),
            "kv_bytes_per_position": self.plan.kv_bytes_per_position,
            "macs_per_token": self.plan.macs_per_token,
            "macs_per_logits_row": self.plan.macs_per_logits_row,
        }


def _choose_context(trained: int, asked: int | None) -> tuple[int, str]:
    """The context in tokens and why."""
    if asked is not None:
        beyond = f", beyond the {trained} it was trained on" if asked > trained else ""
        return asked, f"as asked{beyond}"
    if trained <= DEFAULT_CONTEXT:
        return trained, "as trained"
    return DEFAULT_CONTEXT, f"of {trained}; -c makes it larger"
