# SPDX-License-Identifier: MIT
"""`gristmill bench`: speeds, and what fraction of this machine's measured peaks they are.

Decode reads every weight once per token, so its roofline is the memory's bandwidth; prefill
multiplies every weight with every token of the batch, so its roofline is the INT8 peak. Peaks are
measured before and after and the larger counts. Figures are medians over the repeats; the samples
are in the JSON. With --depth both begin after so many tokens, which are computed untimed: what
grows with the depth is attention, and the fractions of the peaks still count the weights alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .output import console, load_model

if TYPE_CHECKING:
    from gristmill.model import Model
    from gristmill.session import Session


def bench(
    path: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="GGUF file. [default: bundled]")
    ] = None,
    *,
    model: o.Model = None,
    prompt_tokens: Annotated[
        int, typer.Option("-p", "--prompt-tokens", "--n-prompt", min=1, help="Prefill length.")
    ] = 512,
    decode_tokens: Annotated[
        int, typer.Option("-n", "--max-tokens", "--n-gen", min=1, help="Tokens to decode.")
    ] = 64,
    depth: Annotated[
        int, typer.Option("-d", "--depth", "--n-depth", min=0, help="Tokens already in the cache.")
    ] = 0,
    repeats: Annotated[int, typer.Option("-r", "--repeats", min=1, help="Runs of each.")] = 3,
    context: o.Context = None,
    kv: o.KvCache = "f16",
    threads: o.Threads = None,
    isa: o.Isa = None,
    cache: o.Cache = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Measure load, prefill and decode against this machine's peaks."""
    del debug  # main() reads it
    if path is not None and model is not None:
        raise typer.BadParameter("Name the model once: as an argument or with -m.")
    need = depth + max(prompt_tokens, decode_tokens)
    if context is not None and context < need:
        raise typer.BadParameter(f"-c {context} is too small for {need} tokens.")
    from gristmill import machine

    loaded = load_model(
        model or path, threads=threads, context=context or need, isa=isa, kv=kv, cache=cache
    )
    first = machine.measure_peaks(loaded.threads, loaded.isa)
    result = measure(loaded, prompt_tokens, decode_tokens, repeats, depth)
    result["peak_rss_bytes"] = machine.peak_rss_bytes()
    peaks = first.larger(machine.measure_peaks(loaded.threads, loaded.isa))
    add_fractions(result, loaded, peaks)
    if as_json:
        import json

        print(json.dumps(result, indent=1))
    else:
        print_table(result)
    return 0


def measure(
    model: Model, prompt_tokens: int, decode_tokens: int, repeats: int, depth: int = 0
) -> dict[str, Any]:
    """Times of first token, prefill and decode, the last two after `depth` tokens."""
    import statistics

    session = model.session(context=depth + max(prompt_tokens, decode_tokens))
    tokens = [(7919 * i + 17) % model.vocab_size for i in range(depth + prompt_tokens)]
    began = time.perf_counter()
    session.evaluate(tokens[:1])
    session.candidates(40)
    first_step = time.perf_counter() - began
    prefill = [_prefill(session, tokens, depth) for _ in range(repeats)]
    decode = [_decode(session, tokens, depth, decode_tokens) for _ in range(repeats)]
    report = model.report
    return {
        "model": {
            "path": report.path,
            "name": report.name,
            "architecture": report.architecture,
            "weight_bytes_per_token": model.weight_bytes,
            "macs_per_token": model.macs_per_token,
            "macs_per_logits_row": model.macs_per_logits_row,
            "kv": session.kv,
            "memory_bytes": {**report.memory_bytes, **session.memory_bytes},
        },
        "load": {
            "seconds": report.load_seconds,
            "to_first_token_seconds": report.load_seconds + first_step,
        },
        "prefill": {
            "tokens": prompt_tokens,
            "depth": depth,
            "tokens_per_s": prompt_tokens / statistics.median(prefill),
            "samples": [prompt_tokens / seconds for seconds in prefill],
        },
        "decode": {
            "tokens": decode_tokens,
            "depth": depth,
            "tokens_per_s": decode_tokens / statistics.median(decode),
            "samples": [decode_tokens / seconds for seconds in decode],
        },
        "time_to_first_token_s": statistics.median(prefill),
    }


def add_fractions(result: dict[str, Any], model: Model, peaks: Any) -> None:
    """The machine, and speeds as fractions of its peaks."""
    report = model.report
    result["machine"] = {
        "cpu": report.cpu,
        "isa": report.isa,
        "threads": report.threads,
        "bandwidth_bytes_per_s": peaks.bandwidth_bytes_per_s,
        "int8_macs_per_s": peaks.int8_macs_per_s,
    }
    prefill, decode = result["prefill"], result["decode"]
    macs = model.macs_per_token + model.macs_per_logits_row / prefill["tokens"]
    prefill["fraction_of_int8_peak"] = prefill["tokens_per_s"] * macs / peaks.int8_macs_per_s
    bytes_per_s = decode["tokens_per_s"] * model.token_bytes
    decode["fraction_of_bandwidth"] = bytes_per_s / peaks.bandwidth_bytes_per_s


def _fill(session: Session, tokens: list[int], depth: int) -> None:
    """Leaves exactly the first `depth` tokens in the cache."""
    session.truncate(min(depth, session.position))
    if depth:
        session.append(tokens[session.position : depth])


def _prefill(session: Session, tokens: list[int], depth: int) -> float:
    """Seconds for the tokens after `depth` and the choice of the next one."""
    _fill(session, tokens, depth)
    began = time.perf_counter()
    session.append(tokens[depth:])
    session.candidates(40)
    return time.perf_counter() - began


def _decode(session: Session, tokens: list[int], depth: int, count: int) -> float:
    """Seconds for `count` single tokens after `depth`, each choosing the next."""
    _fill(session, tokens, depth)
    token = tokens[0]
    began = time.perf_counter()
    for _ in range(count):
        session.append((token,))
        token = int(session.candidates(40)[0][0])
    return time.perf_counter() - began


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    from rich import box
    from rich.table import Table

    from gristmill.report import human_bytes

    machine, prefill, decode = result["machine"], result["prefill"], result["decode"]
    out = console()
    out.print(f"{result['model']['name']}: {result['model']['path']}")
    out.print(
        f"{machine['cpu']}, {machine['isa']}, {machine['threads']} threads, "
        f"KV cache in {result['model']['kv']}"
    )
    depth = f" at {prefill['depth']}" if prefill["depth"] else ""
    table = Table(box=box.SIMPLE)
    for column in ("", "tokens/s", "of the peak", "peak (measured)"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row(
        f"prefill {prefill['tokens']}{depth}",
        f"{prefill['tokens_per_s']:.1f}",
        f"{prefill['fraction_of_int8_peak']:.1%}",
        f"{machine['int8_macs_per_s'] / 1e9:.0f} G int8 MAC/s",
    )
    table.add_row(
        f"decode {decode['tokens']}{depth}",
        f"{decode['tokens_per_s']:.1f}",
        f"{decode['fraction_of_bandwidth']:.1%}",
        f"{machine['bandwidth_bytes_per_s'] / 1e9:.1f} GB/s",
    )
    out.print(table)
    load = result["load"]
    out.print(
        f"load {load['seconds']:.2f} s, to the first token {load['to_first_token_seconds']:.2f} s; "
        f"first token of the prompt after {result['time_to_first_token_s']:.2f} s"
    )
    if result["peak_rss_bytes"] is not None:
        out.print(f"peak memory {human_bytes(result['peak_rss_bytes'])}")
