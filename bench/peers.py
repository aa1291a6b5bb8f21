# SPDX-License-Identifier: MIT
"""Run gristmill and llama.cpp by turns on the same files and threads; write Markdown, JSON, a plot.

    python bench/peers.py --peer-env ~/peer --models ~/models --out bench/results/mine

installs llama-cpp-python from its source package with native flags into ~/peer (once; some
minutes), makes a random-weight file of each type in ~/models (once), and measures prefill, decode,
load to first token and peak memory in several rounds. Each side runs in a process of its own, in
turns, so a noisy neighbour meets both. llama.cpp runs with its weights repacked at load and not,
with flash attention and without, with AMX and without; the better setting of each metric is what
counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import peer_report
from compare import OWN, Run, hopeless, unique
from host import cores, hogs, load_average, machine_facts, warm_page_cache
from peer_install import BUILDS, Peer, default_builds, ensure_peer
from worker import Job

HERE = Path(__file__).resolve().parent
PEER = "llama.cpp"
DEFAULT_TYPES = "Q4_K_M Q4_0 Q8_0 Q6_K Q5_K_M".split()


@dataclass(frozen=True)
class Scenario:
    """Threads of each side, and busy strangers beside it."""

    threads: int
    hogs: int = 0


@dataclass(frozen=True)
class Side:
    """A command that runs a worker, and the settings of its engine."""

    name: str
    command: tuple[str, ...]
    settings: dict[str, bool] = field(default_factory=dict)


def sides(peers: Sequence[Peer]) -> list[Side]:
    """gristmill, and the peer's builds and settings.

    A build differs from the native one in what it repacks for, so only the native one runs plain.
    """
    own = Side(OWN, (sys.executable, str(HERE / "own_worker.py")))
    found = [own]
    for peer in peers:
        worker = (str(peer.python), str(HERE / "peer_worker.py"))
        for repack in (True, False) if peer is peers[0] else (True,):
            for flash in (True, False):
                words = [PEER, peer.name if peer is not peers[0] else "",
                         "repack" if repack else "plain", "flash" if flash else ""]  # fmt: skip
                name = " ".join(word for word in words if word)
                found.append(Side(name, worker, {"repack": repack, "flash": flash}))
    return found


def last_line(text: str) -> str:
    """What a failed process said at the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"


def how_it_ended(status: int) -> str:
    """An exit status in words: "exit 3", "SIGSEGV"."""
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


def run_worker(side: Side, job: Job, timeout: float) -> tuple[dict[str, Any], str]:
    """(result, "") of one child process, or ({}, why it failed)."""
    try:
        done = subprocess.run(
            [*side.command, job.to_json()],
            capture_output=True, text=True, errors="replace", check=False, timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, f"not done after {timeout:.0f} s"
    except OSError as error:
        return {}, str(error)
    if done.returncode != 0:
        return {}, f"{last_line(done.stderr)} ({how_it_ended(done.returncode)})"
    try:
        result: dict[str, Any] = json.loads(last_line_of_json(done.stdout))
    except ValueError as error:
        return {}, f"no result: {error}"
    return result, ""


def last_line_of_json(text: str) -> str:
    """The result line; libraries may print before it."""
    return (text.strip().splitlines() or [""])[-1]


def fill_panel_cache(model: Path) -> None:
    """One load of ours outside the measurements: it writes its cache entry until it ends."""
    code = "import sys; from gristmill.model import Model; Model.load(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, check=False)


class Benchmark:
    """The rounds, and the document that grows with each child process."""

    def __init__(self, options: argparse.Namespace, peers: Sequence[Peer]) -> None:
        self.options = options
        self.sides = sides(peers)
        self.scenarios = scenarios(options)
        self.runs: list[Run] = []
        self.document: dict[str, Any] = {
            "command": "python bench/peers.py " + shlex.join(options.words),
            "machine": machine_facts(),
            "peers": {peer.name: dict(peer.build) for peer in peers},
            "own": {},
            "scenarios": {name: asdict(s) for name, s in self.scenarios.items()},
            "runs": [],
        }

    def run(self, models: Sequence[Path]) -> None:
        """Every scenario, model, round and side; a failing side does not stop the others."""
        for name, scenario in self.scenarios.items():
            for model in models:
                warm_page_cache(model)
                fill_panel_cache(model)
                active = list(self.sides)
                for number in range(self.options.rounds):
                    # The other way round every second time: a drift meets both sides alike.
                    for side in active if number % 2 == 0 else active[::-1]:
                        self._step(name, scenario, model, number, side)
                    active = self._worth_more(name, model, active)

    def _worth_more(self, scenario: str, model: Path, active: list[Side]) -> list[Side]:
        """Drops failed sides and settings of the peer that lost by more than a quarter."""
        mine = [r for r in self.runs if r.scenario == scenario and r.model == model.stem]
        failed = {run.side for run in mine if run.error}
        lost = hopeless(mine, [side.name for side in active if side.name != OWN])
        return [side for side in active if side.name not in failed | lost]

    def _step(
        self, scenario_name: str, scenario: Scenario, model: Path, number: int, side: Side
    ) -> None:
        job = Job(
            model=str(model), threads=scenario.threads, prompt=self.options.prompt,
            decode=self.options.decode, depth=self.options.depth, kv=self.options.kv,
            settings=side.settings,
        )  # fmt: skip
        load = load_average()
        with hogs(scenario.hogs):
            result, error = run_worker(side, job, self.options.timeout)
        run = Run(model.stem, scenario_name, number, side.name, result.get("metrics", {}), error)
        self.runs.append(run)
        facts = result.get("facts", {})
        self.document["runs"].append({**asdict(run), "load_average": load, "facts": facts})
        if side.name == OWN:
            self.document["own"] |= {k: facts[k] for k in ("version", "isa") if k in facts}
        self.save_json()
        print(describe(run), flush=True)

    def save_json(self) -> None:
        """Replaces the file in one step, so an interrupt leaves a whole one."""
        path = self.options.out / "peers.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)

    def write_report(self) -> list[Path]:
        """Markdown and plots of what there is."""
        path = self.options.out / "peers.md"
        path.write_text(peer_report.markdown(self.document, self.runs), encoding="utf-8")
        return [path, *peer_report.plot(self.runs, self.options.out)]


def describe(run: Run) -> str:
    """One line for the terminal."""
    if run.error:
        figures = f"FAILED: {run.error}"
    else:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in run.metrics.items())
    return f"{run.model} {run.scenario} #{run.round + 1} {run.side}: {figures}"


def scenarios(options: argparse.Namespace) -> dict[str, Scenario]:
    """The scenarios asked for, by name."""
    known = {
        "quiet": Scenario(options.threads),
        "strangers": Scenario(options.threads, options.hogs),
        "oversubscribed": Scenario(options.oversubscribe),
    }
    return {name: known[name] for name in options.scenarios}


def model_files(options: argparse.Namespace) -> Iterator[Path]:
    """The files given, or one of random weights per type, made where it is missing."""
    yield from options.files
    if options.files:
        return
    from make_model import random_model
    from shapes import SHAPES

    options.models.mkdir(parents=True, exist_ok=True)
    for kind in options.types:
        path = options.models / f"{options.shape}-{kind.lower()}.gguf"
        if not path.exists():
            print(f"making {path}", file=sys.stderr, flush=True)
            random_model(path, SHAPES[options.shape], kind, name=f"{options.shape} {kind}")
        yield path


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    machine = machine_facts()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    add = parser.add_argument
    add("--peer-env", type=Path, required=True, help="folder of the peer's environments")
    add("--builds", nargs="+", choices=list(BUILDS), default=default_builds(machine["flags"]),
        help="of the peer [native; with AMX all]")  # fmt: skip
    add("--peer-version", help="version of llama-cpp-python [newest, or what is there]")
    add("--build-jobs", type=int, help="compile jobs [every core]")
    add("--models", type=Path, default=Path("models-bench"), help="folder of the files it makes")
    add("--shape", default="tinyllama-1.1b", help="shape of the files it makes (bench/shapes.py)")
    add("--types", nargs="+", default=DEFAULT_TYPES, help="file types of those")
    add("--files", nargs="+", type=Path, default=[], help="GGUF files to measure instead")
    add("--out", type=Path, required=True, help="folder for peers.md, peers.json and the plot")
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=cores(), help="of both sides [every core]")
    add("--prompt", type=int, default=512, help="tokens of the prefill")
    add("--decode", type=int, default=64, help="tokens to decode")
    add("--depth", type=int, default=0, help="also a prefill of this length, and decoding after it")
    add("--kv", choices=["f16", "q8_0", "q4_0"], default="f16", help="type of the KV cache")
    add("--scenarios", nargs="+", choices=["quiet", "strangers", "oversubscribed"],
        default=["quiet"])  # fmt: skip
    add("--hogs", type=int, default=2, help="busy processes of the scenario 'strangers'")
    add("--oversubscribe", type=int, default=4 * cores(), help="threads of 'oversubscribed'")
    add("--timeout", type=float, default=600, help="seconds for one child process")
    words = list(sys.argv[1:] if words is None else words)
    options = parser.parse_args(words)
    options.words = words
    options.scenarios = unique(options.scenarios)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads are at least 1")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Everything; an interrupt still writes the report of what was measured."""
    options = parse(words)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        peers = [
            ensure_peer(options.peer_env, build, options.peer_version, options.build_jobs)
            for build in options.builds
        ]
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    # Entries of files that exist for this benchmark do not belong among those of the user.
    os.environ.setdefault("GRISTMILL_CACHE", str((options.models / "panel-cache").absolute()))
    benchmark = Benchmark(options, peers)
    try:
        benchmark.run(list(model_files(options)))
    except KeyboardInterrupt:
        print("interrupted; the report has what was measured", file=sys.stderr)
    for path in benchmark.write_report():
        print(path)
    return 0 if any(not run.error for run in benchmark.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
