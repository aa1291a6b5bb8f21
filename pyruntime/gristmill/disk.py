# SPDX-License-Identifier: MIT
"""Room on a disk, looked for before a large file is begun."""

from __future__ import annotations

import shutil
from pathlib import Path

from .errors import ResourceError


def require_space(path: Path, needed: int) -> None:
    """Raises ResourceError if the disk cannot hold a file of so many bytes, or has no folder."""
    parent = path.resolve().parent
    if not parent.is_dir():
        raise ResourceError(f"[{path}] There is no folder {parent}.")
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise ResourceError(
            f"[{path}] The disk is too full: the file takes {needed / 1e9:.2f} GB, "
            f"{free / 1e9:.2f} GB are free."
        )
