# SPDX-License-Identifier: MIT
"""llguidance, imported when a text is to be constrained."""

from __future__ import annotations

from typing import Any

from gristmill.errors import ResourceError


def engine() -> Any:
    """The library.

    Raises:
        ResourceError: It is not installed (there is no wheel for every machine).
    """
    try:
        import llguidance
    except ImportError as error:
        raise ResourceError(
            "[constrain] Grammars, JSON schemas and regular expressions need the package "
            f"llguidance, which cannot be imported ({error}). Install it: pip install llguidance"
        ) from None
    return llguidance
