# SPDX-License-Identifier: MIT
"""The small files beside a checkpoint: JSON and templates, read with a limit and typed errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gristmill.errors import FormatError, ResourceError

MAX_TEXT = 1 << 28  # bytes; the largest tokenizer.json known has 40 MB


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        ResourceError: It cannot be read.
        FormatError: It is no UTF-8, or absurdly large.
    """
    try:
        if path.stat().st_size > MAX_TEXT:
            raise FormatError(f"[{path}] A text file of at most {MAX_TEXT >> 20} MiB is expected.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise ResourceError(f"[{path}] The file cannot be read: {reason}.") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"[{path}] The file is no UTF-8 text: {error}.") from None


def _parsed(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"[{path}] The file is no JSON: {error}.") from None


def load_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ResourceError: It cannot be read.
        FormatError: It holds no JSON object.
    """
    value = _parsed(path)
    if not isinstance(value, dict):
        raise FormatError(f"[{path}] The file must hold a JSON object.")
    return value


def load_json_list(path: Path) -> list[dict[str, Any]]:
    """The objects of a list in a JSON file; none if there is no such file.

    Raises:
        ResourceError: It cannot be read.
        FormatError: It holds no list of objects.
    """
    if not path.is_file():
        return []
    value = _parsed(path)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FormatError(f"[{path}] The file must hold a list of JSON objects.")
    return value


def load_optional(path: Path) -> dict[str, Any]:
    """As load_json; empty if there is no such file."""
    return load_json(path) if path.is_file() else {}
