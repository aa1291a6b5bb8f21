# SPDX-License-Identifier: MIT
"""`gristmill embed`: texts to vectors, in JSON or a NumPy file; `gristmill rerank`: scores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .output import is_terminal, load_model

Truncate = Annotated[
    bool, typer.Option("--truncate", help="Take the beginning of texts that are too long.")
]


def embed(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; none: one per line of stdin."),
    ] = None,
    *,
    model: o.Model = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("-f", "--file", metavar="FILE", help="A whole file is a text. Repeatable."),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option("--pooling", metavar="NAME", help="mean, cls or last. [default: the model's]"),
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize/--no-normalize", help="Bring vectors to length 1.")
    ] = True,
    truncate: Truncate = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.npy", help="Write a NumPy array instead."),
    ] = None,
    context: o.Context = None,
    threads: o.Threads = None,
    isa: o.Isa = None,
    cache: o.Cache = True,
    debug: o.Debug = False,
) -> int:
    """Turn texts into vectors: a JSON array of numbers per line, or a .npy file."""
    del debug  # main() reads it
    given = _texts(texts, files)
    loaded = load_model(
        model, threads=threads, context=context, isa=isa, kv="f16", cache=cache, pooling=pooling
    )
    vectors = loaded.embed(given, normalize=normalize, truncate=truncate)
    if out is not None:
        import numpy as np

        with out.open("wb") as file:  # np.save would add a suffix
            np.save(file, vectors)
        return 0
    for vector in vectors:
        print(json.dumps([float(f"{value:.9g}") for value in vector]))
    return 0


def rerank(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What is looked for.")],
    documents: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DOCUMENT]...", help="Documents; none: one per line of stdin."),
    ] = None,
    *,
    model: o.Model = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("-f", "--file", metavar="FILE", help="A file is a document. Repeatable."),
    ] = None,
    truncate: Truncate = False,
    as_json: o.Json = False,
    context: o.Context = None,
    threads: o.Threads = None,
    isa: o.Isa = None,
    cache: o.Cache = True,
    debug: o.Debug = False,
) -> int:
    """Order documents by how well they answer a query: a score and a document per line."""
    del debug  # main() reads it
    given = _texts(documents, files)
    loaded = load_model(model, threads=threads, context=context, isa=isa, kv="f16", cache=cache)
    scores = [float(score) for score in loaded.rerank(query, given, truncate=truncate)]
    best = sorted(range(len(given)), key=lambda i: -scores[i])
    if as_json:
        ranked = [{"index": i, "score": scores[i], "document": given[i]} for i in best]
        print(json.dumps(ranked, ensure_ascii=False))
        return 0
    for i in best:
        print(f"{scores[i]:.4f}\t{' '.join(given[i].split())}")
    return 0


def _texts(arguments: list[str] | None, files: list[Path] | None) -> list[str]:
    """Arguments, then files; without either the lines of standard input."""
    texts = list(arguments or [])
    sources = [(str(path), path.read_bytes()) for path in files or []]
    lines = not texts and not sources
    if lines:
        if is_terminal(sys.stdin):
            raise typer.BadParameter('No text. For example: gristmill embed "A sentence."')
        sources.append(("standard input", sys.stdin.buffer.read()))
    for name, data in sources:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise typer.BadParameter(f"The text of {name} is not UTF-8: {error}.") from error
        texts += [line for line in text.splitlines() if line.strip()] if lines else [text]
    if not texts:
        raise typer.BadParameter("There is no line with a text on standard input.")
    return texts
