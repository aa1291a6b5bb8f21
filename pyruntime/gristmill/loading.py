# SPDX-License-Identifier: MIT
"""The parts of `Model.load`: the core's model with its panel cache, and the report."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core, gguf, panel_cache, tokenizer
from .blueprint import Blueprint
from .report import CacheUse, LoadReport, count_formats

if TYPE_CHECKING:
    from .architectures.plan import Plan
    from .model import Model

Progress = Callable[[int, int], object]


def load_core(
    file: gguf.File,
    plan: dict[str, Any],
    threads: int,
    isa: str,
    *,
    progress: Progress | None,
    cache: bool,
) -> tuple[_core.Model, CacheUse]:
    """The model of the core, and what the panel cache did for it."""
    place, why_off = panel_cache.choose(cache, file.nbytes)
    folder = b"" if place is None else os.fsencode(place)
    core = _core.Model(file.core, plan, threads, isa, progress, folder)
    state, path, why = core.cache
    if state in ("hit", "compared"):
        panel_cache.touch(Path(path))
    return core, CacheUse("writing" if state == "miss" else state, path, why or why_off)


def make_report(
    file: gguf.File, blueprint: Blueprint, core: _core.Model, text: tokenizer.Tokenizer
) -> LoadReport:
    """What file, plan and core say; `Model.load` adds its choices and why."""
    return LoadReport(
        path=file.paths[0],
        architecture=file.architecture,
        name=_name(file),
        isa=core.isa,
        isa_why="",
        cpu=_core.cpu_name(),
        threads=core.threads,
        threads_why="",
        context=blueprint.context,
        context_why=blueprint.context_why,
        kv="",
        trained_context=blueprint.trained_context,
        vocab_size=core.vocab_size,
        formats=count_formats(file),
        template_source="none",
        sampling="",
        tokenizer_source=text.source,
        memory_bytes=blueprint.memory_bytes,
        cache=CacheUse("off"),
        load_seconds=0.0,
        notes=(),
        embedding=_embedding(blueprint.require()),
    )


def _embedding(plan: Plan) -> str:
    """What the plan makes of a text; empty: logits."""
    if plan.pooling in ("", "none"):
        return "" if not plan.pooling else f"{plan.output_width} numbers per token, not pooled"
    what = "scores" if plan.pooling == "rank" else f"numbers, pooling {plan.pooling!r}"
    return f"{plan.output_width} {what}"


def cache_reporter(model: Model) -> Callable[[str | None], None]:
    """Puts into the model's report what became of its cache entry, if the model still lives."""
    reference = weakref.ref(model)

    def done(problem: str | None) -> None:
        model = reference()
        if model is None:
            return
        use, notes = model.report.cache, model.report.notes
        if problem is None:
            use = replace(use, state="written")
        else:
            use = replace(use, state="not written", why=problem)
            notes = (*notes, f"the panel cache was not written: {problem}")
        model.report = replace(model.report, cache=use, notes=notes)

    return done


def _name(file: gguf.File) -> str:
    name = file.metadata.get("general.name")
    stem = os.path.basename(file.paths[0]).removesuffix(".gguf")
    return name if isinstance(name, str) and name.strip() else stem
