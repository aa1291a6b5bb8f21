# SPDX-License-Identifier: MIT
"""Whether a GGUF file is whole and makes sense: what `gristmill verify` looks at.

Opening a file checks its structure; this goes on to what opening has no time for (every value) and
to what plain text may live without (the chat template). A problem is damage: the file does not do
what it says. A warning is odd, and may be meant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core, gguf, tokenizer
from .blueprint import Blueprint
from .chat.from_gguf import read_template
from .errors import FormatError, GristmillError, ResourceError, ShapeError, TokenizerError
from .report import human_bytes
from .tokenizer.vocabulary import PREFIX, TokenType

if TYPE_CHECKING:
    from .chat.template import ChatTemplate

Progress = Callable[[int, int], object]

# Trained weights stay below some thousands; the scale of a block that is damaged mostly does not.
ABSURD = 1e6
# In trained matrices the largest weight of a piece is within some ten times that of other pieces.
FAR_OFF = 2000.0
_PIECE_VALUES = 4096
SAMPLE = "Hello, world!\nIt's 12:30 - caf\u00e9, na\u00efve \u4f60\u597d \U0001f600\t(end)  "
TURNS = (
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "It is Paris."},
    {"role": "user", "content": "And of Italy?"},
)


@dataclass
class Check:
    """One part of a verification. state: "ok", "warning", "problem" or "skipped"."""

    name: str
    state: str = "ok"
    detail: str = ""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Damage."""
        self.problems.append(text)
        self.state = "problem"

    def warn(self, text: str) -> None:
        """Something odd."""
        self.warnings.append(text)
        if self.state == "ok":
            self.state = "warning"

    def skip(self, why: str) -> None:
        """There is nothing to check."""
        self.state, self.detail = "skipped", why


@dataclass(frozen=True)
class Verification:
    """What was found in a file."""

    paths: list[str]
    checks: list[Check]

    @property
    def good(self) -> bool:
        """Whether there is no problem."""
        return all(check.state != "problem" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "good": self.good}


def verify(
    path: str | Path,
    *,
    sha256: str | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Looks at everything in a file.

    Args:
        path: The file; for a split model its first part.
        sha256: What the hash of that file should be, in hex; None: not looked at.
        threads: Worker threads; 0: what suits the machine.
        progress: Called with bytes done and bytes in all, of the values.

    Raises:
        ResourceError: The file cannot be opened or read.
        ValueError: `sha256` is no such hash.
    """
    checks = []
    if sha256 is not None:
        checks.append(check_hash(path, parse_sha256(sha256)))
    structure = Check("structure")
    checks.append(structure)
    try:
        file = gguf.File(path)
    except ResourceError:
        raise
    except GristmillError as error:
        structure.problem(str(error))
        return Verification([str(path)], checks)
    structure.detail = (
        f"GGUF v{file.version}, {len(file.metadata)} keys, {len(file.tensors)} tensors, "
        f"{human_bytes(file.nbytes)}"
    )
    checks += [
        check_values(file, threads, progress),
        check_model(file),
        *check_text(file),
    ]
    file.check()
    return Verification(file.paths, checks)


def parse_sha256(text: str) -> str:
    """The hash in lower case.

    Raises:
        ValueError: It is not 64 hexadecimal digits.
    """
    text = text.strip().lower()
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"[sha256] A hash is 64 hexadecimal digits. Got {text!r}.")
    return text


def check_hash(path: str | Path, expected: str) -> Check:
    """The hash of one file."""
    check = Check("sha256")
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ResourceError(f"[{path}] cannot be read: {error.strerror}.") from error
    check.detail = digest.hexdigest()
    if check.detail != expected:
        check.problem(f"[{path}] the hash is another. Got {check.detail}, expected {expected}.")
    return check


def check_values(file: gguf.File, threads: int = 0, progress: Progress | None = None) -> Check:
    """Every value of every tensor is finite and of a plausible size."""
    check = Check("values")
    total = sum(info.nbytes for info in file.tensors.values())
    done = 0
    unread: dict[str, int] = {}
    for name, info in file.tensors.items():
        before = done

        def tell(nbytes: int, before: int = before) -> None:
            if progress is not None:
                progress(before + nbytes, total)

        found = _core.scan_values(file.core, name, threads, tell)
        done += info.nbytes
        if found is None:
            unread[info.type] = unread.get(info.type, 0) + 1
        else:
            _judge(check, file, info, found)
    count = len(file.tensors) - sum(unread.values())
    check.detail = f"{count} of {len(file.tensors)} tensors, {human_bytes(total)}"
    if unread:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(unread.items()))
        check.detail += f"; not decoded: {kinds}"
    return check


def _judge(
    check: Check,
    file: gguf.File,
    info: gguf.TensorInfo,
    found: tuple[int, int, int, float, int, float],
) -> None:
    nans, infinities, first_bad, largest, largest_at, typical = found
    where = f"[{file.paths[info.part]}, tensor {info.name!r} ({info.type})]"
    width = info.shape[-1] if info.shape else 1

    def place(index: int) -> str:
        return f"row {index // width}, column {index % width}"

    if nans or infinities:
        check.problem(
            f"{where} weights are finite. Got {nans} NaN and {infinities} infinite values, the "
            f"first in {place(first_bad)}."
        )
    if largest > ABSURD:
        check.problem(
            f"{where} no trained weight is that large. Got {largest:.3g} in {place(largest_at)}."
        )
    elif largest > FAR_OFF * typical and largest > 1:
        check.warn(
            f"{where} a value is far larger than the others. Got {largest:.3g} in "
            f"{place(largest_at)}, where {_PIECE_VALUES} values have a maximum of {typical:.3g}."
        )


def check_model(file: gguf.File) -> Check:
    """The tensors are those of the architecture, in its shapes."""
    check = Check("model")
    blueprint = Blueprint.of(file)
    if isinstance(blueprint.error, (FormatError, ShapeError)):
        check.problem(str(blueprint.error))
    elif blueprint.error is not None:  # whole perhaps, but not for this build
        check.skip(str(blueprint.error))
    else:
        check.detail = f"{file.architecture}, {len(blueprint.require().ops)} operations"
    return check


def check_text(file: gguf.File) -> list[Check]:
    """The tokenizer, and the chat template if there is one."""
    words, turns = Check("tokenizer"), Check("template")
    kind = file.metadata.get(PREFIX + "model")
    if kind is None or (isinstance(kind, str) and kind in ("none", "no_vocab")):
        words.skip("the file has none")
        turns.skip("the file has no tokenizer")
        return [words, turns]
    try:
        text = tokenizer.from_metadata(file.metadata)
    except TokenizerError as error:
        words.problem(str(error))
        turns.skip("the tokenizer cannot be built")
        return [words, turns]
    words.detail = text.source
    check_tokenizer(words, file, text)
    template, source, notes = read_template(file.metadata, text)
    if source == "refused":
        turns.problem(notes[0])
    elif template is None:
        turns.skip("the file has none")
    else:
        check_template(turns, template)
    return [words, turns]


def check_tokenizer(check: Check, file: gguf.File, text: tokenizer.Tokenizer) -> None:
    """The vocabulary fits the embedding, and a text comes back as it was."""
    for note in text.notes:
        check.warn(note)
    embedding = file.tensors.get("token_embd.weight")
    if embedding is not None and len(embedding.shape) == 2:
        rows = embedding.shape[0]
        if rows < text.vocab_size:
            check.problem(
                f"[tokenizer] every token needs a row of token_embd.weight. Got {rows} rows for "
                f"{text.vocab_size} tokens."
            )
        elif rows > text.vocab_size:
            check.warn(f"token_embd.weight has {rows - text.vocab_size} rows that are no token")
    ids = text.encode(SAMPLE, add_special=False)
    back = text.decode(ids)
    if back == SAMPLE:
        return
    # What cannot spell all texts, or makes them simpler first, does not give them back.
    kind = file.metadata[PREFIX + "model"]
    spells_all = kind == "gpt2" or (kind == "llama" and _has_all_bytes(text))
    tell = check.problem if spells_all else check.warn
    tell(f"[tokenizer] a text comes back changed. Got {back!r}, expected {SAMPLE!r}.")


def _has_all_bytes(text: tokenizer.Tokenizer) -> bool:
    kinds = map(text.token_type, range(text.vocab_size))
    return sum(kind is TokenType.BYTE for kind in kinds) >= 256


def check_template(check: Check, template: ChatTemplate) -> None:
    """It renders a question, an answer and another question, with all of their words."""
    try:
        prompt = template.render(TURNS, add_generation_prompt=True)
    except GristmillError as error:
        check.problem(str(error))
        return
    check.detail = f"{len(template.source)} characters"
    lost = [turn["content"] for turn in TURNS if turn["content"] not in prompt]
    if lost:
        check.warn(f"the template drops what was said: {lost[0]!r}")
