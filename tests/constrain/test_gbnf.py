# SPDX-License-Identifier: MIT
"""GBNF against Python's regular expressions and against what llama.cpp documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from accepting import Accepts
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gristmill.constrain import Constraint
from gristmill.constrain.gbnf import gbnf_to_lark
from gristmill.errors import GrammarError


def gbnf(text: str) -> Constraint:
    constraint = Constraint.of(grammar=text)
    assert constraint is not None
    return constraint


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= "a" "b" "c" | "ab" "d"', ["abc", "abd"], ["ab", "abcd"]),
        ('root ::= a "end"\na ::= [a-z]*', ["end", "fooend", "endend"], ["en", "endx"]),
        (r'root ::= "\x41\u0042\U00000043\n\t\r\"\\\[\]"', ['ABC\n\t\r"\\[]'], ["ABC"]),
        (r"root ::= [\x41\u00e9\[\]\\/^-]+", ["A\u00e9[]\\/^-"], ["B", ""]),
        ("root ::= [^a]", ["b", "\n", "\u00e9", "\U0001f600"], ["a", "bb"]),
        ("root ::= [^] .", ["a\n", "\nb"], ["a"]),
        ("root ::= [a&&b~~c]+", ["a&b~c"], ["-"]),
        ("root ::= [+--]", ["+", ",", "-"], ["."]),
        ("root ::= [-a]+ [a-]", ["-a-"], ["b"]),
        ('root ::= x{2,3} "y"{2} "z"{1,} "w"{0} "v"{0,1}\nx ::= "x"', ["xxyyz", "xxxyyzzzv"],
         ["xyyz", "xxyyzw", "xxyyzvv"]),
        ('root ::= (\n "a" | # one\n "b"\n) "c"\n# end', ["ac", "bc"], ["c"]),
        ('root ::= "a" |\n  "b"\n', ["a", "b"], ["ab"]),
        ('root ::= ""', [""], ["a"]),
        ('root ::= "a" | ', ["a", ""], ["b"]),
        ('root ::= ("" "a")+ ("b" | ())?', ["aa", "aab"], ["b"]),
        ('root ::= root "a" | "b"', ["b", "baa"], ["a"]),
        ('fo-o ::= "1"\nfo_o ::= "2"\nFoO ::= "3"\nstart ::= fo-o fo_o FoO\nroot ::= start',
         ["123"], ["12"]),
        ('root ::= "a"*+ "b"', ["b", "aab"], ["a"]),
        ('root ::= "\u00e9" [\u4e00-\u9fff]', ["\u00e9\u4e00"], ["e\u4e00"]),
    ],
)  # fmt: skip
def test_it_means_what_it_says(
    grammar: str, good: list[str], bad: list[str], accepts: Accepts
) -> None:
    constraint = gbnf(grammar)
    assert [text for text in good if not accepts(constraint, text)] == []
    assert [text for text in bad if accepts(constraint, text)] == []


# Regular expressions over "a", "b" and "c" that GBNF can write, too: (GBNF, Python).
atoms = st.sampled_from(
    [
        ('"x" [ab]* "y"', "(?:x[ab]*y)"),  # may be a lexeme
        ('"x" ("a" | "b" "a")+ "y"', "(?:x(?:a|ba)+y)"),
        ('"a"', "a"),
        ('"ab"', "(?:ab)"),
        ('""', "(?:)"),
        ("[ab]", "[ab]"),
        ("[^a]", "[^a]"),
        (".", "(?s:.)"),
    ]
)
marks = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,2}", "{0,1}"])


def _join(parts: list[tuple[str, str]], outer: str, inner: str) -> tuple[str, str]:
    return outer.join(p[0] for p in parts), inner.join(p[1] for p in parts)


patterns = st.recursive(
    atoms,
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=3), st.booleans(), marks).map(
        lambda a: tuple(
            f"{left}{text}){a[2]}"
            for left, text in zip(
                ("(", "(?:"), _join(a[0], " | ", "|") if a[1] else _join(a[0], " ", ""), strict=True
            )
        )
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(
    pattern=patterns,
    texts=st.lists(st.text("abcxy", max_size=7) | st.text("ab").map("x{}y".format), max_size=8),
)
def test_it_is_the_regular_expression(
    pattern: tuple[str, str], texts: list[str], accepts: Accepts
) -> None:
    constraint = gbnf("root ::= " + pattern[0])
    for text in texts:
        try:
            allowed = accepts(constraint, text)
        except GrammarError as error:  # stars of stars: refused in the end, not ignored
            if "Too many items" not in str(error):
                raise
            assume(False)
        assert allowed == bool(re.fullmatch(pattern[1], text)), text


STRING = r"""
root ::= value
value ::= "[" (value ("," value)*)? "]" | string ws | number
string ::= "\"" ( [^"\\\x00-\x1F] | "\\" (["\\nt] | "u" [0-9a-f]{4}) )* "\""
number ::= "-"? [0-9]+
ws ::= [ \n]*
"""


@pytest.mark.parametrize(
    ("grammar", "lexemes"),
    [
        (STRING, 1),
        (STRING + 'ws2 ::= "unused"\n', 1),
        (
            STRING.replace("| number", '| number | "\\"x\\""'),
            1,
        ),  # it begins like a string: the escapes are left
        ('root ::= [a-z]* "end"', 0),  # its end is among what repeats
        ('root ::= "<" [a-z]* ">" "." | "<" [a-z]* ">" ";"', 0),  # they begin alike
        ('root ::= "<" [a-z]* ">"? "."', 1),
        ('root ::= "(" root ")" | "a"*', 0),
        ('root ::= ("\\"" [a-z]* "\\"" | "x")+', 1),
        ('root ::= "\\"" a "\\""\na ::= b b\nb ::= c c\nc ::= d d\nd ::= [x]* [y]', 1),
    ],
)
def test_lexemes_of_several_characters_where_they_mean_the_same(grammar: str, lexemes: int) -> None:
    assert gbnf_to_lark(grammar).count("\nLEXEME_") == lexemes


def test_a_string_of_json_is_a_lexeme_and_means_the_same(accepts: Accepts) -> None:
    constraint = gbnf(STRING)
    for text in ('""', '"a\u00e9\\n"', '[["x]"],-12,"\\u00ff" \n]', "3"):
        assert accepts(constraint, text), text
    for text in ('"', '"a\n"', '"\\x"', '["a""b"]', '"a"b', '[" ,"'):
        assert not accepts(constraint, text), text


def test_rules_that_double_twenty_times_are_given_up_soon() -> None:
    rules = "".join(f"a{i} ::= a{i + 1} a{i + 1}\n" for i in range(30))
    assert "LEXEME_0" in gbnf_to_lark(f"root ::= a0 [x]*\n{rules}a30 ::= [y]* [z]\n")


@pytest.mark.parametrize(
    ("grammar", "problem"),
    [
        ("", "empty"),
        ('a ::= "b"', 'needs a rule named "root"'),
        ("root ::= foo", 'line 1, column 10] there is no rule "foo"'),
        ('root ::= "a"\nroot ::= "b"', "line 2, column 1] the rule"),
        ('root ::= "a', "line ends"),
        ("root ::= [a", "line ends"),
        ("root ::= []", "empty class"),
        ("root ::= [z-a]", "lower to its higher"),
        ('root ::= ("a"', r"'\)' is expected"),
        ('root ::= "a")', "end of the line is expected"),
        (r'root ::= "\q"', "no escape"),
        (r'root ::= "\ud800"', "no character"),
        (r'root ::= "\x4"', "no character"),
        ("root ::= <think>", "angle brackets"),
        ("root ::= !<think>", "angle brackets"),
        ('root ::= "a"{3,2}', "n <= m"),
        ('root ::= "a"{x}', "expected"),
        ('root ::= "a"{1000000}', "n <= m"),
        ("root = a\nb ::= a", "'::=' is expected"),
        ("root ::= " + "(" * 2000, "too deeply"),
        ('root ::= "a" "\ud800"', "no valid Unicode"),
    ],
)
def test_what_is_wrong_is_said(grammar: str, problem: str) -> None:
    with pytest.raises(GrammarError, match=problem):
        gbnf(grammar)


def test_llama_cpps_grammars(external_data: Path, accepts: Accepts) -> None:
    """All of them load, and take texts that they were written for."""
    texts = {
        "arithmetic": "1+2=3\n(4*5)-6=14\n",
        "c": "int main(int a){return a;}",
        "chess": "1. e4 e5\n2. Nf3 Nc6\n",
        "english": "Hello there.",
        "json": '{"a": [1, 2.5e3, true, null, "b\\u00e9"]}',
        "json_arr": '[\n1,\n"two"]',
        "list": "- one\n- two\n",
    }
    files = sorted((external_data / "grammars").glob("*.gbnf"))
    if not files:
        pytest.skip("no grammars in GRISTMILL_DATA")
    for file in files:
        constraint = gbnf(file.read_text(encoding="utf-8"))
        text = texts.get(file.stem)
        if text is not None:
            assert accepts(constraint, text), file.name
            assert not accepts(constraint, text + "\x07"), file.name
