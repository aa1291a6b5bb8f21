# SPDX-License-Identifier: MIT
"""gristmill: run GGUF language models on the CPU.

Names load on first use (PEP 562), so that `import gristmill` and `gristmill --help` stay instant:
NumPy, the tokenizers and the compiled core come only when a model does.

Example:
    >>> import gristmill
    >>> model = gristmill.Model.load()  # the bundled model
    >>> for piece in model.generate("Once upon a time", max_tokens=64):
    ...     print(piece.text, end="", flush=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import (
        ContextError,
        FormatError,
        GrammarError,
        GristmillError,
        ResourceError,
        ShapeError,
        TemplateError,
        TokenizerError,
        UnsupportedError,
    )
    from .generate import AsyncGeneration, Generation, GenerationStats, Piece
    from .model import Model
    from .report import LoadReport
    from .sampling import SamplingParams
    from .session import Session

    __version__: str

__all__ = [
    "AsyncGeneration",
    "ContextError",
    "FormatError",
    "Generation",
    "GenerationStats",
    "GrammarError",
    "GristmillError",
    "LoadReport",
    "Model",
    "Piece",
    "ResourceError",
    "SamplingParams",
    "Session",
    "ShapeError",
    "TemplateError",
    "TokenizerError",
    "UnsupportedError",
    "__version__",
]

# The functions generate() and agenerate() stay in the module gristmill.generate, whose name they
# would collide with here; Model and Session have methods of these names.
_HOMES = {
    "AsyncGeneration": "generate",
    "Generation": "generate",
    "GenerationStats": "generate",
    "Piece": "generate",
    "LoadReport": "report",
    "Model": "model",
    "SamplingParams": "sampling",
    "Session": "session",
}
_CORE_MISSING = "gristmill's compiled core is missing: reinstall with `pip install .`"


def __getattr__(name: str) -> object:
    """Imports the module that holds `name`, once."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        value: object = version("gristmill")
    elif name == "_core":  # asked for by `from gristmill import _core`
        try:
            value = importlib.import_module("gristmill._core")
        except ModuleNotFoundError as error:
            if error.name == "gristmill._core":
                raise ImportError(_CORE_MISSING, name=error.name) from error
            raise
    elif name in __all__:
        module = importlib.import_module("." + _HOMES.get(name, "errors"), __name__)
        value = getattr(module, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
