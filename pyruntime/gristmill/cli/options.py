# SPDX-License-Identifier: MIT
"""Options that several commands share, named as llama.cpp and Ollama users type them.

Only typer is imported here: `gristmill --help` loads this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gristmill.sampling import SamplingParams

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
Temperature = Annotated[
    float, typer.Option("--temperature", "--temp", metavar="X", min=0.0, help="0 is greedy.")
]
TopK = Annotated[int, typer.Option("--top-k", metavar="N", min=0, help="Keep the best k; 0: all.")]
TopP = Annotated[
    float, typer.Option("--top-p", metavar="X", min=0.0, max=1.0, help="Keep this much mass.")
]
MinP = Annotated[
    float,
    typer.Option(
        "--min-p", metavar="X", min=0.0, max=1.0, help="Drop below this share of the best."
    ),
]
Typical = Annotated[
    float,
    typer.Option("--typical", metavar="X", min=0.0, max=1.0, help="Locally typical mass; 1: off."),
]
RepeatPenalty = Annotated[
    float, typer.Option("--repeat-penalty", metavar="X", help="Over the last 64 tokens; 1: off.")
]
RepeatLastN = Annotated[
    int,
    typer.Option(
        "--repeat-last-n", metavar="N", min=-1, help="Tokens the penalties look at; -1: all."
    ),
]
FrequencyPenalty = Annotated[
    float, typer.Option("--frequency-penalty", metavar="X", help="Per occurrence; 0: off.")
]
PresencePenalty = Annotated[
    float, typer.Option("--presence-penalty", metavar="X", help="Once per token; 0: off.")
]
Seed = Annotated[
    int,
    typer.Option(
        "-s", "--seed", metavar="N", min=-1, help="Same seed, same text; -1: a fresh one."
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

_SAMPLING = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}


def sampling_params(context: typer.Context) -> SamplingParams:
    """The command's sampling options as SamplingParams; a bad value is a usage error."""
    from gristmill.sampling import SamplingParams

    given = {field: context.params[option] for option, field in _SAMPLING.items()}
    seed = context.params["seed"]
    try:
        return SamplingParams(**given, seed=None if seed < 0 else seed)
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("[sampling] ")) from error
