# SPDX-License-Identifier: MIT
"""Replies taken apart: reasoning, content, calls; the same for every way to cut the text.

Each family is tested on what its own template writes for a turn with a call (the oracle is the
template, rendered by Jinja), and on small templates that hold its markers.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.chat import ChatTemplate, ReplyParser, Text, ToolCall
from gristmill.chat.events import Event, cut, joined
from gristmill.chat.reasoning import reasoning_format

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string"},
                    "days": {"type": "integer"},
                    "exact": {"type": "boolean"},
                },
                "required": ["place"],
            },
        },
    }
]
B, E, SEP = (
    "<\uff5ctool\u2581call\u2581begin\uff5c>",
    "<\uff5ctool\u2581call\u2581end\uff5c>",
    "<\uff5ctool\u2581sep\uff5c>",
)
BS, ES = "<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"
# Markers, as a template of the family has them.
SOURCES = {
    "hermes": "<tool_call> <think> </think>",
    "qwen xml": "<tool_call> <function= <parameter= <think> </think>",
    "llama": "<|python_tag|>",
    "mistral": "[TOOL_CALLS] [ARGS] [THINK] [/THINK]",
    "deepseek": f"{B} </think>",
    "gemma": "<|tool_call> <tool_call|> <|channel>thought\\n <channel|>",
    "harmony": "<|start|> <|channel|> <|message|>",
}
CALL = ToolCall("f", '{"a": "x </tool_call> y"}')
RAW = '{"name": "f", "arguments": {"a": "x </tool_call> y"}}'


def parse(source: str, pieces: list[str], prompt: str = "") -> list[Event]:
    parser = ReplyParser(source, prompt, TOOLS)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return joined(events + parser.flush())


XML = """<tool_call>
<function=get_weather>
<parameter=place>
New
York </tool_call>
</parameter>
<parameter=days>
3
</parameter>
<parameter=exact>
true
</parameter>
</function>
</tool_call>"""
QWEN = ToolCall(
    "get_weather", json.dumps({"place": "New\nYork </tool_call>", "days": 3, "exact": True})
)
GEMMA = (
    '<|tool_call>call:f{a:<|"|>x, {y}<|"|>,b:[1,-2.5,true,null,{c:{}}],<|"|>d e<|"|>:false}'
    "<tool_call|>"
)
ANALYSIS = "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant"
COMMENT = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
REPLIES: list[tuple[str, str, list[Event]]] = [
    ("hermes", "Just text.\n", [Text("Just text.\n")]),
    ("hermes", f"So:\n<tool_call>\n{RAW}\n</tool_call>\n", [Text("So:"), CALL]),
    ("hermes", f"<tool_call>{RAW}</tool_call>\n<tool_call>{RAW}</tool_call>", [CALL, CALL]),
    ("hermes", f"<tool_call>{RAW}</tool_call> then", [CALL, Text(" then")]),
    (
        "hermes",
        "<think>\nLet me\nsee.\n</think>\n\nHi <think> there",
        [Text("Let me\nsee.", "reasoning"), Text("Hi <think> there")],
    ),
    (
        "hermes",
        f"<think>a</think>\n<tool_call>{RAW}</tool_call>",
        [Text("a", "reasoning"), CALL],
    ),
    ("hermes", "<think>never closed", [Text("never closed", "reasoning")]),
    ("hermes", "  <thin", [Text("  <thin")]),
    ("hermes", 'A <tool_call>{"name": "f", "argu', [Text('A <tool_call>{"name": "f", "argu')]),
    ("hermes", "A\n<tool_call>no</tool_call>B", [Text("A\n<tool_call>no</tool_call>B")]),
    ("hermes", "1 < 2 <tool", [Text("1 < 2 <tool")]),
    ("qwen xml", XML, [QWEN]),
    (
        "llama",
        '{"name": "f", "parameters": {"a": "}"}}; {"name": "g", "parameters": {}}',
        [ToolCall("f", '{"a": "}"}'), ToolCall("g", "{}")],
    ),
    ("llama", '<|python_tag|>{"name": "f", "parameters": {}}', [ToolCall("f", "{}")]),
    ("llama", '{"answer": 42}', [Text('{"answer": 42}')]),
    ("llama", '{"name": "f", "parameters": {', [Text('{"name": "f", "parameters": {')]),
    ("llama", "<|python_tag|>print(1)", [Text("<|python_tag|>print(1)")]),
    ("llama", "Hello {", [Text("Hello {")]),
    ("mistral", '[TOOL_CALLS][{"name": "f", "arguments": {"a": "]"}}] x', [
        ToolCall("f", '{"a": "]"}'), Text(" x")]),
    ("mistral", 'Hi[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[CALL_ID]12[ARGS]{}', [
        Text("Hi"), ToolCall("f", '{"a": 1}'), ToolCall("g", "{}")]),
    ("mistral", "[TOOL_CALLS]f[TOOL_CALLS]g[ARGS]{}", [Text("[TOOL_CALLS]f"), ToolCall("g", "{}")]),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"a"', [Text('[TOOL_CALLS]f[ARGS]{"a"')]),
    ("mistral", "[TOOL_CALLS][1] [", [Text("[TOOL_CALLS][1] [")]),
    ("mistral", "[THINK]a[/THINK]b[THINK]c[/THINK]d", [
        Text("a", "reasoning"), Text("b"), Text("c", "reasoning"), Text("d")]),
    ("deepseek", f"Ok{BS}{B}f{SEP}{{\"a\": 1}}{E}{B}g{SEP}{{}}{E}{ES}", [
        Text("Ok"), ToolCall("f", '{"a": 1}'), ToolCall("g", "{}")]),
    ("deepseek", f"{BS}{B}function{SEP}f\n```json\n{{\"a\": 1}}\n```{E}\n{ES}", [
        ToolCall("f", '{"a": 1}')]),
    ("deepseek", f"{B}f{SEP}{{", [Text(f"{B}f{SEP}{{")]),
    ("gemma", f"<|channel>thought\nHm\n<channel|>{GEMMA}", [
        Text("Hm", "reasoning"),
        ToolCall("f", '{"a": "x, {y}", "b": [1, -2.5, true, null, {"c": {}}], "d e": false}')]),
    ("gemma", "<|tool_call>call:f{a:}<tool_call|>", [Text("<|tool_call>call:f{a:}<tool_call|>")]),
    ("harmony", f"{ANALYSIS}<|channel|>final<|message|>Hi", [
        Text("Hm", "reasoning"), Text("Hi")]),
    ("harmony", COMMENT + '<|channel|>commentary to=functions.f json<|message|>{"a": 1}<|call|>', [
        Text("I look."), ToolCall("f", '{"a": 1}')]),
    ("harmony", ' to=functions.f<|channel|>commentary json<|message|>{"a": 1}', [
        ToolCall("f", '{"a": 1}')]),
    ("harmony", " to=functions.f<|channel|>commentary<|message|>{", [
        Text(" to=functions.f<|channel|>commentary<|message|>{")]),
    ("harmony", "no header", [Text("no header")]),
]  # fmt: skip


@pytest.mark.parametrize(("family", "reply", "events"), REPLIES)
def test_what_a_reply_holds(family: str, reply: str, events: list[Event]) -> None:
    assert parse(SOURCES[family], [reply]) == events
    assert parse(SOURCES[family], list(reply)) == events


fragments = st.sampled_from(
    [
        *(part for _, reply, _ in REPLIES for part in (reply, reply[: len(reply) // 2])),
        "<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "[THINK]",
        "<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|tool_call>", "<tool_call|>", "{",
        "}", '"', "[", "]", "\n", " ", "a", "<", B, E, BS, ES, SEP, "<|python_tag|>", RAW, ";",
    ]
)  # fmt: skip


@settings(max_examples=600)
@given(
    st.sampled_from(sorted(SOURCES)),
    st.lists(fragments, max_size=6).map("".join),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
)
def test_any_split_gives_the_same_parse(
    family: str, reply: str, cuts: list[int], opened: bool
) -> None:
    prompt = "<think>\n" if opened else ""
    places = sorted({0, len(reply), *(place for place in cuts if place < len(reply))})
    pieces = [reply[a:b] for a, b in pairwise(places)]
    whole = parse(SOURCES[family], [reply], prompt)
    assert parse(SOURCES[family], pieces, prompt) == whole
    assert parse(SOURCES[family], list(reply), prompt) == whole


@settings(max_examples=200)
@given(st.sampled_from(sorted(SOURCES)), st.text('ab<|{}[]" \n:', max_size=60))
def test_text_without_markers_stays_as_it_is(family: str, reply: str) -> None:
    whole = "".join(e.text for e in parse(SOURCES[family], [reply]) if isinstance(e, Text))
    assert whole.strip() == reply.strip()


@given(st.text("abc", max_size=12), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_cut_holds_back_what_may_become_a_marker(text: str, markers: list[str]) -> None:
    before, marker, rest = cut(text, markers)
    assert before + marker + rest == text
    assert bool(marker) == any(m in text for m in markers)
    if not marker and rest:
        assert any(m.startswith(rest) for m in markers)


def test_a_prompt_may_open_the_reasoning() -> None:
    source = "{{ messages }}<think></think>"
    assert parse(source, ["so\n</think>\n\nHi"], "<|im_start|>assistant\n<think>\n") == [
        Text("so", "reasoning"),
        Text("Hi"),
    ]
    assert parse("no markers", ["<think>so</think>Hi"]) == [Text("<think>so</think>Hi")]


def test_without_tools_calls_are_text() -> None:
    parser = ReplyParser(SOURCES["hermes"])
    text = f"<tool_call>{RAW}</tool_call>"
    assert joined([*parser.feed(text), *parser.flush()]) == [Text(text)]


# -- published templates ------------------------------------------------------------------------
# template -> whether it can render reasoning in a turn that calls a function
PUBLISHED = (
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "Qwen-QwQ-32B",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B",
    "Qwen3-Coder",
    "Qwen3.5-4B",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "Mistral-Small-3.2-24B-Instruct-2506",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "unsloth-mistral-Devstral-Small-2507",
    "openai-gpt-oss-120b",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1",
    "google-gemma-4-31B-it",
    "google-gemma-4-31B-it-interleaved",
)
ENDS = ("<|im_end|>", "<|eot_id|>", "</s>", "<|end|>", "<|return|>", "<|call|>", "<|eom_id|>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>", "<turn|>", "<|tool_response>",
        "<\uff5cAssistant\uff5c>")  # fmt: skip


def turns(arguments: dict[str, Any], name: str) -> list[dict[str, Any]]:
    call = {"name": "get_weather", "arguments": json.dumps(arguments)}
    calls = [{"id": "abcdefghi", "type": "function", "function": call}]
    return [
        {"role": "user", "content": "Weather?"},
        # R1's template writes calls of messages without content only.
        {"role": "assistant", "content": None if "R1" in name else "", "tool_calls": calls},
    ]


def reply_of(template: ChatTemplate, messages: list[dict[str, Any]]) -> tuple[str, str]:
    """What comes before a reply, and what the template writes for the assistant's turn after it."""
    prompt = template.render(messages[:1], tools=TOOLS, add_generation_prompt=True)
    whole = template.render(messages, tools=TOOLS, add_generation_prompt=False)
    common = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b),
        min(len(prompt), len(whole)),
    )
    begun = max(whole.rfind("<", 0, common), whole.rfind("[", 0, common))
    if not {">", "]"} & set(whole[max(begun, 0) : common]):  # a marker that both begin like
        common = begun
    reply = whole[common:]
    while any(reply.rstrip().endswith(end) for end in ENDS):
        reply = reply.rstrip()
        reply = next(reply.removesuffix(end) for end in ENDS if reply.endswith(end))
    return whole[:common], reply


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    "arguments",
    [{"place": "Paris", "days": 3}, {"place": 'a "b" {c}: </x>\n\u00e9', "exact": True}],
)
def test_calls_that_a_published_template_writes_are_read(
    name: str, arguments: dict[str, Any], external_data: Path
) -> None:
    path = external_data / "templates" / f"{name}.jinja"
    if not path.exists():
        pytest.skip(f"no {path.name} in GRISTMILL_DATA/templates")
    source = path.read_text(encoding="utf-8")
    template = ChatTemplate(source, "<s>", "</s>")
    prompt, reply = reply_of(template, turns(arguments, name))
    for pieces in ([reply], list(reply)):
        parser = ReplyParser(source, prompt, TOOLS)
        events = joined([e for p in pieces for e in parser.feed(p)] + parser.flush())
        calls = [event for event in events if isinstance(event, ToolCall)]
        assert [call.name for call in calls] == ["get_weather"], (reply, events)
        assert json.loads(calls[0].arguments) == arguments
        rest = "".join(e.text for e in events if isinstance(e, Text) and e.kind == "content")
        assert rest.strip() in ("", "None"), (reply, events)


@pytest.mark.parametrize("name", PUBLISHED)
def test_tool_results_are_rendered(name: str, external_data: Path) -> None:
    path = external_data / "templates" / f"{name}.jinja"
    if not path.exists():
        pytest.skip(f"no {path.name} in GRISTMILL_DATA/templates")
    template = ChatTemplate(path.read_text(encoding="utf-8"), "<s>", "</s>")
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "mild"}
    text = template.render([*turns({"place": "Paris"}, name), result], tools=TOOLS)
    assert "mild" in text
    assert "Paris" in text


def test_formats_of_published_templates(external_data: Path) -> None:
    """Every published template that has a marker of reasoning is recognised."""
    for path in sorted((external_data / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        marked = any(mark in source for mark in ("</think>", "[/THINK]", "</seed:think>"))
        if marked:
            assert reasoning_format(source) is not None, path.name
