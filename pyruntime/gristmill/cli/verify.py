# SPDX-License-Identifier: MIT
"""`gristmill verify`: whether a file is whole and makes sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .output import LoadingBar, console

if TYPE_CHECKING:
    from gristmill.verify import Verification


def verify(
    path: Annotated[
        str | None, typer.Argument(metavar="FILE", help="GGUF file. [default: bundled]")
    ] = None,
    *,
    model: o.Model = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="What the file's hash should be.")
    ] = None,
    threads: o.Threads = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Check a file: structure, every value, tokenizer, template. Exit code 1: it is damaged."""
    del debug  # main() reads it
    if path is not None and model is not None:
        raise typer.BadParameter("Name the file once: as an argument or with -m.")
    from gristmill import hub
    from gristmill.verify import parse_sha256
    from gristmill.verify import verify as verify_file

    try:
        expected = None if sha256 is None else parse_sha256(sha256)
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("[sha256] ")) from error
    with LoadingBar("verifying") as progress:
        found = verify_file(
            hub.resolve(path or model), sha256=expected, threads=threads or 0, progress=progress
        )
    if as_json:
        import json

        print(json.dumps(found.to_dict(), ensure_ascii=False, indent=1))
    else:
        print_verification(found)
    return 0 if found.good else 1


def print_verification(found: Verification) -> None:
    """A line per check, what is wrong under it, and the verdict."""
    out = console()
    for check in found.checks:
        out.print(f"{check.name:<10} {check.state:<8} {check.detail}".rstrip(), soft_wrap=True)
        for level, texts in (("problem", check.problems), ("warning", check.warnings)):
            for text in texts:
                out.print(f"  {level}: {text}", soft_wrap=True)
    verdict = "good" if found.good else "damaged"
    out.print(f"{found.paths[0]}: {verdict}", soft_wrap=True)
