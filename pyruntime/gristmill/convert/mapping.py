# SPDX-License-Identifier: MIT
"""From the tensors of a checkpoint to those of a file, by a scheme: names, shapes, rows, types.

Nothing is read here. A result says which rows of which entries it is made of and what is done to
them; encode.py reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import FormatError, ShapeError, UnsupportedError
from gristmill.tensor_roles import CONVOLUTIONS, role_of

from .config import Config
from .safetensors import Checkpoint, Entry
from .scheme import Scheme, Tiling

_SUFFIXES = (".weight", ".bias")
_NUMBER = re.compile(r"\.(\d+)(?=\.)")
# Parts of a model that are not the language model itself, and buffers that old checkpoints keep.
_ELSEWHERE = (
    "vision_tower.", "vision_model.", "visual.", "audio_tower.", "multi_modal_projector.",
    "mm_projector.", "mtp.",
)  # fmt: skip
_BUFFERS = (".rotary_emb.inv_freq", ".attn.masked_bias", ".attention.masked_bias")
_SHOWN = 8


@dataclass(frozen=True)
class Span:
    """`rows` rows of an entry, seen as [rows, columns], from row `first`."""

    entry: Entry
    first: int
    rows: int


@dataclass(frozen=True)
class Output:
    """One tensor of the file.

    Args:
        name: With its suffix.
        shape: Rows first.
        spans: The rows it is made of, in order.
        head_rows: Rows of a head, whose halves are interleaved; 0: rows stay in order.
        shift: Added to each value.
        reader: Gives the bytes in the type of the file, piece by piece, in place of the spans.
        type: The only one that the tensor can have in the file; empty: any.
        negative_exp: Whether values x become -e^x.
        columns: Heads of columns that are reordered.
    """

    name: str
    shape: tuple[int, ...]
    spans: tuple[Span, ...]
    head_rows: int = 0
    shift: float = 0.0
    reader: Callable[[Checkpoint, str], Iterator[NDArray[np.uint8]]] | None = None
    type: str = ""
    negative_exp: bool = False
    columns: Tiling | None = None


@dataclass(frozen=True)
class Mapped:
    """The tensors of a file, in its order, and how many of the checkpoint belong elsewhere."""

    outputs: tuple[Output, ...]
    left_out: int


def map_tensors(scheme: Scheme, config: Config, entries: Mapping[str, Entry]) -> Mapped:
    """Every tensor of the file.

    Raises:
        ShapeError: Tensors are missing, or their shapes do not fit together.
        UnsupportedError: The checkpoint has tensors that the scheme does not know.
    """
    tied = config.flag("tie_word_embeddings", scheme.tied)
    sources: dict[str, dict[int, list[Span]]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    made = scheme.special(config, entries) if scheme.special is not None else {}
    unknown, left_out = [], 0
    for key, entry in entries.items():
        if key in made:
            continue
        name = _plain(key).removeprefix(scheme.prefix)
        if name.endswith(_BUFFERS) or name.startswith(scheme.left_out):
            continue
        if name.removeprefix("model.").startswith(_ELSEWHERE):
            left_out += 1
            continue
        targets, expert = _targets(scheme, name)
        if not targets:
            unknown.append(key)
        for part, target in enumerate(targets):
            if target.startswith("output.") and tied:
                continue
            spans, shape = _cut(entry, part, len(targets))
            if shapes.setdefault(target, shape) != shape:
                raise ShapeError(
                    f"[tensor {key!r}] All experts must have one shape. "
                    f"Got {list(shape)}, expected {list(shapes[target])}."
                )
            if sources.setdefault(target, {}).setdefault(expert, spans) is not spans:
                raise FormatError(f"[tensor {key!r}] Two tensors become {target!r}.")
    if unknown:
        raise UnsupportedError(
            f"[tensors] The conversion of {scheme.architecture!r} must know every tensor. Got "
            f"{len(unknown)} others: {_some(unknown)}."
        )
    outputs = [
        *(output for more in made.values() for output in more),
        *(_output(scheme, config, name, parts, shapes[name]) for name, parts in sources.items()),
    ]
    _require_layers(scheme, config, (output.name for output in outputs))
    outputs.sort(key=lambda output: _order(output.name))
    skipped = scheme.skipped(config)
    outputs = [_without_first(output, skipped.get(output.name, 0)) for output in outputs]
    return Mapped(tuple(outputs), left_out)


def _without_first(output: Output, rows: int) -> Output:
    """A matrix without its first rows."""
    if rows == 0:
        return output
    (span,) = output.spans
    if span.rows <= rows:
        raise ShapeError(
            f"[tensor {output.name!r}] More than {rows} rows are needed. Got {span.rows}."
        )
    rest = replace(span, first=span.first + rows, rows=span.rows - rows)
    return replace(output, shape=(rest.rows, *output.shape[1:]), spans=(rest,))


def _plain(key: str) -> str:
    """A name without what wraps the language model of a multimodal one."""
    return key.replace("language_model.model.", "model.").replace("language_model.", "")


def _targets(scheme: Scheme, name: str) -> tuple[tuple[str, ...], int]:
    """The names in the file of a tensor, and which expert it is of (-1: of none)."""
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
    numbers = _NUMBER.findall(name)
    letters = iter(("{i}", "{e}"))
    stem = _NUMBER.sub(lambda match: f".{next(letters, match[1])}", name.removesuffix(suffix))
    # A checkpoint of the model without its head has names without this beginning.
    found = scheme.tensors.get(stem) or scheme.tensors.get(f"model.{stem}")
    if found is None or any(len(number) > 5 for number in numbers):
        return (), -1
    layer = str(int(numbers[0])) if numbers else ""
    expert = int(numbers[1]) if len(numbers) > 1 else -1
    stems = (found,) if isinstance(found, str) else found

    def whole(stem: str) -> str:
        bare = stem.rpartition("{i}.")[2] in scheme.bare
        return stem.replace("{i}", layer) + ("" if bare else suffix or ".weight")

    return tuple(map(whole, stems)), expert


def _cut(entry: Entry, part: int, parts: int) -> tuple[list[Span], tuple[int, ...]]:
    """The `part`-th of `parts` equal ranges of the rows of each matrix, and its shape."""
    if parts == 1:
        return [Span(entry, 0, entry.rows)], entry.shape
    if len(entry.shape) < 2 or entry.shape[-2] % parts != 0:
        raise ShapeError(
            f"[tensor {entry.name!r}] The rows must be {parts} equal parts. "
            f"Got shape {list(entry.shape)}."
        )
    whole = entry.shape[-2]
    rows = whole // parts
    starts = range(part * rows, entry.rows, whole)
    spans = [Span(entry, start, rows) for start in starts]
    return spans, (*entry.shape[:-2], rows, entry.shape[-1])


def _output(
    scheme: Scheme,
    config: Config,
    name: str,
    parts: Mapping[int, list[Span]],
    shape: tuple[int, ...],
) -> Output:
    """The tensor `name`; experts are stacked in order."""
    experts = sorted(parts)
    if experts != [-1]:
        if experts != list(range(len(experts))):
            raise ShapeError(
                f"[tensor {name!r}] Experts must be numbered without a gap. "
                f"Got {len(experts)} of them, the last is {experts[-1]}."
            )
        shape = (len(experts), *shape)
    kind = role_of(name)
    if kind in CONVOLUTIONS and len(shape) == 3 and shape[1] == 1:
        shape = (shape[0], shape[2])  # one input channel per output channel
    if not shape or len(shape) > 4 or 0 in shape:
        raise ShapeError(f"[tensor {name!r}] One to four dimensions are needed. Got {list(shape)}.")
    head_rows = config.head_dim if kind in scheme.rotary else 0
    if head_rows and (head_rows % 2 != 0 or shape[0] % head_rows != 0):
        raise ShapeError(
            f"[tensor {name!r}] The rows must be heads of {head_rows}, an even number. "
            f"Got {shape[0]}."
        )
    spans = tuple(span for expert in experts for span in parts[expert])
    shifted = kind.endswith("_norm") and kind not in scheme.plain_norms
    shift = scheme.norm_shift if shifted else 0.0
    tiling = None if scheme.tilings is None else scheme.tilings(config).get(kind)
    if tiling is not None:
        _check_tiling(name, tiling, shape)
        spans = spans if tiling.columns else _tiled(spans[0].entry, tiling)
    columns = tiling if tiling is not None and tiling.columns else None
    return Output(
        name,
        shape,
        spans,
        head_rows,
        shift,
        negative_exp=kind in scheme.negative_exp,
        columns=columns,
    )


def _check_tiling(name: str, tiling: Tiling, shape: tuple[int, ...]) -> None:
    size = shape[-1] if tiling.columns else shape[0]
    if size != tiling.end:
        what = "columns" if tiling.columns else "rows"
        raise ShapeError(
            f"[tensor {name!r}] The {what} must be {tiling.first} and {tiling.groups} groups of "
            f"{tiling.each} heads of {tiling.width}. Got {size}."
        )


def _tiled(entry: Entry, tiling: Tiling) -> tuple[Span, ...]:
    """The rows of an entry with the heads one of each group in turn."""
    before = (Span(entry, 0, tiling.first),) if tiling.first else ()
    heads = (
        Span(entry, tiling.first + (group * tiling.each + i) * tiling.width, tiling.width)
        for i in range(tiling.each)
        for group in range(tiling.groups)
    )
    return (*before, *heads)


def _require_layers(scheme: Scheme, config: Config, found: Iterable[str]) -> None:
    """Raises ShapeError where a layer lacks what one of its kind has, or is one too many."""
    layers = config.layers
    names = set(found)
    words = scheme.kinds(config) if scheme.kinds is not None else ("",) * layers
    kinds: dict[str, set[str]] = {word: set() for word in words}
    for name in names:
        if name.startswith("blk.") and (i := int(name.split(".")[1])) < layers:
            kinds[words[i]].add(name.split(".", 2)[2])
    expected = {f"blk.{i}.{kind}" for i, word in enumerate(words) for kind in kinds[word]}
    expected = (expected | set(scheme.needed)) - set(scheme.absent)
    missing = sorted(expected - names, key=_order)
    if missing or not any(kinds.values()):
        raise ShapeError(
            f"[tensors] Each of {layers} layers of {scheme.architecture!r} needs its tensors. "
            f"Missing: {_some(missing) or 'all'}."
        )
    more = sorted((n for n in names - expected if n.startswith("blk.")), key=_order)
    if more:
        raise ShapeError(
            f"[tensors] {config.where} says {layers} layers. Got tensors of others: {_some(more)}."
        )


def _order(name: str) -> tuple[int, int, str]:
    """What is read first comes first: the embedding, the layers, the output."""
    if name.startswith("blk."):
        return 1, int(name.split(".")[1]), name
    return (2 if name.startswith("output") else 0), 0, name


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
