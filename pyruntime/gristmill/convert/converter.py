# SPDX-License-Identifier: MIT
"""`convert`: a folder with safetensors in, a GGUF file out.

Everything that can be wrong with the small files is found before the first weight is read. Weights
pass through a few MiB of memory; the file appears under its name complete or not at all.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.disk import require_space
from gristmill.errors import ResourceError, ShapeError, UnsupportedError
from gristmill.gguf_writer import Writer
from gristmill.tensor_types import tensor_bytes

from . import reranker
from .config import Config
from .encode import AUTO, TYPES, encode, file_type, output_type
from .mapping import Output, map_tensors
from .safetensors import Checkpoint
from .scheme import Scheme
from .schemes import BY_CLASS
from .sentence_transformers import dense_layers, pooling_keys
from .special_tokens import sampling_keys, special_keys, template_keys
from .vocabulary import read_vocabulary

Progress = Callable[[int, int], object]
_QUANTIZATION_VERSION = 2  # of ggml's block formats


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Args:
        path: The file.
        architecture: Its general.architecture.
        type: The type of its matrices.
        tensors: How many it has.
        nbytes: Bytes of their data.
        notes: What was left out or guessed.
    """

    path: Path
    architecture: str
    type: str
    tensors: int
    nbytes: int
    notes: tuple[str, ...]


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    type: str = AUTO,
    *,
    name: str | None = None,
    pre: str | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Converts a model in Hugging Face's layout to a GGUF file.

    Args:
        source: A folder with config.json, safetensors and the tokenizer's files.
        out: The file to write or replace.
        type: "f32", "f16", "bf16", "q8_0", or "auto": bf16 stays bf16, all else becomes f16.
            Vectors, norms and routers are F32 in any case.
        name: general.name; None: the folder's name.
        pre: tokenizer.ggml.pre, for a pre-tokenizer that is not recognised.
        progress: Called with bytes done and bytes in all.

    Returns:
        What was written.

    Raises:
        ResourceError: A file is missing or cannot be read, or the disk is full.
        FormatError, ShapeError: A file is damaged, or tensors are missing or do not fit.
        TokenizerError: The tokenizer cannot be described in a GGUF file.
        UnsupportedError: The architecture, or something in it, has no conversion yet.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise ResourceError(f"[{folder}] A model to convert is a folder. There is none.")
    checkpoint = Checkpoint(folder)
    try:
        contents = _contents(folder, checkpoint, type, name, pre)
        total = _write(Path(out), contents, checkpoint, progress)
    finally:
        checkpoint.close()
    return Conversion(
        Path(out),
        contents.metadata["general.architecture"],
        contents.type,
        len(contents.outputs) + len(contents.generated),
        total,
        contents.notes,
    )


@dataclass(frozen=True)
class _Contents:
    """All that a file will have: keys, tensors from the configuration, tensors to read."""

    metadata: Mapping[str, Any]
    generated: Mapping[str, NDArray[np.float32]]
    outputs: tuple[Output, ...]
    type: str
    notes: tuple[str, ...]


def _contents(
    folder: Path, checkpoint: Checkpoint, type: str, name: str | None, pre: str | None
) -> _Contents:
    config = Config.load(folder)
    scheme = choose(config)
    config = config.with_defaults(scheme.defaults)
    kind = file_type(type, iter(checkpoint.values()))
    mapped = map_tensors(scheme, config, checkpoint)
    rows = next(o.shape[0] for o in mapped.outputs if o.name == "token_embd.weight")
    dense, keys = dense_layers(folder)
    keys = {**keys, **pooling_keys(folder)}
    for read in scheme.keys:
        keys |= read(config)
    vocab = read_vocabulary(folder, rows, pre)
    special = special_keys(folder, config, vocab, pooled="pooling_type" in keys)
    prefix = f"{scheme.architecture}."
    title = name or folder.resolve().name or scheme.architecture
    yes_no = reranker.classifier(title, mapped.outputs, vocab) if scheme.says_yes else ()
    metadata = {
        "general.architecture": scheme.architecture,
        "general.type": "model",
        "general.name": title,
        "general.file_type": TYPES[kind][0],
        "general.quantization_version": _QUANTIZATION_VERSION,
        **sampling_keys(folder),
        prefix + "vocab_size": rows,
        **{prefix + key: value for key, value in keys.items()},
        **{f"tokenizer.ggml.{k}": v for k, v in (vocab.keys() | special).items()},
        **template_keys(folder),
        **(reranker.keys(scheme.architecture) if yes_no else {}),
    }
    generated = dense | {k: v for make in scheme.generated for k, v in make(config).items()}
    notes = list(vocab.notes)
    if mapped.left_out:
        notes.append(
            f"{mapped.left_out} tensors of other parts (images, audio, drafts) were left out"
        )
    return _Contents(metadata, generated, (*mapped.outputs, *yes_no), kind, tuple(notes))


def choose(config: Config) -> Scheme:
    """The scheme of a configuration.

    Raises:
        UnsupportedError: There is none, or the model has something that it cannot say.
    """
    scheme = next((BY_CLASS[name] for name in config.architectures if name in BY_CLASS), None)
    if scheme is None:
        named = ", ".join(config.architectures) or "none"
        raise UnsupportedError(
            f"[{config.where}] The architecture must be one of: {', '.join(sorted(BY_CLASS))}. "
            f"Got {named:.120}."
        )
    method = config.raw("quantization_config")
    if isinstance(method, dict) and method.get("quant_method") != (scheme.quantized or None):
        raise UnsupportedError(
            f"[{config.where}] Only unquantized weights are converted. "
            f"Got {method.get('quant_method', 'a quantization')!r:.40}."
        )
    activation = config.raw("hidden_activation", "hidden_act")
    if activation not in (None, scheme.activation):
        raise UnsupportedError(
            f"[{config.where}] {scheme.architecture!r} has the activation {scheme.activation!r}. "
            f"Got {activation!r:.40}."
        )
    for check in scheme.checks:
        check(config)
    return scheme


def _write(
    path: Path, contents: _Contents, checkpoint: Checkpoint, progress: Progress | None
) -> int:
    """Writes the file; returns the bytes of its tensors."""
    kinds = [output_type(output, contents.type) for output in contents.outputs]
    done = sum(value.nbytes for value in contents.generated.values())
    total = done + sum(
        tensor_bytes(output.shape, kind)
        for output, kind in zip(contents.outputs, kinds, strict=True)
    )
    require_space(path, total)

    def pieces(output: Output, kind: str) -> Iterator[NDArray[np.uint8]]:
        nonlocal done
        for piece in encode(checkpoint, output, kind):
            yield piece
            done += piece.nbytes
            if progress is not None:
                progress(done, total)

    with Writer(path) as writer:
        for key, value in contents.metadata.items():
            writer.add(key, value)
        for name, values in contents.generated.items():
            writer.add_tensor(name, values)
        for output, form in zip(contents.outputs, kinds, strict=True):
            if len(output.name.encode()) > 63:
                raise ShapeError(f"[tensor {output.name!r}] The name is too long for GGUF.")
            source = functools.partial(pieces, output, form)
            writer.add_tensor(output.name, source, form, shape=output.shape, raw=True)
    return total
