# SPDX-License-Identifier: MIT
"""The `gristmill` command: its commands, and how every one of them ends.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A failure is one sentence on stderr
("gristmill: ...") and no traceback without --debug. A reader that leaves early (`| head -1`) is
not a failure. Everything heavy is imported inside the commands.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from .bench import bench
from .cache import cache
from .chat import chat
from .compare import compare
from .convert import convert
from .doctor import doctor
from .embed import embed, rerank
from .imatrix import imatrix
from .inspect import inspect
from .models import list_models, pull, rm
from .output import is_terminal, note, prepare_streams
from .perplexity import perplexity
from .plan import plan
from .quantize import quantize
from .run import run
from .verify import verify

app = typer.Typer(
    name="gristmill",
    help="Run GGUF language models on the CPU.",
    epilog='With no model named, the bundled one: gristmill run "Once upon a time"',
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(chat)
app.command()(embed)
app.command()(rerank)
app.command()(inspect)
app.command()(plan)
app.command()(verify)
app.command()(convert)
app.command()(quantize)
app.command()(imatrix)
app.command()(pull)
app.command("list")(list_models)
app.command()(rm)
app.command()(perplexity)
app.command()(compare)
app.command()(bench)
app.command()(doctor)
app.add_typer(cache)


def _show_version(wanted: bool) -> None:
    if wanted:
        import gristmill

        print(f"gristmill {gristmill.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run GGUF language models on the CPU."""
    del version  # its callback has printed it
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main() -> NoReturn:
    """Runs the command line and exits."""
    prepare_streams()
    debug = "--debug" in sys.argv[1:] or bool(os.environ.get("GRISTMILL_DEBUG"))
    try:
        code = _guarded(debug)
        sys.stdout.flush()
        code = _finish_cache(code)
        if code == 130 and is_terminal(sys.stderr):
            print(file=sys.stderr)  # after the terminal's ^C
    except BrokenPipeError:
        code = 0
        _discard_stdout()
    sys.exit(code)


def _guarded(debug: bool) -> int:
    """The exit code of the command; prints its error."""
    try:
        result = app(prog_name="gristmill", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SystemExit as error:  # typer exits so on a broken pipe
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except typer.Exit as error:
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001  # the last resort of a program
        return _report(error, debug)


def _finish_cache(code: int) -> int:
    """Waits for a cache entry that is being written, and says so if it takes a while."""
    panel_cache = sys.modules.get("gristmill.panel_cache")
    if panel_cache is None:
        return code
    try:
        panel_cache.finish_writing(
            lambda: note("gristmill: writing the panel cache (Ctrl-C gives it up)...")
        )
    except KeyboardInterrupt:
        return 130
    return code


def _report(error: Exception, debug: bool) -> int:
    """Prints one sentence; returns the exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if hasattr(error, "format_message"):  # a usage error of typer
        message = " ".join(str(error.format_message()).split())
        message += "" if message.endswith((".", "?", "!")) else "."
        command = getattr(getattr(error, "ctx", None), "command_path", "gristmill")
        print(f"gristmill: {message} Try `{command} --help`.", file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    print(f"gristmill: {_sentence(error)}", file=sys.stderr)
    return 1


def _sentence(error: Exception) -> str:
    """The error in a line; one that is not ours names its class and how to see more."""
    from gristmill.errors import GristmillError

    text = " ".join(str(error).split())
    if isinstance(error, (GristmillError, ImportError)):
        return text
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}."
    if isinstance(error, MemoryError):
        return "Out of memory. A smaller context (-c) or model needs less."
    return f"{type(error).__name__}: {text} (--debug shows where; please report it)"


def _discard_stdout() -> None:
    """Keeps the interpreter from complaining when it flushes a closed pipe at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


if __name__ == "__main__":
    main()
