# SPDX-License-Identifier: MIT
"""Write docs/models.md: what runs, and how close it is to transformers.

pip install ".[oracles]" && python tests/oracles/write_models.py
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
import textwrap
from pathlib import Path

import transformers

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from hf_encoders import ENCODERS, measure_encoder  # noqa: E402
from hf_tiny import CASES  # noqa: E402
from parity import measure  # noqa: E402

from gristmill.architectures.known import ALONE, NEAREST  # noqa: E402

TARGET = ROOT / "docs/models.md"
HEAD = """# Models

Written by tests/oracles/write_models.py on {date}, with transformers {version}.

Each row is a tiny random model of transformers (CPU, float32, eager attention), saved, converted
with `gristmill convert` and run over 64 tokens. *Error* is the largest difference of a logit with
F32 weights, where the logits of the oracle have the standard deviation in the column before; *F16
cache* the same if the oracle rounds keys and values to F16 as our cache does; *KL Q8_0* the mean
divergence in nats with Q8_0 weights. In every row, prefill at once and token by token give the same
bits, and the greedy continuations agree.

| architecture | case | oracle | deviation | error | F16 cache | KL Q8_0 |
|---|---|---|---|---|---|---|
"""
ENCODERS_HEAD = """
## Embeddings and scores

The same for models without logits, over texts of 64, 1 and 37 tokens. *Error* is the largest
difference of a hidden state, or of a reranker's score; *distance* the largest cosine distance of a
pooled vector with F32 weights, and *cosine Q8_0* the smallest cosine with Q8_0 weights, over mean,
first and last token.

| architecture | case | oracle | deviation | error | F16 cache | distance | cosine Q8_0 |
|---|---|---|---|---|---|---|---|
"""
TAIL = """
`general.architecture` may also be `mistral`, another name of `llama`. Other names that are known
get an error that says what comes nearest:

{others}.

To add one, see [adding-a-model.md](adding-a-model.md).
"""


def main() -> None:
    """Measures every case and writes the file."""
    rows = []
    for name in sorted(CASES, key=lambda name: (CASES[name].architecture, name)):
        with tempfile.TemporaryDirectory() as folder:
            p = measure(name, Path(folder))
        if not (p.same_bits and p.same_greedy):
            raise SystemExit(f"{name}: {p}")
        rows.append(
            f"| {p.architecture} | {name} | {p.oracle} | {p.deviation:.2f} | {p.error:.1e} "
            f"| {p.error_f16:.1e} | {p.kl_q8_0:.1e} |\n"
        )
    encoders = []
    for name in sorted(ENCODERS, key=lambda name: (ENCODERS[name].architecture, name)):
        with tempfile.TemporaryDirectory() as folder:
            e = measure_encoder(name, Path(folder))
        vectors = "- | -" if ENCODERS[name].labels else f"{e.distance:.1e} | {e.cosine_q8_0:.6f}"
        encoders.append(
            f"| {e.architecture} | {name} | {e.oracle} | {e.deviation:.2f} | {e.error:.1e} "
            f"| {e.error_f16:.1e} | {vectors} |\n"
        )
    head = HEAD.format(date=dt.date.today(), version=transformers.__version__)
    names = ", ".join(f"`{name}`" for name in sorted({*NEAREST, *ALONE}))
    others = textwrap.fill(names, 100, break_on_hyphens=False)
    tables = head + "".join(rows) + ENCODERS_HEAD + "".join(encoders)
    TARGET.write_text(tables + TAIL.format(others=others), encoding="utf-8")


if __name__ == "__main__":
    main()
