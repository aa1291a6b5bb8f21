# SPDX-License-Identifier: MIT
"""What a random-weight model of a hybrid shape has besides a plain decoder: tensors and keys."""

from __future__ import annotations

from collections.abc import Iterator

from shapes import Recurrence, Shape

Matrix = tuple[str, int, int, float]  # name, rows, columns, deviation
Vector = tuple[str, tuple[int, ...], float, float]  # name, shape, mean, deviation


def attends(shape: Shape, layer: int) -> bool:
    """Whether a layer has attention."""
    return shape.recurrence is None or layer in shape.recurrence.attends


def _conv_channels(r: Recurrence) -> int:
    return 2 * r.key_heads * r.key_dim + r.heads * r.value_dim


def recurrent_matrices(shape: Shape, i: int, residual: float) -> Iterator[Matrix]:
    """The linear layers that are there in place of attention, or beside it."""
    r = shape.recurrence
    assert r is not None
    unit = shape.dim**-0.5
    if r.heads == 0:
        yield f"blk.{i}.shortconv.in_proj.weight", 3 * shape.dim, shape.dim, unit
        yield f"blk.{i}.shortconv.out_proj.weight", shape.dim, shape.dim, residual * unit
        return
    inner = r.heads * r.value_dim
    yield f"blk.{i}.attn_qkv.weight", _conv_channels(r), shape.dim, unit
    yield f"blk.{i}.attn_gate.weight", inner, shape.dim, unit
    yield f"blk.{i}.ssm_alpha.weight", r.heads, shape.dim, unit
    yield f"blk.{i}.ssm_beta.weight", r.heads, shape.dim, unit
    yield f"blk.{i}.ssm_out.weight", shape.dim, inner, residual * inner**-0.5


def recurrent_vectors(shape: Shape, i: int) -> Iterator[Vector]:
    """Norms of heads where a layer attends, else what its recurrence has."""
    r = shape.recurrence
    if r is None:
        return
    if attends(shape, i):
        for part in ("q", "k"):
            yield f"blk.{i}.attn_{part}_norm.weight", (shape.head_size,), 1.0, 0.05
    elif r.heads == 0:
        yield f"blk.{i}.shortconv.conv.weight", (shape.dim, r.taps), 0.0, 0.5
    else:
        yield f"blk.{i}.ssm_conv1d.weight", (_conv_channels(r), r.taps), 0.0, 0.5
        yield f"blk.{i}.ssm_a", (r.heads,), -0.15, 0.02
        yield f"blk.{i}.ssm_dt.bias", (r.heads,), -2.0, 0.5
        yield f"blk.{i}.ssm_norm.weight", (r.value_dim,), 1.0, 0.05


def recurrent_keys(shape: Shape) -> dict[str, int | list[int]]:
    """Keys without the prefix; they take the place of a plain decoder's."""
    r = shape.recurrence
    if r is None:
        return {}
    if r.heads == 0:
        heads = [shape.kv_heads * attends(shape, i) for i in range(shape.layers)]
        return {"shortconv.l_cache": r.taps, "attention.head_count_kv": heads}
    return {
        "rope.dimension_count": shape.head_size // 4,
        "full_attention_interval": r.attends[0] + 1,
        "ssm.conv_kernel": r.taps,
        "ssm.state_size": r.key_dim,
        "ssm.group_count": r.key_heads,
        "ssm.time_step_rank": r.heads,
        "ssm.inner_size": r.heads * r.value_dim,
    }


def state_values(shape: Shape) -> int:
    """Numbers of the states of all layers, of which each token reads and writes all."""
    r = shape.recurrence
    if r is None:
        return 0
    channels = _conv_channels(r) if r.heads else shape.dim
    layer = (r.taps - 1) * channels + r.heads * r.key_dim * r.value_dim
    return layer * sum(not attends(shape, i) for i in range(shape.layers))
