# SPDX-License-Identifier: MIT
"""`gristmill perplexity`: how well a model predicts a text, or how far it is from another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from . import options as o
from .output import LoadingBar, load_model

if TYPE_CHECKING:
    from gristmill.evaluate import Divergence, Perplexity, Windows
    from gristmill.model import Model

T = TypeVar("T")
ModelName = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="A GGUF file or hf: name. [the bundled one]")
]
Text = Annotated[
    Path | None, typer.Option("-f", "--text", "--file", metavar="FILE", help="The text, UTF-8.")
]
Window = Annotated[int, typer.Option("-c", "--ctx", metavar="N", min=4, help="Tokens of a window.")]
Chunks = Annotated[
    int | None, typer.Option("--chunks", metavar="N", min=1, help="Windows to use. [all]")
]


def perplexity(
    model: ModelName = None,
    *,
    text: Text = None,
    context: Window = 512,
    chunks: Chunks = None,
    kl_base: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with these log probabilities, on their text."),
    ] = None,
    save_base: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep all log probabilities (2 V bytes per token)."),
    ] = None,
    kv: o.KvCache = "f16",
    threads: o.Threads = None,
    isa: o.Isa = None,
    cache: o.Cache = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Measure perplexity, and with --kl-base the divergence from another model.

    A text is cut into windows; the second half of each is scored, as llama.cpp does. Files of log
    probabilities are those of its --kl-divergence-base.
    """
    del debug  # main() reads it
    if (text is None) == (kl_base is None) or (save_base is not None and text is None):
        raise typer.BadParameter("Give --text (with --save-base, if wanted), or --kl-base.")
    loaded = load_model(model, threads=threads, context=None, isa=isa, kv=kv, cache=cache)
    if kl_base is not None:
        from gristmill.evaluate import BaseReader, divergence
        from gristmill.evaluate.windows import bos_of

        with LoadingBar("scoring", counts=True) as progress:
            found = divergence(
                loaded, BaseReader(kl_base, bos_of(loaded.tokenizer)), progress=progress
            )
        show(found, as_json, print_divergence)
        return 0
    from gristmill.evaluate import Windows

    assert text is not None
    windows = Windows.of(loaded.tokenizer, read_text(text), context, chunks)
    with LoadingBar("scoring", counts=True) as progress:
        result = measure(loaded, windows, save_base, progress)
    show(result, as_json, print_perplexity)
    return 0


def show(result: T, as_json: bool, print_it: Callable[[T], None]) -> None:
    """Prints a result one way or the other."""
    import dataclasses
    import json

    if as_json:
        print(json.dumps(dataclasses.asdict(result), indent=1))  # type: ignore[call-overload]
    else:
        print_it(result)


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        typer.BadParameter: It is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8: {error}.") from error


def measure(model: Model, windows: Windows, base: Path | None, progress: Any) -> Perplexity:
    """The perplexity of a text; the log probabilities go to `base`."""
    from contextlib import nullcontext

    from gristmill.evaluate import BaseWriter
    from gristmill.evaluate import perplexity as perplexity_of

    writing = nullcontext() if base is None else BaseWriter(base, windows, model.vocab_size)
    with writing as writer:
        return perplexity_of(model, windows, base=writer, progress=progress)


def print_perplexity(result: Perplexity) -> None:
    """A line."""
    print(
        f"perplexity {result.perplexity:.4f} +- {result.error:.4f} "
        f"({result.tokens} tokens in {result.windows} windows)"
    )


def print_divergence(d: Divergence) -> None:
    """A line per figure."""
    print(f"perplexity            {d.model.perplexity:.4f} +- {d.model.error:.4f}")
    print(f"of the reference      {d.base.perplexity:.4f} +- {d.base.error:.4f}")
    print(f"ratio                 {d.ratio:.5f} +- {d.ratio_error:.5f}")
    print(f"KL divergence         {d.kl:.6f} +- {d.kl_error:.6f}")
    print(f"  median, 90 %, 99 %  {d.kl_median:.6f}, {d.kl_90:.6f}, {d.kl_99:.6f}")
    print(f"  maximum             {d.kl_max:.6f}")
    print(f"same likeliest token  {100 * d.top1:.2f} % +- {100 * d.top1_error:.2f}")
    print(f"change of probability {100 * d.dp_mean:+.3f} % on average, {100 * d.dp_rms:.3f} % RMS")
    print(f"scored                {d.model.tokens} tokens in {d.model.windows} windows")
