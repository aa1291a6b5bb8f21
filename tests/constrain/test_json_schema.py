# SPDX-License-Identifier: MIT
"""JSON schemas: what is generated validates with `jsonschema`, and what is invalid is not allowed.

The published test suite (GRISTMILL_DATA/json-schema-test-suite) says for each schema which values
are valid; texts are random tokens under the mask.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from accepting import Accepts
from random_texts import random_text

from gristmill.constrain import Constraint
from gristmill.errors import GrammarError

if TYPE_CHECKING:
    from gristmill.constrain import Vocabulary

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is the oracle here")
DRAFTS = {
    "draft2020-12": (jsonschema.Draft202012Validator, ""),
    "draft7": (jsonschema.Draft7Validator, "http://json-schema.org/draft-07/schema#"),
}


def of(schema: Any) -> Constraint:
    constraint = Constraint.of(json_schema=schema)
    assert constraint is not None
    return constraint


FOO = {"properties": {"foo": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (FOO, ['{"foo":1}', '{"bar":"x","a":{}}', "[]"], ['{"foo":"x"}', '{"foo":1,"foo":"x"}']),
        (FOO, [], ['{"\\u0066oo":"x"}', '{"f\\u006fo":"x"}']),  # escapes would slip past
        ({"properties": {"a/b": {"type": "integer"}}}, ['{"a/b":1}'], ['{"a\\/b":"x"}']),
        ({"patternProperties": {"^f": {"type": "null"}}}, ['{"fo":null}'], ['{"\\u0066o":1}']),
        ({"type": "string", "pattern": "^a$"}, ['"a"'], ['"\\u0061"', '"aa"']),
        ({"type": "string"}, ['"\\n\\"\\\\"', '"\u00e9\U0001f600"'], ['"\\u0041"', '"\n"']),
        ({"required": ["a"], "minProperties": 2}, ['{"a":1,"b":2}'], ['{"a":1,"a":2}', '{"a":1}']),
        (
            {"format": "date"},
            ['"2024-02-29"', '"2000-02-29"', "3"],
            ['"2023-02-29"', '"1900-02-29"'],
        ),
        ({"format": "time"}, ['"23:59:59.5Z"', '"00:00:00-01:30"'], ['"24:00:00Z"', '"01:02:60Z"']),
        ({"format": "date-time"}, ['"2024-02-29T01:02:03Z"'], ['"2023-02-29T01:02:03Z"']),
        ({"format": "hostname"}, ['"a-b.example.org"'], ['"xn--x"', '"-a"', '"a."', '"a..b"']),
        ({"format": "date", "allOf": [{"pattern": "^2"}]}, ['"2024-01-01"'], ['"1999-01-01"']),
        ({"properties": {"format": {"type": "null"}}}, ['{"format":null}'], ['{"format":1}']),
        ({"type": "string", "pattern": "^[\\s]\\S$"}, ['" x"'], ['"\ufeff\ufeff"', '"x "']),
        ({"const": {"format": "date"}}, ['{"format":"date"}'], ['{"format":"x"}']),
        (True, ["[1,{}]"], ["[1", "{1}"]),
        ('{"type": "integer"}', ["1", "-20"], ["1.5", "01"]),
    ],
)
def test_exactly_what_the_schema_says(
    schema: Any, good: list[str], bad: list[str], accepts: Accepts
) -> None:
    constraint = of(schema)
    assert [text for text in good if not accepts(constraint, text)] == []
    assert [text for text in bad if accepts(constraint, text)] == []


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"properties": {"a": {"items": {"not": {}}}}}, r"#/properties/a/items\] Unimplemented"),
        (
            {"$defs": {"x~/y": {"uniqueItems": True}}, "$ref": "#/$defs/x~0~1y"},
            r"#/\$defs/x~0~1y\]",
        ),
        ({"$defs": {"x": {"if": {}}}, "properties": {"q": {"$ref": "#/$defs/x"}}}, r"#/\$defs/x\]"),
        ({"properties": {"a": {"format": "iri"}}}, r"#/properties/a\] Unknown format"),
        ({"anyOf": [{}, {"contentEncoding": "base64"}]}, r"#/anyOf/1\] contentEncoding"),
        ({"x-guidance": {"lenient": True}, "not": {}}, "x-guidance"),
        ({"minProperties": 2}, "minProperties"),
        ({"items": [{}]}, "prefixItems"),
        ({"enum": ["\x01"]}, "control characters"),
        ({"properties": {"a\x00": {}}}, "control characters"),
        ({"pattern": "(?=a)"}, "look-around"),
        ({"pattern": "[\\S]"}, "cannot be enforced"),
        ({"$ref": "http://localhost/other"}, "#"),
        ({"type": "text"}, "Invalid type"),
        ({"minLength": "a"}, "minLength"),
        (False, "allows no value"),
        ({"enum": []}, "Unsatisfiable"),
        ("{", "is no JSON"),
        ("[]", "must be an object"),
        (3, "must be an object"),
        ({"const": float("nan")}, "is no JSON"),
        ({"const": {1, 2}}, "is no JSON"),
        ('{"const": "\ud800"}', "no valid Unicode"),
        ({"const": "\ud800"}, "is no JSON"),
    ],
)
def test_what_cannot_be_enforced_is_refused_with_its_place(schema: Any, problem: str) -> None:
    with pytest.raises(GrammarError, match=problem):
        of(schema)


@pytest.mark.slow
@pytest.mark.parametrize("draft", DRAFTS)
def test_the_published_suite(
    draft: str, external_data: Path, accepts: Accepts, vocabulary: Vocabulary
) -> None:
    """Every schema constrains correctly or is refused; docs/structured-output.md has the counts."""
    validator_class, dialect = DRAFTS[draft]
    counts: Counter[str] = Counter()
    wrong = []
    for file in sorted((external_data / "json-schema-test-suite/tests" / draft).rglob("*.json")):
        for group in json.loads(file.read_text(encoding="utf-8")):
            schema = group["schema"]
            if isinstance(schema, dict) and dialect:
                schema = {"$schema": dialect, **schema}
            try:
                constraint = of(schema)
            except GrammarError:
                counts["refused"] += 1
                continue
            counts["constrained"] += 1
            name = f"{file.name}: {group['description']}"
            for case in group["tests"]:
                compact = json.dumps(case["data"], ensure_ascii=False, separators=(",", ":"))
                texts = () if case["valid"] else (compact, json.dumps(case["data"]))
                wrong += [f"{name}: allows {text}" for text in texts if accepts(constraint, text)]
            validator = validator_class(schema, format_checker=validator_class.FORMAT_CHECKER)
            for seed in range(3):
                text = random_text(vocabulary, constraint, seed)
                counts["texts" if text is not None else "unfinished"] += 1
                wrong += [f"{name}: generates {text}"] if fails(validator, text) else []
    print(draft, dict(counts))
    assert wrong == []
    assert counts["constrained"] > 0.75 * counts["refused"]
    assert counts["texts"] > 10 * counts["unfinished"]


def fails(validator: Any, text: str | None) -> bool:
    """Whether a text is no valid JSON of the schema; what the validator cannot say is good."""
    if text is None:
        return False
    try:
        return not validator.is_valid(json.loads(text))
    except Exception as error:  # noqa: BLE001 - its expressions are Python's: no \\p{Letter}
        return "bad escape" not in str(error)
