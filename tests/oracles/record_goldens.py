# SPDX-License-Identifier: MIT
"""Record tests/data/goldens/tiny_llama.npz from transformers.

    pip install ".[oracles]" && python tests/oracles/record_goldens.py

The file holds, per tiny model, the SHA-256 of the weights that random_model writes and the logits
that transformers computes for it, plainly and with keys and values rounded to F16. Record again
only when the models themselves change.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from hf_llama import hf_logits, llama_from_gguf  # noqa: E402
from tiny_models import TINY, TOKENS, digest, write_tiny  # noqa: E402

TARGET = ROOT / "tests/data/goldens/tiny_llama.npz"


def main() -> None:
    """Writes the file."""
    arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in TINY:
            path = write_tiny(Path(folder), name)
            model = llama_from_gguf(path)
            arrays[f"{name}.exact"] = hf_logits(model, TOKENS)
            arrays[f"{name}.f16_cache"] = hf_logits(model, TOKENS, imitate=path)
            arrays[f"{name}.sha256"] = np.array(digest(path))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
