# SPDX-License-Identifier: MIT
"""Architectures: each turns a file's metadata into a plan, and registers itself by name.

A new one is a file in this folder with a class like llama.py's, and a line in _FAMILIES.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from gristmill.architectures.known import why_not
from gristmill.architectures.plan import Plan
from gristmill.architectures.pooling import POOLINGS, file_pooling
from gristmill.errors import FormatError, ShapeError, UnsupportedError
from gristmill.tensor_types import TENSOR_TYPES

if TYPE_CHECKING:
    from gristmill.architectures.decoder import Decoder, Source, Tensor

__all__ = ["Plan", "build_plan", "known", "register"]

# Modules of this folder, the most used first.
_FAMILIES = (
    "llama", "qwen", "gemma", "bert", "gemma_embedding", "glm", "gpt_oss", "granite", "olmo",
    "phi", "lfm2", "qwen35",
)  # fmt: skip
_REGISTRY: dict[str, type[Decoder]] = {}
_SHOWN = 40  # problems in one message

DecoderClass = TypeVar("DecoderClass", bound="type[Decoder]")


def register(*names: str) -> Callable[[DecoderClass], DecoderClass]:
    """Registers a class for values of general.architecture."""

    def add(cls: DecoderClass) -> DecoderClass:
        for name in names:
            _REGISTRY[name] = cls
        return cls

    return add


def known() -> tuple[str, ...]:
    """The names that can be run."""
    _find("")
    return tuple(sorted(_REGISTRY))


def _find(name: str) -> type[Decoder] | None:
    """The class of a name. Modules are imported until it is there: a start waits for each."""
    for family in _FAMILIES:
        importlib.import_module(f"{__name__}.{family}")
        if name in _REGISTRY:
            break
    return _REGISTRY.get(name)


def build_plan(file: Source, *, context: int | None = None, pooling: str | None = None) -> Plan:
    """The plan of a model file, compared with its tensors.

    Args:
        file: An open file, `gristmill.gguf.File`.
        context: Positions that will be used; None: what the model was trained for.
        pooling: For embeddings instead of logits, a name of `pooling.POOLINGS`; None: as the file
            says.

    Raises:
        FormatError: Metadata are missing or absurd; all problems are listed.
        ShapeError: Tensors are missing or misshaped; all are listed.
        UnsupportedError: The architecture, or something that the file asks of it.
    """
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise FormatError("[metadata] A model names its architecture. Got no general.architecture.")
    decoder = _find(architecture)
    if decoder is None:
        raise UnsupportedError(f"[metadata] {why_not(architecture, known())}")
    chosen = _pooling(file, architecture, decoder.gives_logits) if pooling is None else pooling
    if chosen and chosen not in POOLINGS:
        raise UnsupportedError(
            f"[pooling] It must be one of: {', '.join(POOLINGS)}. Got {chosen!r:.40}."
        )
    return _compared(decoder(file, architecture).build(context, chosen), file.tensors)


def _pooling(file: Source, architecture: str, gives_logits: bool) -> str:
    """The file's pooling; a model that has logits gives those unless its texts become one row."""
    stated = file_pooling(file.metadata, architecture)
    if gives_logits:
        return "" if stated == "none" else stated
    return stated or "none"


def _compared(plan: Plan, tensors: Mapping[str, Tensor]) -> Plan:
    """The plan with what it leaves unread, if all it reads is there in the right shape."""
    problems = []
    foreign = []
    for weight in plan.weights:
        tensor = tensors.get(weight.name)
        if tensor is None:
            problems.append(f"{weight.name!r} is missing")
        elif not weight.fits(tuple(tensor.shape)):
            problems.append(
                f"{weight.name!r} has shape {list(tensor.shape)}, "
                f"expected {list(weight.tensor_shape)}"
            )
        elif TENSOR_TYPES[tensor.type].status != "supported":
            foreign.append(f"{weight.name!r} has type {tensor.type}")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ShapeError(
            "[tensors] The tensors must be those that the metadata describe: "
            f"{'; '.join(problems[:_SHOWN])}{more}."
        )
    if foreign:
        raise UnsupportedError(
            f"[tensors] Every tensor needs a type with kernels. Got {len(foreign)} without: "
            f"{'; '.join(foreign[:_SHOWN])}."
        )
    read = {weight.name for weight in plan.weights}
    unused = tuple(name for name in tensors if name not in read)
    # A head that is not asked for is left alone, with its bias.
    biases = [n for n in unused if n.endswith(".bias") and f"{n[:-5]}.weight" in read]
    if biases:
        raise UnsupportedError(
            f"[tensors] This architecture is run without biases. Got {len(biases)} of them, "
            f"the first is {biases[0]!r}."
        )
    scales = [name for name in unused if name.endswith(".scale")]
    if scales:  # an NVFP4 matrix means nothing without the factor of the whole of it
        raise UnsupportedError(
            f"[tensors] Factors are applied to the matrices of blocks only. Got {len(scales)} of "
            f"others, the first is {scales[0]!r}. Hint: use a file of another type, such as MXFP4."
        )
    return replace(plan, unused=unused)
