# SPDX-License-Identifier: MIT
"""`gristmill run`: one prompt, one answer, streamed.

The prompt is continued as plain text (and shown first, so that the output reads as one text); with
--chat or --system it is a user's message and only the answer is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from . import options as o
from .output import TextWriter, is_terminal, load_model, note
from .reply import ReplyWriter, reply_parser, reply_texts
from .sampling import constraint, sampling_params, takes_sampling

if TYPE_CHECKING:
    from gristmill.chat import ReplyParser
    from gristmill.generate import Generation


@takes_sampling
def run(
    ctx: typer.Context,
    prompt: o.Prompt = None,
    *,
    model: o.Model = None,
    prompt_option: o.PromptOption = None,
    file: o.PromptFile = None,
    chat: o.AsChat = False,
    system: o.System = None,
    max_tokens: o.MaxTokens = -1,
    stop: o.Stop = None,
    echo: o.Echo = True,
    context: o.Context = None,
    kv: o.KvCache = "f16",
    threads: o.Threads = None,
    isa: o.Isa = None,
    cache: o.Cache = True,
    ignore_eos: o.IgnoreEos = False,
    stats: o.Stats = False,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> int:
    """Continue a text, or answer one message with --chat."""
    del debug  # main() reads it
    text = read_prompt(prompt, prompt_option, file)
    constrained = constraint(ctx)
    loaded = load_model(model, threads=threads, context=context, isa=isa, kv=kv, cache=cache)
    messages = as_messages([{"role": "user", "content": text}], system)
    parser = reply_parser(loaded, messages) if chat or system is not None else None
    generation = loaded.session().generate(
        text if parser is None else messages,
        max_tokens=None if max_tokens < 0 else max_tokens,
        stop=stop or (),
        sampling=sampling_params(ctx, loaded.sampling),
        ignore_eos=ignore_eos,
        special=parser is not None and not parser.is_plain,
        **constrained,
    )
    if stats:
        note(loaded.report.describe())
    if as_json:
        print_json(generation, text, parser)
    elif parser is not None:
        stream(generation, ReplyWriter(parser))
    else:
        stream(generation, TextWriter(), text if echo else "")
    if stats:
        note(describe_stats(generation))
    return 0


def read_prompt(prompt: str | None, option: str | None, file: Path | None) -> str:
    """The prompt from wherever it was given; one line end at the end of a file is dropped."""
    given = [source for source in (prompt, option, file) if source is not None]
    if len(given) > 1:
        raise typer.BadParameter("Give the prompt once: as an argument, with -p, or with -f.")
    text = prompt if prompt is not None else option
    if text is not None and text != "-":
        if text.endswith(".gguf") and Path(text).is_file():
            raise typer.BadParameter(f"{text} is a model file: name it with -m {text}.")
        return text
    if file is not None:
        data, name = file.read_bytes(), str(file)
    elif text == "-" or not is_terminal(sys.stdin):
        data, name = sys.stdin.buffer.read(), "standard input"
    else:
        raise typer.BadParameter('No prompt. For example: gristmill run "Once upon a time"')
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"The prompt from {name} is not UTF-8: {error}.") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text and file is None:
        raise typer.BadParameter("The prompt from standard input is empty.")
    return text


def as_messages(messages: list[dict[str, str]], system: str | None) -> list[dict[str, str]]:
    """Messages after the system message, if there is one."""
    return messages if system is None else [{"role": "system", "content": system}, *messages]


def stream(generation: Generation, writer: TextWriter | ReplyWriter, echo: str = "") -> None:
    """Prints the text as it comes; an interrupt ends the line before it goes on upwards."""
    try:
        for index, piece in enumerate(generation):
            writer.write(echo + piece.text if index == 0 else piece.text)
    finally:
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            writer.end_line()


def print_json(generation: Generation, prompt: str, parser: ReplyParser | None) -> None:
    """One object with the text and the counts; of a reply also what was thought."""
    import dataclasses
    import json

    for _ in generation:
        pass
    texts = {"text": generation.text} if parser is None else reply_texts(parser, generation.text)
    stats = generation.stats
    data = {"prompt": prompt, **texts, **dataclasses.asdict(stats)}
    data["prefill_tokens_per_s"] = stats.prefill_tokens_per_s
    data["decode_tokens_per_s"] = stats.decode_tokens_per_s
    print(json.dumps(data, ensure_ascii=False))


def describe_stats(generation: Generation) -> str:
    """Two lines of statistics."""
    s = generation.stats
    return (
        f"prompt     {s.prompt_tokens} tokens ({s.reused_tokens} from the cache), "
        f"{s.prefill_tokens_per_s:.1f} tokens/s, first token after {s.time_to_first_token:.2f} s\n"
        f"generated  {s.generated_tokens} tokens, {s.decode_tokens_per_s:.1f} tokens/s, "
        f"ended by {s.finish_reason}, seed {s.seed}"
    )
