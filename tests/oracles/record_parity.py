# SPDX-License-Identifier: MIT
"""Record tests/data/goldens/parity.npz and encoders.npz from transformers, for tests without torch.

    pip install ".[oracles]" && python tests/oracles/record_parity.py

Per case of hf_tiny.py: config.json, names and shapes of the weights (random_weights fills them
again), and the logits of a few positions behind keys and values in F16; of hf_encoders.py hidden
states or scores. Record again only when the cases change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from hf_encoders import ENCODERS, TEXTS, hf_rows, tiny_encoder  # noqa: E402
from hf_tiny import CASES, stored_shapes, tiny_model  # noqa: E402
from parity import TOKENS, hf_logits  # noqa: E402

GOLDENS = ROOT / "tests/data/goldens"
TYPED = [0] * 20 + [1] * 44
POSITIONS = [9, 40, 63]


def _stored(name: str, folder: Path) -> dict[str, np.ndarray]:
    config = (folder / "config.json").read_text(encoding="utf-8")
    shapes = json.dumps(stored_shapes(folder))
    return {f"{name}.config": np.array(config), f"{name}.shapes": np.array(shapes)}


def _save(file: str, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(GOLDENS / file, positions=np.array(POSITIONS), **arrays)
    print(f"{file}: {(GOLDENS / file).stat().st_size} bytes")


def encoders() -> None:
    """Writes encoders.npz."""
    arrays = {}
    for name, case in ENCODERS.items():
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            model = tiny_encoder(name, folder)
            arrays |= _stored(name, folder)
        types = TYPED if getattr(model.config, "type_vocab_size", 0) > 1 else []
        rows = hf_rows(model, TEXTS[0], types, f16_cache=True)
        arrays[f"{name}.rows"] = rows if case.labels else rows[POSITIONS]
    _save("encoders.npz", arrays)


def main() -> None:
    """Writes the files; with an argument only encoders.npz."""
    encoders()
    if sys.argv[1:]:
        return
    arrays = {}
    for name in CASES:
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            model = tiny_model(name, folder)
            arrays |= _stored(name, folder)
        arrays[f"{name}.logits"] = hf_logits(model, TOKENS, f16_cache=True)[POSITIONS]
    _save("parity.npz", arrays)


if __name__ == "__main__":
    main()
