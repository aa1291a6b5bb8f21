# SPDX-License-Identifier: MIT
"""The chat template of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gristmill.errors import GristmillError, TemplateError

if TYPE_CHECKING:
    from gristmill.tokenizer import Tokenizer

    from .template import ChatTemplate


def read_template(
    metadata: Mapping[str, Any], text: Tokenizer
) -> tuple[ChatTemplate | None, str, list[str]]:
    """The chat template, where it comes from, and notes. A bad one does not stop plain text."""
    source = metadata.get("tokenizer.chat_template")
    if source is None:
        return None, "none", []
    from .template import ChatTemplate

    def spelled(token: int | None) -> str:
        return "" if token is None else text.token_text(token)

    try:
        if not isinstance(source, str):
            raise TemplateError("[template] it is not a string")
        template = ChatTemplate(source, spelled(text.bos_id), spelled(text.eos_id))
    except GristmillError as error:
        return None, "refused", [f"the chat template is not used: {error}"]
    return template, "GGUF metadata", []
