# SPDX-License-Identifier: MIT
"""Records what transformers renders from the published chat templates (tests/data/chat).

The templates are not ours to ship, so a prompt is recorded as its SHA-256 and length, and a refusal
as null. Needs `.[oracles]` and GRISTMILL_DATA; rerun after changing conversations.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "chat"))

from conversations import BOS, CASES, EOS, NOW  # noqa: E402


class _Clock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW


def digest(prompt: str) -> list[Any]:
    """What is recorded of a prompt."""
    return [hashlib.sha256(prompt.encode("utf-8")).hexdigest(), len(prompt)]


def render(source: str, case: str) -> str | None:
    """The prompt by transformers, or None where the template fails or refuses."""
    from transformers.utils import chat_template_utils

    chat_template_utils.datetime = _Clock
    messages, tools = CASES[case]
    try:
        prompts, _ = chat_template_utils.render_jinja_template(
            conversations=[messages],
            tools=tools,
            chat_template=source,
            add_generation_prompt=True,
            bos_token=BOS,
            eos_token=EOS,
        )
    except Exception as error:  # noqa: BLE001 - whatever template code raises
        print(f"  {case}: {type(error).__name__}: {error}")
        return None
    prompt: str = prompts[0]
    return prompt


def main() -> None:
    """Writes tests/data/chat/templates.json."""
    goldens: dict[str, dict[str, Any]] = {}
    for path in sorted((Path(os.environ["GRISTMILL_DATA"]) / "templates").glob("*.jinja")):
        print(path.name)
        source = path.read_text(encoding="utf-8")
        prompts = {case: render(source, case) for case in CASES}
        goldens[path.name] = {
            case: None if prompt is None else digest(prompt) for case, prompt in prompts.items()
        }
    target = TESTS / "data" / "chat" / "templates.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(goldens, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
