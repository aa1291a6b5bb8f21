# SPDX-License-Identifier: MIT
"""`gristmill imatrix`: how strongly each column of a model's matrices is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .output import LoadingBar, load_model
from .perplexity import Chunks, ModelName, Window, read_text


def imatrix(
    model: ModelName = None,
    *,
    text: Annotated[
        Path, typer.Option("-f", "--text", "--file", metavar="FILE", help="The text, UTF-8.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="The file to write or replace.")
    ] = Path("imatrix.gguf"),
    context: Window = 512,
    chunks: Chunks = None,
    threads: o.Threads = None,
    isa: o.Isa = None,
    debug: o.Debug = False,
) -> int:
    """Measure an importance matrix, as llama.cpp reads it too."""
    del debug  # main() reads it
    from gristmill.evaluate import Windows
    from gristmill.quantize.calibrate import collect_imatrix

    loaded = load_model(model, threads=threads, context=None, isa=isa, kv="f16", cache=True)
    windows = Windows.of(loaded.tokenizer, read_text(text), context, chunks)
    with LoadingBar("measuring", counts=True) as progress:
        found = collect_imatrix(loaded, windows, text.name, progress)
    found.write(out)
    print(f"{out}: {len(found.sums)} matrices, {found.chunks} windows of {found.chunk} tokens")
    return 0
