# SPDX-License-Identifier: MIT
"""Record tests/data/goldens/parity.npz from transformers, for tests without torch.

    pip install ".[oracles]" && python tests/oracles/record_parity.py

Per case of hf_tiny.py: config.json, names and shapes of the weights (random_weights fills them
again), and the logits of a few positions behind keys and values in F16. Record again only when the
cases change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from hf_tiny import CASES, stored_shapes, tiny_model  # noqa: E402
from parity import TOKENS, hf_logits  # noqa: E402

TARGET = ROOT / "tests/data/goldens/parity.npz"
POSITIONS = [9, 40, 63]


def main() -> None:
    """Writes the file."""
    arrays = {}
    for name in CASES:
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            model = tiny_model(name, folder)
            config = (folder / "config.json").read_text(encoding="utf-8")
            shapes = json.dumps(stored_shapes(folder))
        arrays[f"{name}.config"] = np.array(config)
        arrays[f"{name}.shapes"] = np.array(shapes)
        arrays[f"{name}.logits"] = hf_logits(model, TOKENS, f16_cache=True)[POSITIONS]
    arrays["positions"] = np.array(POSITIONS)
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
