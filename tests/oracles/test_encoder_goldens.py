# SPDX-License-Identifier: MIT
"""Every model without logits against what transformers computed for it (recorded, no torch).

And its bits: the same at every kernel level, for any number of threads, alone and after others.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hf_encoders import ENCODERS, TEXTS, random_weights, rows_of, types_of
from hf_tiny import convert_folder, save_checkpoint
from tiny_models import TOLERANCE_F16_CACHE

from gristmill import Model, _core


def _write(name: str, data_dir: Path, folder: Path, kind: str = "f32") -> Path:
    with np.load(data_dir / "goldens/encoders.npz") as goldens:
        config, shapes = (str(goldens[f"{name}.{part}"]) for part in ("config", "shapes"))
    sizes = {key: tuple(shape) for key, shape in json.loads(shapes).items()}
    save_checkpoint(folder, config, random_weights(sizes))
    return convert_folder(folder, kind)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_recorded_rows(name: str, data_dir: Path, tmp_path: Path) -> None:
    with np.load(data_dir / "goldens/encoders.npz") as goldens:
        expected, positions = goldens[f"{name}.rows"], goldens["positions"]
    pooling = None if ENCODERS[name].labels else "none"
    model = Model.load(_write(name, data_dir, tmp_path), pooling=pooling, threads=1)
    rows = rows_of(model, TEXTS[0])
    ours = rows if ENCODERS[name].labels else rows[positions]
    assert np.abs(ours - expected).max() <= TOLERANCE_F16_CACHE
    assert np.abs(expected).max() > 0.3, "the goldens are not flat"


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_same_bits(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = _write(name, data_dir, tmp_path, "q8_0")
    pooling = None if ENCODERS[name].labels else "mean"
    seen = {}
    for isa, threads in product(_core.available_isas(), (1, 3)):
        model = Model.load(path, isa=isa, threads=threads, pooling=pooling)
        for order in (TEXTS, TEXTS[::-1]):
            rows = {len(text): rows_of(model, text).tobytes() for text in order}
            seen[isa, threads, len(order[0])] = b"".join(rows[len(text)] for text in TEXTS)
    assert len(set(seen.values())) == 1, sorted(seen)
    assert types_of(model, TEXTS[1]) in ([], [1])
