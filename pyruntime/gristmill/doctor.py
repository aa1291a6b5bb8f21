# SPDX-License-Identifier: MIT
"""What this machine can do for a model, what was chosen, and what stands in the way.

Everything is looked up or measured now; nothing is remembered. Findings are of two kinds: a problem
stops something that was asked for, a warning costs speed or is about to.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import _core, choices, gguf, host_memory, hub, machine, memory, panel_cache
from .blueprint import Blueprint
from .errors import GristmillError
from .report import human_bytes

# What TinyLlama 1.1B Q4_K_M reached of the measured peaks (docs/performance.md).
DECODE_FRACTION = (0.75, 0.90)
PREFILL_FRACTION = (0.44, 0.50)
# The matrix unit multiplies eight times as fast as the rest of the work goes.
PREFILL_FRACTION_OF = {"amx_int8": (0.10, 0.12)}
_PROMPT = 512  # tokens of the prompt that prefill is told for


@dataclass(frozen=True)
class Finding:
    """Something to know, and what to do about it. level: "problem" or "warning"."""

    level: str
    text: str
    hint: str


@dataclass(frozen=True)
class Speed:
    """Measured rates of this machine; None where nothing was measured.

    Attributes:
        bandwidth_one: Bytes per second that one thread reads from memory.
        bandwidth_all: The same for `threads` threads together.
        int8: INT8 multiply-accumulates per second of all threads, by kernel level.
    """

    threads: int
    bandwidth_one: float | None
    bandwidth_all: float | None
    int8: dict[str, float]


@dataclass(frozen=True)
class ModelOutlook:
    """What a model should reach here; speeds in tokens per second, bounds and expected ranges."""

    path: str
    problem: str | None
    hint: str = ""
    weight_bytes: int = 0
    total_bytes: int = 0
    decode_bound: float | None = None
    decode_expected: tuple[float, float] | None = None
    prefill_bound: float | None = None
    prefill_expected: tuple[float, float] | None = None
    in_cache: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `gristmill doctor` says."""

    version: str
    system: str
    cpu: str
    levels: list[str]
    level: str
    level_why: str
    topology: dict[str, Any]
    threads: int
    threads_why: str
    memory_available: int | None
    memory_why: str
    huge_pages: str
    speed: Speed
    models: list[ModelOutlook]
    cache: dict[str, Any]
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return all(finding.level != "problem" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "healthy": self.healthy}


def diagnose(paths: list[str], *, measure: bool = True) -> Diagnosis:
    """Looks at the machine, and at what each model would reach.

    Args:
        paths: Model files or names.
        measure: Measure bandwidth and INT8 rates; takes some seconds.

    Raises:
        GristmillError: GRISTMILL_ISA names a level that this machine lacks; a measurement failed.
    """
    import gristmill

    levels = _core.available_isas()
    level, level_why = choices.choose_isa(None)
    threads, threads_why = _core.default_threads()
    topology = _core.cpu_topology()
    available, memory_why = host_memory.available_bytes()
    busy, throttled = _load(), _throttled()
    speed = _measure(threads, levels, level) if measure else Speed(threads, None, None, {})
    models = [outlook(path, speed, level) for path in paths]
    cache, cache_findings = _cache()
    findings = [
        *_cpu_findings(levels, level, topology, threads),
        *(
            [_busy_finding(busy)]
            if measure and busy > _BUSY * max(1, len(topology["cpus"]))
            else []
        ),
        *([_THROTTLED] if _throttled() > throttled else []),
        *_model_findings(models),
        *cache_findings,
    ]
    return Diagnosis(
        version=gristmill.__version__,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        cpu=_core.cpu_name(),
        levels=levels,
        level=level,
        level_why=level_why,
        topology=topology,
        threads=threads,
        threads_why=threads_why,
        memory_available=available,
        memory_why=memory_why,
        huge_pages=_huge_pages(),
        speed=speed,
        models=models,
        cache=cache,
        findings=findings,
    )


def _measure(threads: int, levels: list[str], level: str) -> Speed:
    # The scalar level takes seconds to measure, and only matters where there is no other.
    wanted = [name for name in levels if name != "scalar" or name == level]
    requests = [("bandwidth", 1, ""), ("bandwidth", threads, "")]
    figures = machine.measure(requests + [("int8", threads, name) for name in wanted])
    return Speed(threads, figures[0], figures[1], dict(zip(wanted, figures[2:], strict=True)))


def outlook(path: str, speed: Speed, level: str) -> ModelOutlook:
    """What a model would reach; never raises for a file that cannot be run."""
    try:
        file = gguf.File(hub.resolve(path))
        threads, _ = choices.choose_threads(None, file.nbytes)
        blueprint = Blueprint.of(file, threads=threads, isa=level)
        plan = blueprint.require()
        estimate = memory.estimate(file, isa=level)
    except GristmillError as error:
        return ModelOutlook(path, str(error), "name a GGUF file that gristmill inspect can read")
    problem = None
    if not estimate.fits:
        largest = estimate.largest_context
        problem = (
            f"it takes {human_bytes(estimate.total)} with a context of {estimate.context}; "
            f"{human_bytes(estimate.available or 0)} are available "
            f"({'no context fits' if largest is None else f'a context of {largest} fits'})"
        )
    assert blueprint.memory is not None
    weight_bytes = blueprint.memory.weight_bytes + 2 * plan.state_bytes
    bandwidth = speed.bandwidth_one if threads == 1 else speed.bandwidth_all
    decode = bandwidth / weight_bytes if bandwidth else None
    macs = plan.macs_per_token + plan.macs_per_logits_row / _PROMPT
    share = threads / speed.threads
    prefill = speed.int8[level] * share / macs if level in speed.int8 else None
    return ModelOutlook(
        path=file.paths[0],
        problem=problem,
        hint="gristmill plan FILE shows what takes it; a smaller context takes less (-c)",
        weight_bytes=weight_bytes,
        total_bytes=estimate.total,
        decode_bound=decode,
        decode_expected=_range(decode, DECODE_FRACTION),
        prefill_bound=prefill,
        prefill_expected=_range(prefill, PREFILL_FRACTION_OF.get(level, PREFILL_FRACTION)),
        in_cache=weight_bytes < _last_cache_bytes() // 2,
    )


def _range(bound: float | None, part: tuple[float, float]) -> tuple[float, float] | None:
    return None if bound is None else (bound * part[0], bound * part[1])


_BUSY = 0.5  # running programs per CPU above which measurements say little
_THROTTLED = Finding(
    "warning",
    "the cgroup's CPU quota throttled this process during the measurement",
    "use fewer threads (-t), or give the group more CPUs (docker: --cpus)",
)


def _busy_finding(load: float) -> Finding:
    return Finding(
        "warning",
        f"{load:.1f} other programs wanted the CPUs in the last minute: the figures are low",
        "measure again when the machine is idle",
    )


def _cpu_findings(
    levels: list[str], level: str, topology: dict[str, Any], threads: int
) -> list[Finding]:
    found = []
    if levels == ["scalar"]:
        found.append(
            Finding(
                "warning",
                "this CPU has no AVX2: kernels run without vector instructions, many times slower",
                "a virtual machine may hide it: choose the CPU model 'host'",
            )
        )
    elif level != levels[-1]:
        found.append(
            Finding(
                "warning",
                f"GRISTMILL_ISA holds the kernels to {level}, this CPU can do {levels[-1]}",
                "unset GRISTMILL_ISA",
            )
        )
    if 0 < topology["quota"] < topology["performance_cores"]:
        found.append(
            Finding(
                "warning",
                f"a cgroup grants {topology['quota']:.2f} of {topology['performance_cores']} "
                f"cores: {threads} threads are used, more would be throttled",
                "give the group more CPUs (docker: --cpus, Kubernetes: limits.cpu)",
            )
        )
    if topology["online"] > len(topology["cpus"]) > 0:
        found.append(
            Finding(
                "warning",
                f"the affinity mask leaves {len(topology['cpus'])} of {topology['online']} CPUs",
                "start without taskset, or with a wider cpuset",
            )
        )
    return found


def _model_findings(models: list[ModelOutlook]) -> list[Finding]:
    return [
        Finding("problem", f"{item.path}: {item.problem}", item.hint)
        for item in models
        if item.problem is not None
    ]


def _cache() -> tuple[dict[str, Any], list[Finding]]:
    place, why = panel_cache.choose(True, sys.maxsize)
    if place is None:
        return {"folder": None, "why": why}, []
    entries = panel_cache.entries(place)
    there = panel_cache.existing(place)
    state = {
        "folder": str(place),
        "entries": len(entries),
        "bytes": sum(entry.nbytes for entry in entries),
        "limit_bytes": panel_cache.limit_bytes(place),
        "disk_free_bytes": shutil.disk_usage(there).free,
        "writable": os.access(there, os.W_OK),
    }
    if state["writable"]:
        return state, []
    return state, [Finding("problem", f"panel cache: {place} cannot be written", _CACHE_HINT)]


_CACHE_HINT = "name another folder in GRISTMILL_CACHE, or turn it off with GRISTMILL_CACHE=off"


def _load() -> float:
    """Programs that wanted a CPU, averaged over the last minute."""
    with contextlib.suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return 0.0


def _throttled(root: str = "/") -> int:
    """How often the quota of our cgroup, or of one around it, has stopped us."""
    base = Path(root)
    count = 0
    with contextlib.suppress(OSError, ValueError):
        for line in (base / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = base / "sys/fs/cgroup" / ("cpu" if controllers else "")
            stat = mount / group.lstrip("/") / "cpu.stat"
            with contextlib.suppress(OSError):
                fields = dict(item.split() for item in stat.read_text("ascii").splitlines())
                count += int(fields.get("nr_throttled", "0"))
    return count


def _huge_pages() -> str:
    """The mode of transparent huge pages: "always", "madvise", "never", or "unknown"."""
    with contextlib.suppress(OSError):
        path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        text = path.read_text(encoding="ascii")
        return text.partition("[")[2].partition("]")[0] or "unknown"
    return "unknown"


def _last_cache_bytes() -> int:
    """Bytes of the last-level CPU cache; 0 where the system does not say."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(path.read_text(encoding="ascii").strip().removesuffix("K")) * 1024)
    return max(sizes)
