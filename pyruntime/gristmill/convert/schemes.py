# SPDX-License-Identifier: MIT
"""Every scheme, and which one converts a model class."""

from __future__ import annotations

from . import families, hybrids

SCHEMES = (*families.SCHEMES, *hybrids.SCHEMES)
BY_CLASS = {name: scheme for scheme in SCHEMES for name in scheme.classes}
