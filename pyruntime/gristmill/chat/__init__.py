# SPDX-License-Identifier: MIT
"""Chat: conversations to prompts by a model's Jinja template, and replies to their parts.

A template is a program that came with a download, so it runs in a sandbox with limits; see
`limits` for what they are and why they hold. Jinja is imported with the first template.
"""

from __future__ import annotations

from .defaults import default_template
from .events import Text, ToolCall
from .limits import Limits
from .reply import ReplyParser
from .template import ChatTemplate

__all__ = ["ChatTemplate", "Limits", "ReplyParser", "Text", "ToolCall", "default_template"]
