# SPDX-License-Identifier: MIT
"""Options that several commands share, named as llama.cpp and Ollama users type them.

Only typer is imported here: `gristmill --help` loads this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option("-m", "--model", metavar="FILE", help="GGUF file or name. [default: bundled]"),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "-t", "--threads", metavar="N", min=1, help="Worker threads. [default: physical cores]"
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "-c",
        "--ctx",
        "--ctx-size",
        metavar="N",
        min=1,
        help="Context in tokens. [default: the model's, <= 4096]",
    ),
]
KvCache = Annotated[
    str,
    typer.Option("--kv", "-ctk", metavar="TYPE", help="Type of the KV cache: f16, q8_0, q4_0."),
]
Isa = Annotated[
    str | None, typer.Option("--isa", metavar="NAME", help="Kernel level. [default: best]")
]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Use and fill the panel cache (gristmill cache)."),
]
MaxTokens = Annotated[
    int,
    typer.Option(
        "-n",
        "--max-tokens",
        "--n-predict",
        metavar="N",
        min=-1,
        help="Tokens to generate; -1: no limit.",
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop", "-r", "--reverse-prompt", metavar="TEXT", help="End before this text. Repeatable."
    ),
]
Stats = Annotated[
    bool, typer.Option("--stats", "--verbose", "-v", help="Report speeds and choices on stderr.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
System = Annotated[
    str | None, typer.Option("--system", "-sys", metavar="TEXT", help="System message.")
]


# run only
Prompt = Annotated[
    str | None,
    typer.Argument(metavar="PROMPT", help="The text to go on from; - or a pipe: from stdin."),
]
PromptOption = Annotated[
    str | None, typer.Option("-p", "--prompt", metavar="TEXT", help="The prompt, as an option.")
]
PromptFile = Annotated[
    Path | None,
    typer.Option("-f", "--file", metavar="FILE", help="Read the prompt from this file."),
]
AsChat = Annotated[
    bool, typer.Option("--chat", help="The prompt is a message: apply the chat template.")
]
Echo = Annotated[
    bool, typer.Option("--echo/--no-echo", help="Show the prompt before its continuation.")
]
IgnoreEos = Annotated[bool, typer.Option("--ignore-eos", help="Go on after end-of-text tokens.")]
