# SPDX-License-Identifier: MIT
"""Structured output: texts that a JSON schema, a regular expression or a grammar allows.

What cannot be enforced is refused with a GrammarError before a token is generated: there is no
output that only looks constrained.
"""

from __future__ import annotations

from .grammar import Constraint
from .matcher import Matcher, Vocabulary

__all__ = ["Constraint", "Matcher", "Vocabulary"]
