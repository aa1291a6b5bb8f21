# SPDX-License-Identifier: MIT
"""Hostile templates: each ends in a TemplateError, soon, in little memory, in any thread."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gristmill.chat import ChatTemplate, Limits
from gristmill.errors import TemplateError

LOOP = "{% for i in range(99999) %}"
BIG = "{% set b = 'x' * 1000000 %}"
LIST = "{% set a = range(99999) | list %}"
NS = "{% set ns = namespace(x='ab') %}{% for i in range(100) %}"

HOSTILE = {
    # forever
    "huge range": "{% for i in range(10**9) %}x{% endfor %}",
    "nested loops": LOOP * 3 + "{% endfor %}" * 3,
    "nested output": LOOP * 2 + "x" + "{% endfor %}" * 2,
    "filtered loop": LOOP + "{% for i in range(99999) if false %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for i in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "recursive long loop": "{% for i in range(99999) recursive %}"
    "{{ loop(range(99999)) }}{% endfor %}",
    "macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "forking macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "block in itself": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "nested calls": "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call f() %}" * 15 + "{{ 'x' * 100000 }}" + "{% endcall %}" * 15,
    "cycler": "{% set c = cycler(1, 2) %}" + LOOP * 2 + "{{ c.next() }}" + "{% endfor %}" * 2,
    "sorting": LIST + "{{ a | sort | length }}" * 3000,
    "maximum": "{% set a = range(99999) %}" + "{{ a | max }}" * 5000,
    "attributes": LOOP + "{% set x = range(99999) | map(attribute='real') | max %}{% endfor %}",
    "comparing": LIST + "{% set c = range(99999) | list %}" + LOOP
    + "{% if a == c and c == a %}{% endif %}" * 500 + "{% endfor %}",
    "searching": LIST + LOOP + "{% if -1 in a %}{% endif %}" * 1000 + "{% endfor %}",
    "searching text": BIG + LOOP + "{% if 'y' in b %}{% endif %}" * 1000 + "{% endfor %}",
    "selecting": LIST + "{{ a | map('string') | select('in', a) | list | length }}",
    "titles": LOOP + "{% set x = ('a b ' * 500000) | title %}{% endfor %}",
    # text
    "times": "{{ 'x' * 10**9 }}",
    "times of a constant": "{{ 'x' * 1000000000 }}",
    "times of a list": "{% set x = [0] * 10**9 %}",
    "doubling by ~": NS + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling by +": NS + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "replace": BIG + "{{ b | replace('x', b) }}",
    "replace method": BIG + "{{ b.replace('', b) }}",
    "join": BIG + "{{ range(99999) | join(b) }}",
    "join method": BIG + "{{ b.join(b) }}",
    "center": "{{ 'x' | center(10**9) }}",
    "ljust": "{{ 'x'.ljust(10**9) }}",
    "zfill": "{{ 'x'.zfill(10**9) }}",
    "indent": "{{ ('x\n' * 100000) | indent(99999) }}",
    "indent by text": "{{ ('x\n' * 100000) | indent('y' * 99999) }}",
    "percent width": "{{ '%1000000000d' % 1 }}",
    "percent width after flags": "{{ '%" + " " * 30 + "1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (10**9, 1) }}",
    "percent precision": "{{ '%.1000000000f' % 1.5 }}",
    "percent by name": BIG + "{{ ('%(a)s' * 10000) % {'a': b} }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "format width": "{{ '{:>1000000000}'.format('x') }}",
    "format inner width": "{{ '{:{w}}'.format('x', w=10**9) }}",
    "format in other digits": "{{ '{:>\u0661\u0660\u0660\u0660\u0660\u0660\u0660}'.format('x') }}",
    "format repeated": BIG + "{{ ('{0}' * 10000).format(b) }}",
    "format by attr": "{{ ('{:>1000000000}' | attr('format'))('x') }}",
    "tojson indent": "{{ [1, [2]] | tojson(indent=10**9) }}",
    "tojson indent text": "{{ range(9999) | list | tojson(indent='x' * 99999) }}",
    "tojson separators": "{{ range(9999) | list | tojson(separators=('x' * 99999, 'y')) }}",
    "truncate": "{{ 'abc' | truncate(2, True, 'x' * 10**8) }}",
    "set blocks": BIG + LOOP + "{% set c %}{{ b }}{{ b }}{% endset %}{% endfor %}",
    "output of a macro": BIG + "{% macro f() %}" + "{{ b }}" * 5000 + "{% endmacro %}{{ f() }}",
    "output of lists": "{% set b = ['x' * 1000000] %}{% macro f() %}" + "{{ b }}" * 5000
    + "{% endmacro %}{{ f() }}",
    # memory
    "growing list": "{% set ns = namespace(l=[]) %}" + LOOP
    + "{% set ns.l = ns.l + ['x' * 100000] %}{% endfor %}",
    "many small lists": "{% set ns = namespace(l=[]) %}" + LOOP * 2
    + "{% set ns.l = [i, ns.l[:1]] %}" + "{% endfor %}" * 2,
    "slices": BIG + "{% set ns = namespace(l=[]) %}" + LOOP
    + "{% set ns.l = ns.l + [b[1:]] %}{% endfor %}",
    "batch": "{{ [1] | batch(10**9, 'x') | list }}",
    "slice": "{{ [1] | slice(10**9) | list }}",
    "nested lists": NS + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "nested mappings": NS + "{% set ns.x = {1: ns.x, 2: ns.x} %}{% endfor %}{{ ns.x | tojson }}",
    "nested views": "{% set ns = namespace(x={1: 1}) %}{% for i in range(100) %}"
    "{% set ns.x = {1: ns.x.items(), 2: ns.x.items()} %}{% endfor %}{{ ns.x }}",
    "nested tuples as keys": NS + "{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
    "nested arguments": "{% macro f() %}{{ f(varargs, varargs) }}{% endmacro %}{{ f(1, 1) }}",
    # numbers
    "power": "{{ 10 ** 10 ** 10 > 0 }}{{ (2 ** 4000) ** 4000 }}",
    "squares": "{% set ns = namespace(x=7) %}{% for i in range(99) %}"
    "{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
    "digits": "{{ ('f' * 1000000) | int(base=16) }}",
    "rounding": "{{ 1.5 | round(10**9, 'ceil') }}",
    "summing lists": "{{ ([[1] * 1000] * 100) | sum(start=[]) }}",
    # the compiler
    "parentheses": "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
    "brackets": "{{ " + "[" * 9999 + "]" * 9999 + " }}",
    "a long sum": "{{ " + "1+" * 20000 + "1 }}",
    "a long filter": "{{ 'a'" + "|upper" * 9000 + " }}",
    "a long path": "{{ a" + ".a" * 20000 + " }}",
    "nots": "{{ " + "not " * 9999 + "1 }}",
    "ifs": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "fors": "{% for i in [1] %}" * 60 + "{% endfor %}" * 60,
    "nested JSON": "{{ ('[' * 100000) | from_json }}",
}  # fmt: skip

# Peak memory is of a process, so the memory test runs all of them in one of its own.
_MEMORY_SCRIPT = """
import json, resource, sys
from gristmill.chat import ChatTemplate, Limits
from gristmill.errors import TemplateError
stopped = 0
for source in json.load(sys.stdin):
    try:
        ChatTemplate(source, limits=Limits(seconds=0.3)).render([])
    except TemplateError:
        stopped += 1
if sys.platform == "darwin":
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
else:  # there ru_maxrss begins with what the parent had
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / (1 << 10)
print(json.dumps([stopped, peak]))
"""


def _stopped(source: str, limits: Limits | None = None) -> float:
    """Processor seconds until the error."""
    start = time.thread_time()
    with pytest.raises(TemplateError) as caught:
        ChatTemplate(source, limits=limits).render([{"role": "user", "content": "hi"}])
    assert len(str(caught.value)) < 600
    return time.thread_time() - start


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_it_is_stopped(name: str) -> None:
    assert _stopped(HOSTILE[name], Limits(seconds=0.3)) < 1.5


def test_it_is_stopped_in_time() -> None:
    assert 1 < _stopped(HOSTILE["nested loops"]) < 2


def test_in_other_threads_too() -> None:
    names = ("nested loops", "forking macro", "doubling by ~", "macro")
    with ThreadPoolExecutor(4) as pool:
        seconds = list(pool.map(lambda name: _stopped(HOSTILE[name]), names))
    assert max(seconds) < 3


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX")
def test_in_little_memory() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _MEMORY_SCRIPT],
        input=json.dumps(list(HOSTILE.values())),
        capture_output=True,
        text=True,
        check=True,
    )
    stopped, mebibytes = json.loads(run.stdout)
    assert stopped == len(HOSTILE)
    assert mebibytes < 400


def test_the_process_renders_on() -> None:
    for name in ("parentheses", "macro", "times"):
        _stopped(HOSTILE[name])
    assert ChatTemplate("{{ messages | length }}").render([]) == "0"


def test_limits_are_options() -> None:
    source = "{% for i in range(50000) %}xxxxxxxxxx{% endfor %}"
    assert len(ChatTemplate(source).render([])) == 500_000
    for limits, message in (
        (Limits(output_chars=400_000), "longer than 400000"),
        (Limits(seconds=0.001), "longer than 0.001 seconds"),
    ):
        with pytest.raises(TemplateError, match=message):
            ChatTemplate(source, limits=limits).render([])
    with pytest.raises(TemplateError, match="too much text"):
        ChatTemplate("{{ 'x' * 9000 }}", limits=Limits(work_chars=1000)).render([])
    with pytest.raises(TemplateError, match="more than 3 deep"):
        ChatTemplate(HOSTILE["macro"], limits=Limits(calls=3)).render([])


def test_input_raises_the_limits() -> None:
    """A long conversation may make a long prompt."""
    template = ChatTemplate("{{ messages[0].content }}", limits=Limits(output_chars=10))
    assert len(template.render([{"content": "x" * 1000}])) == 1000
