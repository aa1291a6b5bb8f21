# SPDX-License-Identifier: MIT
"""Writes the seed corpus of the GGUF fuzz target: python tests/fuzz/make_seeds.py FOLDER."""

from __future__ import annotations

import random
import re
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/gguf"))

from gguf_bytes import (  # noqa: E402
    ARRAY,
    SAMPLE,
    STRING,
    UINT8,
    UINT32,
    Gguf,
    Tensor,
    array,
    pair,
    string,
    u32,
)

_TYPE = re.compile(r"^GM_(?:TYPE|FORMAT)\((\w+), (\d+), (\d+), (\d+)", re.MULTILINE)


def every_type() -> dict[str, bytes]:
    """A tensor of random blocks of each type, and a file with all of them."""
    noise = random.Random(1)
    table = _TYPE.findall((ROOT / "csrc/formats/formats.def").read_text(encoding="utf-8"))
    seeds, tensors, data = {}, [], b""
    for name, kind, values, size in table:
        blocks = noise.randbytes(2 * int(size))
        tensor = Tensor(name.encode(), (2 * int(values),), int(kind))
        seeds[name] = Gguf(tensors=[tensor], data=blocks).bytes()
        tensors.append(replace(tensor, offset=len(data)))
        data += blocks + bytes(-len(blocks) % 32)
    seeds["all"] = Gguf(tensors=tensors, data=data).bytes()
    return seeds


def seeds() -> dict[str, bytes]:
    """Name -> bytes."""
    nested = array(UINT8, 2, b"\1\2")
    for _ in range(3):
        nested = array(ARRAY, 1, nested)
    texts = array(STRING, 40, b"".join(string(b"t%d" % i) for i in range(40)))
    alignment = pair(b"general.alignment", UINT32, u32(64))
    return every_type() | {
        "sample": SAMPLE.bytes(),
        "empty": Gguf().bytes(),
        "version 2": replace(SAMPLE, version=u32(2)).bytes(),
        "nested": Gguf(pairs=[pair(b"k", ARRAY, nested)]).bytes(),
        "tokens": Gguf(pairs=[pair(b"tokenizer.ggml.tokens", ARRAY, texts)]).bytes(),
        "aligned": Gguf(
            pairs=[alignment],
            tensors=[Tensor(b"a", (4,)), Tensor(b"b", (2, 2), offset=64)],
            data=bytes(128),
            alignment=64,
        ).bytes(),
        "split": Gguf(pairs=[pair(b"split.count", UINT32, u32(2))]).bytes(),
    }


def main() -> None:
    """Writes one file per seed."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (folder / name.replace(" ", "_")).write_bytes(content)


if __name__ == "__main__":
    main()
