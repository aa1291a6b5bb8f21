# SPDX-License-Identifier: MIT
"""The conversations that every published template is tried with, and the moment they happen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

NOW = datetime(2026, 3, 14, 15, 9, 26)
BOS, EOS = "<s>", "</s>"
SYSTEM = {"role": "system", "content": "You are terse."}
TURNS = [
    {"role": "user", "content": "Hello, who are you?"},
    {"role": "assistant", "content": "A miller's helper."},
    {"role": "user", "content": "Grind <b>&\"this\"</b> 'grain' \u00e9\u4e16."},
]
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather <now> & later",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "City"},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                },
                "required": ["city"],
            },
        },
    }
]
# name -> (messages, tools)
CASES: dict[str, tuple[list[dict[str, str]], list[dict[str, Any]] | None]] = {
    "system": ([SYSTEM, *TURNS], None),
    "no system": (TURNS, None),
    "tools": ([SYSTEM, *TURNS], TOOLS),
}
