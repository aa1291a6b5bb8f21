# SPDX-License-Identifier: MIT
"""The exceptions of gristmill.

Everything that a file, a request or the system can do wrong arrives as one of these, with a
message of the form "[where] rule. Got X, expected Y. Hint." Each also derives from the built-in
exception of its kind, so that callers may catch either. The C++ core raises these very classes.
"""

from __future__ import annotations

__all__ = [
    "ContextError",
    "FormatError",
    "GrammarError",
    "GristmillError",
    "ResourceError",
    "ShapeError",
    "TemplateError",
    "TokenizerError",
    "UnsupportedError",
]


class GristmillError(Exception):
    """Base of every exception that gristmill raises on purpose."""


class FormatError(GristmillError, ValueError):
    """The bytes of a file break the format."""


class ShapeError(GristmillError, ValueError):
    """Tensors or buffers that are missing or do not fit together."""


class UnsupportedError(GristmillError, NotImplementedError):
    """Valid, but not something that this build can run."""


class ResourceError(GristmillError, RuntimeError):
    """Memory, files, threads or devices that the system did not give."""


class ContextError(GristmillError, ValueError):
    """A request that does not fit into the session's context."""


class TemplateError(GristmillError, ValueError):
    """A chat template that cannot be parsed or rendered, or that exceeds its limits."""


class TokenizerError(GristmillError, ValueError):
    """A vocabulary that no tokenizer can be built from, or text that it cannot take."""


class GrammarError(GristmillError, ValueError):
    """A grammar, JSON schema or regular expression that is invalid or cannot be enforced."""
