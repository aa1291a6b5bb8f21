# SPDX-License-Identifier: MIT
"""Chat templates: conversations to prompts, through the Jinja template that a model brings.

A template is a program that came with a download, so it runs in a sandbox with limits; see
`limits` for what they are and why they hold. Jinja is imported with the first template.
"""

from __future__ import annotations

from .defaults import default_template
from .limits import Limits
from .template import ChatTemplate

__all__ = ["ChatTemplate", "Limits", "default_template"]
