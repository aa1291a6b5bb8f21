# SPDX-License-Identifier: MIT
"""Names to files: what `-m` and `Model.load` accept.

A path wins over a name. Names are the bundled model's, those of files in the folders that the
environment variable GRISTMILL_MODELS lists, and hf:USER/REPOSITORY[:TYPE] for what `gristmill pull`
has fetched from the Hugging Face hub; nothing is downloaded here.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import hub_cache
from .errors import ResourceError

BUNDLED = "gristmill-tales-q8_0.gguf"
BUNDLED_NAMES = ("gristmill-tales-q8_0", "gristmill-tales", "tales")


def bundled_model() -> Path:
    """The model that comes with the package (in a checkout: the one in models/).

    Raises:
        ResourceError: This installation was made without it.
    """
    here = Path(__file__).resolve().parent
    places = (here / "data" / BUNDLED, here.parents[1] / "models" / BUNDLED)
    for path in places:
        if path.is_file():
            return path
    raise ResourceError(
        f"[model] The bundled model {BUNDLED} is not part of this installation. "
        "Name a GGUF file with -m/--model."
    )


def resolve(path_or_name: str | os.PathLike[str] | None = None) -> Path:
    """The file behind a path or a name; None is the bundled model.

    Raises:
        ResourceError: Nothing is there, or it is a folder, a pipe or a device.
    """
    if path_or_name is None:
        return bundled_model()
    text = os.fspath(path_or_name)
    path = Path(text).expanduser()
    try:
        if path.is_file():
            return path
        present = path.exists()
    except (OSError, ValueError) as error:  # a name too long, a null character
        raise ResourceError(f"[model] {text!r} is not a usable path: {error}.") from error
    if present:
        kind = "folder" if path.is_dir() else "pipe, socket or device"
        raise ResourceError(f"[model] A model is a GGUF file. Got {text}, a {kind}.")
    if text in BUNDLED_NAMES or text == BUNDLED:
        return bundled_model()
    if text.startswith(hub_cache.PREFIX):
        return hub_cache.find(hub_cache.HubName.parse(text))
    for folder in filter(None, os.environ.get("GRISTMILL_MODELS", "").split(os.pathsep)):
        for name in (text, text + ".gguf"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise ResourceError(
        f"[model] There is no file {text!r}, and no model of that name is known "
        f"({BUNDLED_NAMES[1]} is bundled; GRISTMILL_MODELS lists folders to look in)."
    )
