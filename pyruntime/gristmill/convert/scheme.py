# SPDX-License-Identifier: MIT
"""What a table of families.py is made of.

A scheme says how one kind of checkpoint becomes a GGUF file: which tensor gets which name, which
key comes from where in config.json, and what is done to values. All of it is data and small readers
of a Config; the loops over it are in mapping.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import UnsupportedError

from .config import Config

if TYPE_CHECKING:
    from .mapping import Output
    from .safetensors import Entry

LAYER = "model.layers.{i}."
BLOCK = "blk.{i}."

Name = str | tuple[str, ...] | None  # of tensors in the file; None takes a line out of a table
Reader = Callable[[Config], Any]  # None: the key is left out
Keys = Callable[[Config], dict[str, Any]]
Generated = Callable[[Config], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Tiling:
    """Heads that lie group by group, to lie one of each group in turn.

    Args:
        groups: How many groups there are.
        each: Heads of a group.
        width: Rows (or columns) of a head.
        first: Where the heads begin; what is before them stays.
        columns: Whether they are columns, not rows.
    """

    groups: int
    each: int
    width: int
    first: int = 0
    columns: bool = False

    @property
    def end(self) -> int:
        """Where they end."""
        return self.first + self.groups * self.each * self.width


@dataclass(frozen=True)
class Scheme:
    """How the checkpoints of some model classes become files of one architecture.

    Args:
        architecture: general.architecture, also the prefix of its keys.
        classes: Names in config.json's `architectures`.
        tensors: Names in the checkpoint, without ".weight" or ".bias" and with {i} for the layer
            and {e} for the expert, to names in the file. Experts are stacked; a tuple of names
            cuts the rows of one tensor (of each expert) into as many equal parts.
        keys: Each gives some keys, without the prefix.
        generated: Tensors that come from the configuration.
        rotary: Names whose rows of a head are reordered from halves to neighbouring pairs, as this
            architecture's rotary embedding takes them.
        norm_shift: Added to norm weights; Gemma's norms multiply by 1 + weight.
        plain_norms: Names of norms to which it is not added.
        bare: Names in the file that get no suffix.
        negative_exp: Names whose values x become -e^x.
        tilings: By name, heads that are reordered.
        kinds: A word per layer: layers of one word have the same tensors; none: all have.
        activation: What hidden_act must be.
        tied: Whether the output layer is the embedding table where config.json says nothing.
        defaults: Of config.json, for keys that published files leave out.
        checks: Each raises UnsupportedError for what the keys cannot say.
        prefix: Of all tensors in checkpoints that have a head.
        needed: Tensors of the file besides those of layers.
        skipped: First rows of tensors that the file has no use for, by name in the file.
        says_yes: Whether models of this kind that rank say yes or no (reranker.py).
        absent: Tensors that one layer lacks although others have them.
        left_out: Beginnings of names of tensors that the file has no use for.
        special: Tensors that no line can say, by the name of the one in the checkpoint.
        quantized: The quant_method of config.json whose tensors `special` reads.
    """

    architecture: str
    classes: tuple[str, ...]
    tensors: Mapping[str, str | tuple[str, ...]]
    keys: tuple[Keys, ...]
    generated: tuple[Generated, ...] = ()
    rotary: frozenset[str] = frozenset()
    norm_shift: float = 0.0
    plain_norms: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    negative_exp: frozenset[str] = frozenset()
    tilings: Callable[[Config], Mapping[str, Tiling]] | None = None
    kinds: Callable[[Config], Sequence[str]] | None = None
    activation: str = "silu"
    tied: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Callable[[Config], None], ...] = ()
    prefix: str = ""
    needed: tuple[str, ...] = ("token_embd.weight", "output_norm.weight")
    skipped: Callable[[Config], Mapping[str, int]] = lambda _: {}
    says_yes: bool = False
    absent: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    special: Callable[[Config, Mapping[str, Entry]], Mapping[str, Sequence[Output]]] | None = None
    quantized: str = ""


def table(readers: Mapping[str, Reader]) -> Keys:
    """Keys by reader."""

    def read(config: Config) -> dict[str, Any]:
        values = {name: reader(config) for name, reader in readers.items()}
        return {name: value for name, value in values.items() if value is not None}

    return read


def count(*names: str, default: int | None = None) -> Reader:
    """A whole number of config.json."""
    return lambda config: config.count(*names, default=default)


def real(*names: str, default: float | None = None) -> Reader:
    """A number of config.json."""
    return lambda config: config.real(*names, default=default)


def maybe_count(name: str) -> Reader:
    """A whole number, or no key."""
    return lambda config: None if config.raw(name) is None else config.count(name)


def maybe_real(name: str) -> Reader:
    """A number, or no key."""
    return lambda config: None if config.raw(name) is None else config.real(name)


def sliding(period: int, always: bool = False) -> Keys:
    """The window, and which layers have it unless it is all but every `period`-th.

    Args:
        period: What a reader of the file assumes where the pattern is not given.
        always: Write the pattern even if it is that one.
    """

    def read(config: Config) -> dict[str, Any]:
        window = config.raw("sliding_window")
        if window is None:
            return {}
        keys: dict[str, Any] = {"attention.sliding_window": config.count("sliding_window")}
        layers = config.layers
        step = config.count("sliding_window_pattern", "_sliding_window_pattern", default=period)
        usual = [(i + 1) % period != 0 for i in range(layers)]
        stated = [kind == "sliding_attention" for kind in config.layer_types()]
        pattern = stated or [step == 0 or (i + 1) % step != 0 for i in range(layers)]
        if always or pattern != usual:
            keys["attention.sliding_window_pattern"] = pattern
        return keys

    return read


def require(what: str, condition: Callable[[Config], bool]) -> Callable[[Config], None]:
    """A check: `condition`, or UnsupportedError("`what`")."""

    def check(config: Config) -> None:
        if not condition(config):
            raise UnsupportedError(f"[{config.where}] {what}")

    return check


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Tables joined; later ones win, and None takes a line out."""
    joined: dict[str, Any] = {}
    for part in parts:
        joined |= part
    return {key: value for key, value in joined.items() if value is not None}


def block(lines: Mapping[str, Name]) -> dict[str, Name]:
    """Lines of a layer. None takes a line out in `merged`."""

    def name(stem: Name) -> Name:
        if isinstance(stem, tuple):
            return tuple(BLOCK + part for part in stem)
        return None if stem is None else BLOCK + stem

    return {LAYER + key: name(stem) for key, stem in lines.items()}
