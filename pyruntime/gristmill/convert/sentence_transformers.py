# SPDX-License-Identifier: MIT
"""What sentence-transformers keeps beside a model: how it pools, and dense layers behind that.

modules.json lists the modules, each with a folder of its own. A folder without the file is none of
its models.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.architectures.pooling import POOLINGS
from gristmill.errors import ShapeError, UnsupportedError

from .encode import encode
from .files import load_json_list, load_optional
from .mapping import Output, Span
from .safetensors import Checkpoint

_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_FIRST_DENSE, _MOST_DENSE = 2, 3  # numbers in the names of tensors


def _modules(folder: Path, kind: str) -> Iterator[Path]:
    """The folders of modules of a kind, in order; none outside of `folder`."""
    for module in load_json_list(folder / "modules.json"):
        path = Path(str(module.get("path")))
        inside = not path.is_absolute() and ".." not in path.parts
        if inside and str(module.get("type")).endswith(f".{kind}"):
            yield folder / path


def pooling_keys(folder: Path) -> dict[str, Any]:
    """pooling_type, if the folder says one that a file can say.

    Args:
        folder: Of the model.
    """
    for module in _modules(folder, "Pooling"):
        modes = load_optional(module / "config.json")
        found = [name for mode, name in _MODES.items() if modes.get(mode) is True]
        if len(found) == 1:
            return {"pooling_type": POOLINGS.index(found[0])}
    return {}


def dense_layers(folder: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, int]]:
    """The tensors of dense layers, and the keys that say their sizes.

    Args:
        folder: Of the model.

    Raises:
        UnsupportedError: A layer has a bias or an activation, or there are too many.
        ResourceError, FormatError, ShapeError: As Checkpoint, or a layer without its matrix.
    """
    tensors: dict[str, NDArray[np.float32]] = {}
    keys: dict[str, int] = {}
    for number, module in enumerate(_modules(folder, "Dense"), _FIRST_DENSE):
        config = load_optional(module / "config.json")
        activation = str(config.get("activation_function", "torch.nn.modules.linear.Identity"))
        checkpoint = Checkpoint(module)
        try:
            entry = checkpoint.get("linear.weight")
            if entry is None or len(entry.shape) != 2:
                raise ShapeError(f"[{module}] A dense layer must have a matrix linear.weight.")
            plain = len(checkpoint) == 1 and activation.endswith(".Identity")
            if number > _MOST_DENSE or not plain:
                raise UnsupportedError(
                    f"[{module}] An embedding may pass through two dense layers without bias or "
                    f"activation. Got {', '.join(checkpoint)}, {activation}."
                )
            name = f"dense_{number}"
            output = Output(f"{name}.weight", entry.shape, (Span(entry, 0, entry.rows),))
            data = b"".join(piece.tobytes() for piece in encode(checkpoint, output, "F32"))
        finally:
            checkpoint.close()
        tensors[output.name] = np.frombuffer(data, np.float32).reshape(entry.shape)
        keys |= {f"{name}_feat_out": entry.shape[0], f"{name}_feat_in": entry.shape[1]}
    return tensors, keys
