# SPDX-License-Identifier: MIT
"""`gristmill convert`: a model in Hugging Face's layout becomes a GGUF file."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options as o
from .output import LoadingBar, note


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, or hf:user/repository.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The GGUF file to write or replace.")],
    *,
    kind: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help="f32, f16, bf16, q8_0; auto: bf16 stays, else f16."
        ),
    ] = "auto",
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="general.name. [default: SOURCE's]")
    ] = None,
    pre: Annotated[
        str | None,
        typer.Option("--pre", metavar="NAME", help="Pre-tokenizer, if it is not recognised."),
    ] = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Convert safetensors to GGUF, for any program that reads GGUF."""
    del debug  # main() reads it
    from gristmill.convert import convert as convert_model
    from gristmill.report import human_bytes

    if source.startswith("hf:"):
        from gristmill.hub_cache import HubName
        from gristmill.hub_download import pull_checkpoint

        repository = HubName.parse(source)
        with LoadingBar("downloading") as progress:
            source = str(pull_checkpoint(repository, progress))
        name = name or repository.repo.split("/")[1]
    with LoadingBar("converting") as progress:
        done = convert_model(source, out, kind, name=name, pre=pre, progress=progress)
    if as_json:
        import dataclasses
        import json

        print(json.dumps(dataclasses.asdict(done) | {"path": str(done.path)}, indent=1))
        return 0
    for text in done.notes:
        note(f"note: {text}")
    print(
        f"{done.path}: {done.architecture}, {done.type}, {done.tensors} tensors, "
        f"{human_bytes(done.nbytes)}"
    )
    return 0
