# SPDX-License-Identifier: MIT
"""What templates can use, what they cannot, and what callers hear of it."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest

from gristmill.chat import ChatTemplate, Limits
from gristmill.errors import TemplateError

USER = [{"role": "user", "content": "Hi <&> \u00e9"}]


def render(source: str, **variables: Any) -> str:
    return ChatTemplate(source, "<s>", "</s>").render(USER, variables=variables)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}", "<s>Hi <&> \u00e9</s>"),
        ("{{ add_generation_prompt }} {{ tools }} {{ tools is defined }}", "True None True"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "Hi <&> \u00e9"}]'),
        ("{{ {'b': 1, 'a': [2]} | tojson(indent=1) }}", '{\n "b": 1,\n "a": [\n  2\n ]\n}'),
        ("{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}", '{"a":2,"b":1}'),
        ("{{ '\u00e9' | tojson(ensure_ascii=true) }}", '"\\u00e9"'),
        ("{{ ('[1, 2]' | from_json)[1] }}", "2"),
        (("{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}"
         "{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}"), "013"),
        (("{% for c in 'abc' %}{{ loop.index }}/{{ loop.length }}{{ c }}"
         "{{ ' ' if not loop.last }}{% endfor %}"), "1/3a 2/3b 3/3c"),
        (("{% for x in [[1, [2]], [3]] recursive %}"
         "{{ loop(x) if x is iterable else x }}{% endfor %}"), "123"),
        ("{% generation %}a{% set x = 1 %}{% endgeneration %}{{ x is defined }}", "aFalse"),
        (("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}"
         "{{ ns.n }}"), "3"),
        ("  {% if true %}\na\n  {% endif %}\nb", "a\nb"),  # trim_blocks, lstrip_blocks
        (("{% macro f(a, b='-') %}{{ a ~ b }}{{ caller() }}{% endmacro %}"
         "{% call f(1) %}x{% endcall %}"), "1-x"),
        ("{{ 'a,b'.split(',')[1:] }} {{ 'ab'[::-1] }} {{ 'x'.join(['a', 'b']) }}", "['b'] ba axb"),
        ("{{ '%s-%03d' % ('a', 7) }} {{ '{}{x:>3}'.format(1, x=2) }}", "a-007 1  2"),
        ("{{ '%s' | format('a') }} {{ 'aXbX' | replace('X', '--', 1) }}", "a a--bX"),
        ("{{ [3, 1] | sort | join('+') }} {{ [{'a': 5}] | sum('a') }}", "1+3 5"),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ [1, 2, 3] | batch(2) | list }}{{ 2 ** 10 }}{{ 7 // 2 }}", "[[1, 2], [3]]10243"),
        ("{{ dict(a=1).items() | list }}{{ {'k': 'v'}.get('x', 'd') }}", "[('a', 1)]d"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{{ nosuch }}|{{ nosuch is defined }}|{{ none }}", "|False|None"),
        ("{{ strftime_now('%Y') | int > 2000 }}", "True"),
    ],
)  # fmt: skip
def test_what_templates_can_use(source: str, expected: str) -> None:
    assert render(source) == expected


def test_variables_and_clock() -> None:
    assert render("{{ thinking }}{{ bos_token }}", thinking=[1], bos_token="B") == "[1]B"
    template = ChatTemplate(
        "{{ strftime_now('%d %b %Y') }}", clock=lambda: datetime(2026, 3, 14, 1, 2)
    )
    assert template.render([]) == "14 Mar 2026"
    with pytest.raises(TemplateError, match="cannot be named messages"):
        render("", messages=[])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\n{{ raise_exception('no <system>') }}", "line 2] refuses the conversation: no <system>"),
        ("{% for x in y %}", "line 1] fails: Unexpected end of template"),
        ("\n\n{{ x.y.z }}", "line 3] fails: 'x' is undefined"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 'a' | nosuch }}", "No filter named 'nosuch'"),
        ("{{ nosuch() }}", "'nosuch' is undefined"),
        ("{% include 'x' %}", "include is not available"),
        ("{% import 'x' as y %}", "import is not available"),
        ("{% extends 'x' %}", "extends is not available"),
        ("{% autoescape true %}{% endautoescape %}", "autoescape is not available"),
        ("{{ messages.append(1) }}", "'append' of 'list' object is unsafe"),
        ("{{ messages[0].update(a=1) }}", "'update' of 'dict' object is unsafe"),
        ("{{ ''.__class__.x }}", "'__class__' of 'str' object is unsafe"),
        ("{{ ''['__class__'].x }}", "'__class__' of 'str' object is unsafe"),
        ("{{ ('' | attr('__class__')).x }}", "'__class__' of 'str' object is unsafe"),
        ("{{ '{0.__class__.x}'.format('') }}", "'__class__' of 'str' object is unsafe"),
        ("{{ ('{0.__class__.x}' | attr('format'))('') }}", "'__class__' of 'str' object is unsafe"),
        ("{{ '{a.__class__.x}'.format_map({'a': 1}) }}", "'__class__' of 'int' object is unsafe"),
        ("{{ raise_exception.__globals__.x }}", "no attribute '__globals__'"),
        ("{{ raise_exception._function.x }}", "is unsafe"),
        ("{{ ''.encode() }}", "cannot call str.encode"),
        ("{{ (1).to_bytes(2) }}", "cannot call int.to_bytes"),
        ("{{ messages() }}", "cannot call list objects"),
        ("{{ ','.join([1]) }}", "join takes text"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{% set ns = namespace() %}{% set ns._x = 1 %}", "cannot hold '_x'"),
        ("{{ strftime_now('%900d') }}", "no date format"),
    ],
)
def test_what_goes_wrong_is_one_sentence(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None, "the error must not hold the template's values"


def test_values_that_are_no_json_are_refused() -> None:
    template = ChatTemplate("{{ messages }}")
    for odd in (object(), {1, 2}, b"bytes", print, ChatTemplate):
        with pytest.raises(TemplateError, match="JSON values"):
            template.render([{"role": "user", "content": odd}])
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TemplateError, match="too deeply"):
        template.render([{"content": deep}])


def test_subclasses_are_flattened_and_callers_values_untouched() -> None:
    class Text(str):
        def render(self) -> str:
            return "ran"

    messages = [{"role": "user", "content": Text("x")}]
    template = ChatTemplate("{{ messages[0].content.render is defined }}")
    assert template.render(messages) == "False"
    assert type(messages[0]["content"]) is Text


def test_threads_have_budgets_of_their_own() -> None:
    template = ChatTemplate("{% for i in range(2000) %}{{ i ~ messages[0].content }}{% endfor %}")
    expected = "".join(f"{i}Hi <&> \u00e9" for i in range(2000))
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(template.render(USER))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_long_conversations_are_no_attack() -> None:
    """A thousand turns, two megabytes, through a template that looks at every message twice."""
    source = (
        "{% set last = messages | selectattr('role', 'equalto', 'user') | list | last %}"
        "{% for m in messages %}{% if m == last %}!{% endif %}"
        "{{ '<' ~ m.role ~ '>' ~ (m.content | trim) + '\\n' }}{% endfor %}"
    )
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": f"{i} " + "words " * 333}
        for i in range(1000)
    ]
    prompt = ChatTemplate(source, limits=Limits(seconds=10)).render(messages)
    assert len(prompt) > 2_000_000
    assert prompt.count("<user>") == 500


def test_a_template_that_is_too_long() -> None:
    with pytest.raises(TemplateError, match="too long. Got 65537 characters"):
        ChatTemplate("x" * 65537)
    assert ChatTemplate("x" * 65536).render([]) == "x" * 65536
