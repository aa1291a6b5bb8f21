# SPDX-License-Identifier: MIT
"""Write a random-weight GGUF of any public shape, for speed and memory measurements.

    python bench/make_model.py --shape tinyllama-1.1b --type Q4_K_M --out tinyllama.gguf

Speed does not depend on what the weights say, so a file with the right shapes, type mix and
vocabulary size measures as the real one does, with no download. The text it writes is noise.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blocks import Bytes, random_blocks, row_bytes
from gristmill.gguf import Writer
from gristmill.quantize.recipe import FILE_TYPES, tensor_type
from hybrids import attends, recurrent_keys, recurrent_matrices, recurrent_vectors
from shapes import SHAPES, Shape
from vocabulary import Vocabulary, vocabulary

# Logits of a random model: rows of deviation gain / sqrt(dim) against a vector of RMS 1.
OUTPUT_GAIN = 3.0


@dataclass(frozen=True)
class Tensor:
    """A tensor to be: name, type, shape as NumPy has it, and how to make its bytes."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    make: Callable[[], Bytes]


def _rng(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each tensor, so that --layers does not change the others."""
    return np.random.Generator(np.random.SFC64([seed, *name.encode()]))


def _bytes_of(values: NDArray[np.float32]) -> Bytes:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint8).reshape(-1)


def _vector(
    seed: int, name: str, size: int | tuple[int, ...], mean: float, deviation: float = 0.05
) -> Tensor:
    shape = size if isinstance(size, tuple) else (size,)

    def make() -> Bytes:
        noise = _rng(seed, name).standard_normal(shape, dtype=np.float32)
        return _bytes_of(np.float32(mean) + np.float32(deviation) * noise)

    return Tensor(name, "F32", shape, make)


def rope_factors(shape: Shape) -> NDArray[np.float32]:
    """[head / 2] f32: the published long-context divisors (factor 32 for 3.2, 8 for 3.1)."""
    factor, low, high, trained = (32.0 if shape.tied else 8.0), 1.0, 4.0, 8192.0
    pairs = np.arange(0, shape.head_size, 2, dtype=np.float64) / shape.head_size
    wavelength = 2 * math.pi * shape.rope_base**pairs
    smooth = (trained / wavelength - low) / (high - low)
    divisor = 1.0 / ((1 - smooth) / factor + smooth)
    divisor = np.where(wavelength < trained / high, 1.0, divisor)
    return np.where(wavelength > trained / low, factor, divisor).astype(np.float32)


def feed_forward(shape: Shape, i: int) -> Iterator[tuple[str, int, int, float]]:
    """The same as matrices(), of one layer's second half; experts one below the other."""
    unit, residual = 1 / math.sqrt(shape.dim), 1 / math.sqrt(2 * shape.layers)
    count, ffn, kind = 1, shape.ffn, ""
    if shape.experts:
        count, ffn, kind = shape.experts, shape.expert_ffn, "_exps"
        yield f"blk.{i}.ffn_gate_inp.weight", count, shape.dim, unit
    yield f"blk.{i}.ffn_gate{kind}.weight", count * ffn, shape.dim, unit
    yield f"blk.{i}.ffn_up{kind}.weight", count * ffn, shape.dim, unit
    yield f"blk.{i}.ffn_down{kind}.weight", count * shape.dim, ffn, 2 * residual / math.sqrt(ffn)


def matrices(shape: Shape, gain: float = OUTPUT_GAIN) -> Iterator[tuple[str, int, int, float]]:
    """(name, rows, columns, deviation) of every weight matrix, in file order."""
    q, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    residual = 1 / math.sqrt(2 * shape.layers)
    embedding = gain if shape.tied else OUTPUT_GAIN
    yield "token_embd.weight", shape.vocab, shape.dim, embedding / math.sqrt(shape.dim)
    for i in range(shape.layers):
        unit = 1 / math.sqrt(shape.dim)
        if attends(shape, i):
            gated = 2 if shape.architecture == "qwen35" else 1  # a gate beside each query
            yield f"blk.{i}.attn_q.weight", gated * q, shape.dim, unit
            yield f"blk.{i}.attn_k.weight", kv, shape.dim, unit
            yield f"blk.{i}.attn_v.weight", kv, shape.dim, unit
            yield f"blk.{i}.attn_output.weight", shape.dim, q, residual / math.sqrt(q)
        else:
            yield from recurrent_matrices(shape, i, residual)
        yield from feed_forward(shape, i)
    if not shape.tied:
        yield "output.weight", shape.vocab, shape.dim, gain / math.sqrt(shape.dim)


def tensors(
    shape: Shape, types: str | Mapping[str, str], seed: int, gain: float = OUTPUT_GAIN
) -> Iterator[Tensor]:
    """Every tensor of the file; types is a file type or suffix -> type, as random_model takes."""
    for name, rows, columns, deviation in matrices(shape, gain):
        if isinstance(types, str):
            kind = tensor_type(
                types, name, columns,
                layers=shape.layers, gqa=shape.heads // shape.kv_heads, tied=shape.tied,
            )  # fmt: skip
        else:
            base = name.removesuffix(".weight")
            kind = types.get(base) or types.get(base.split(".")[-1]) or types["default"]

        def make(
            name: str = name, kind: str = kind, rows: int = rows,
            columns: int = columns, deviation: float = deviation,
        ) -> Bytes:  # fmt: skip
            return random_blocks(_rng(seed, name), kind, rows, columns, deviation).reshape(-1)

        full: tuple[int, ...] = (rows, columns)
        if name.endswith("_exps.weight"):
            full = (shape.experts, rows // shape.experts, columns)
        yield Tensor(name, kind, full, make)
    for i in range(shape.layers):
        yield _vector(seed, f"blk.{i}.attn_norm.weight", shape.dim, 1.0)
        second = "post_attention" if shape.architecture == "qwen35" else "ffn"
        yield _vector(seed, f"blk.{i}.{second}_norm.weight", shape.dim, 1.0)
        for name, dims, mean, spread in recurrent_vectors(shape, i):
            yield _vector(seed, name, dims, mean, spread)
        if shape.qk_norm:
            yield _vector(seed, f"blk.{i}.attn_q_norm.weight", shape.head_size, 1.0)
            yield _vector(seed, f"blk.{i}.attn_k_norm.weight", shape.head_size, 1.0)
        if shape.qkv_bias:
            kv = shape.kv_heads * shape.head_size
            for kind, size in (("q", shape.heads * shape.head_size), ("k", kv), ("v", kv)):
                yield _vector(seed, f"blk.{i}.attn_{kind}.bias", size, 0.0)
    last = "token_embd" if shape.architecture == "lfm2" else "output"
    yield _vector(seed, f"{last}_norm.weight", shape.dim, 1.0)
    if shape.rope_freqs:
        factors = rope_factors(shape)
        make_factors = functools.partial(_bytes_of, factors)
        yield Tensor("rope_freqs.weight", "F32", factors.shape, make_factors)


def add_metadata(writer: Writer, shape: Shape, name: str, file_type: int) -> None:
    """The keys that a loader of this architecture wants."""
    a = shape.architecture
    writer.add("general.architecture", a, "string")
    writer.add("general.name", f"{name} (random weights)", "string")
    writer.add("general.file_type", file_type, "uint32")
    writer.add("general.quantization_version", 2, "uint32")
    writer.add(f"{a}.context_length", shape.context, "uint32")
    writer.add(f"{a}.embedding_length", shape.dim, "uint32")
    writer.add(f"{a}.block_count", shape.layers, "uint32")
    writer.add(f"{a}.feed_forward_length", shape.ffn, "uint32")
    writer.add(f"{a}.attention.head_count", shape.heads, "uint32")
    writer.add(f"{a}.attention.key_length", shape.head_size, "uint32")
    writer.add(f"{a}.attention.value_length", shape.head_size, "uint32")
    writer.add(f"{a}.attention.layer_norm_rms_epsilon", shape.eps, "float32")
    writer.add(f"{a}.rope.freq_base", shape.rope_base, "float32")
    writer.add(f"{a}.vocab_size", shape.vocab, "uint32")
    if shape.experts:
        writer.add(f"{a}.expert_count", shape.experts, "uint32")
        writer.add(f"{a}.expert_used_count", shape.experts_used, "uint32")
        writer.add(f"{a}.expert_feed_forward_length", shape.expert_ffn, "uint32")
    usual = {"attention.head_count_kv": shape.kv_heads, "rope.dimension_count": shape.head_size}
    for key, value in (usual | recurrent_keys(shape)).items():
        kind = "array[uint32]" if isinstance(value, list) else "uint32"
        writer.add(f"{a}.{key}", value, kind)


def add_vocabulary(writer: Writer, vocab: Vocabulary) -> None:
    """tokenizer.ggml.*"""
    key = "tokenizer.ggml."
    writer.add(key + "model", vocab.model, "string")
    if vocab.pre:
        writer.add(key + "pre", vocab.pre, "string")
    writer.add(key + "tokens", vocab.tokens, "array[string]")
    writer.add(key + "token_type", vocab.types, "array[int32]")
    if vocab.scores:
        writer.add(key + "scores", vocab.scores, "array[float32]")
    if vocab.merges:
        writer.add(key + "merges", vocab.merges, "array[string]")
    for role, token in vocab.special.items():
        writer.add(f"{key}{role}_token_id", token, "uint32")
    writer.add(key + "add_bos_token", vocab.add_bos, "bool")


def random_model(
    path: str | Path,
    config: Shape,
    types: str | Mapping[str, str],
    seed: int = 0,
    *,
    name: str = "random",
    gain: float = OUTPUT_GAIN,
) -> int:
    """Writes a model with random weights.

    Args:
        path: file to write; it appears when it is complete.
        config: the shape; anything goes that the architecture allows.
        types: a file type ("Q4_K_M": the usual mix), or a map from the last part of a tensor's
            name ("attn_v"), or from the whole of it ("blk.0.attn_v"), to a tensor type, with
            "default" for the rest.
        seed: the same seed gives the same bytes.
        name: `general.name`.
        gain: standard deviation of the logits, about.

    Returns:
        Bytes of tensor data.

    Raises:
        ValueError: a row is no whole number of blocks, or the vocabulary is too small.
    """
    vocab = vocabulary(config.vocab, config.tokenizer)
    file_type = FILE_TYPES[types][0] if isinstance(types, str) else 0
    total = 0
    with Writer(path) as writer:
        add_metadata(writer, config, name, file_type)
        add_vocabulary(writer, vocab)
        for tensor in tensors(config, types, seed, gain):
            total += _size(tensor)
            writer.add_tensor(
                tensor.name, tensor.make, tensor.type_name, shape=tensor.shape, raw=True
            )
    return total


def _size(tensor: Tensor) -> int:
    return math.prod(tensor.shape[:-1]) * row_bytes(tensor.type_name, tensor.shape[-1])


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--shape", required=True, choices=sorted(SHAPES))
    parser.add_argument("--type", required=True, choices=sorted(FILE_TYPES), help="type mix")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--layers", type=int, help="fewer (or more) layers than the shape has")
    parser.add_argument("--context", type=int, help="trained context to claim, in tokens")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    shape = SHAPES[options.shape]
    shape = replace(
        shape, layers=options.layers or shape.layers, context=options.context or shape.context
    )
    size = random_model(
        options.out, shape, options.type, options.seed, name=f"{options.shape} {options.type}"
    )
    print(f"{options.out}: {size / 1e9:.3f} GB of weights")


if __name__ == "__main__":
    main()
