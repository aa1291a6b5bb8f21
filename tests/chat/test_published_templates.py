# SPDX-License-Identifier: MIT
"""Published templates give the prompt that transformers gives, or are refused, by name below."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from conversations import BOS, CASES, EOS, NOW

from gristmill.chat import ChatTemplate
from gristmill.errors import TemplateError

# template -> case -> why it cannot be rendered (part of the error)
NEEDS_TOOLS = "NoneType' object is not iterable"
REFUSED: dict[str, dict[str, str]] = {
    # Loops over tools without asking whether there are any.
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja": {
        "system": NEEDS_TOOLS,
        "no system": NEEDS_TOOLS,
    },
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja": {
        "system": NEEDS_TOOLS,
        "no system": NEEDS_TOOLS,
    },
    # The same, and reads the tools in a form of its own.
    "CohereForAI-c4ai-command-r-plus-tool_use.jinja": {
        "system": NEEDS_TOOLS,
        "no system": NEEDS_TOOLS,
        "tools": "no attribute 'description'",
    },
    # Wants its tools in variables of its own.
    "fireworks-ai-llama-3-firefunction-v2.jinja": dict.fromkeys(CASES, "'functions' is undefined"),
    # Broken: assigns to an attribute of a message; reads `tool` before there is one.
    "MiroThinker.jinja": {
        "system": "attribute on non-namespace object",
        "no system": "attribute on non-namespace object",
        "tools": "'tool' is undefined",
    },
    # Says so itself.
    "google-gemma-2-2b-it.jinja": {
        "system": "System role not supported",
        "tools": "System role not supported",
    },
    # Makes JSON of a generator.
    "llama-cpp-deepseek-r1.jinja": {"tools": "generator is not JSON serializable"},
}


def _goldens() -> dict[str, dict[str, Any]]:
    path = Path(__file__).resolve().parents[1] / "data" / "chat" / "templates.json"
    goldens: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return goldens


GOLDENS = _goldens()


def _render(folder: Path, name: str, case: str) -> str:
    source = (folder / "templates" / name).read_text(encoding="utf-8")
    messages, tools = CASES[case]
    return ChatTemplate(source, BOS, EOS, clock=lambda: NOW).render(messages, tools=tools)


@pytest.mark.parametrize("name", sorted(GOLDENS))
def test_the_prompt_is_the_recorded_one(external_data: Path, name: str) -> None:
    refused = REFUSED.get(name, {})
    for case, golden in GOLDENS[name].items():
        if case in refused:
            assert golden is None, "transformers renders it"
            with pytest.raises(TemplateError) as caught:
                _render(external_data, name, case)
            assert refused[case] in str(caught.value)
        else:
            prompt = _render(external_data, name, case)
            digest = hashlib.sha256(prompt.encode("utf-8")).hexdigest()
            assert [digest, len(prompt)] == golden, f"{case}: {prompt}"


def test_every_template_is_recorded(external_data: Path) -> None:
    assert {path.name for path in (external_data / "templates").glob("*.jinja")} == set(GOLDENS)
    assert set(REFUSED) <= set(GOLDENS)


@pytest.mark.oracles
@pytest.mark.parametrize("name", sorted(GOLDENS))
def test_transformers_still_agrees(external_data: Path, name: str) -> None:
    pytest.importorskip("transformers", reason="pip install '.[oracles]'")
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
    try:
        from record_chat_templates import render
    finally:
        sys.path.pop(0)
    source = (external_data / "templates" / name).read_text(encoding="utf-8")
    for case in CASES:
        expected = render(source, case)
        try:
            assert _render(external_data, name, case) == expected
        except TemplateError:
            assert expected is None
