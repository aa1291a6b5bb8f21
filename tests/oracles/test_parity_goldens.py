# SPDX-License-Identifier: MIT
"""Every architecture against the logits that transformers computed for it (recorded, no torch).

And its bits: the same at every kernel level, for any number of threads and any batch split.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hf_tiny import CASES, COUNT, convert_folder, save_checkpoint, weights_of
from numpy.typing import NDArray
from parity import TOKENS, our_logits
from tiny_models import TOLERANCE_F16_CACHE

from gristmill import Model, _core


def recorded(name: str, data_dir: Path) -> tuple[str, dict[str, NDArray[np.float32]]]:
    """config.json and the weights of a case."""
    with np.load(data_dir / "goldens/parity.npz") as goldens:
        config, shapes = (str(goldens[f"{name}.{part}"]) for part in ("config", "shapes"))
    sizes = {key: tuple(shape) for key, shape in json.loads(shapes).items()}
    return config, weights_of(name, config, sizes)


def _write(name: str, data_dir: Path, folder: Path, kind: str = "f32") -> Path:
    save_checkpoint(folder, *recorded(name, data_dir))
    return convert_folder(folder, kind)


@pytest.mark.parametrize("name", sorted(CASES))
def test_recorded_logits(name: str, data_dir: Path, tmp_path: Path) -> None:
    with np.load(data_dir / "goldens/parity.npz") as goldens:
        expected, positions = goldens[f"{name}.logits"], goldens["positions"]
    model = Model.load(_write(name, data_dir, tmp_path), threads=1)
    at_once = our_logits(model, CASES[name].context, TOKENS, COUNT)
    assert np.abs(at_once[positions] - expected).max() <= TOLERANCE_F16_CACHE
    assert expected.std() > 0.3, "the goldens are not flat"


@pytest.mark.parametrize("name", sorted(CASES))
def test_same_bits(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = _write(name, data_dir, tmp_path, "q8_0")
    seen = {}
    for isa, threads in product(_core.available_isas(), (1, 3)):
        model = Model.load(path, isa=isa, threads=threads)
        for split in (1, 7, COUNT) if threads == 1 else (COUNT,):
            logits = our_logits(model, CASES[name].context, TOKENS, split)
            seen[isa, threads, split] = logits.tobytes()
    assert len(set(seen.values())) == 1, sorted(seen)
