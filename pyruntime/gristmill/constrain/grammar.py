# SPDX-License-Identifier: MIT
"""What a text must match, as given, and as llguidance reads it.

A grammar is Lark (llguidance's dialect) or GBNF (llama.cpp's), told apart by how rules are
written; GBNF is translated. A JSON schema is checked for what llguidance would read otherwise than
its specification says (json_schema.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.errors import GrammarError

from . import json_schema
from .engine import engine
from .gbnf import gbnf_to_lark

Schema = str | bool | Mapping[str, Any]

_GBNF_RULE = re.compile(r"^[ \t]*[A-Za-z0-9_-]+[ \t]*::=", re.MULTILINE)


@dataclass(frozen=True)
class Constraint:
    """One of the three ways to constrain a text. Make it with `Constraint.of`.

    Attributes:
        kind: "json schema", "regex" or "grammar".
        grammar: What llguidance takes; checked.
    """

    kind: str
    grammar: str

    @classmethod
    def of(
        cls,
        grammar: str | None = None,
        json_schema: Schema | None = None,
        regex: str | None = None,
    ) -> Constraint | None:
        """The constraint that is given, or None.

        Args:
            grammar: GBNF, or Lark as llguidance has it.
            json_schema: A schema, or its JSON text.
            regex: A regular expression (Rust's syntax) that the whole text matches.

        Raises:
            GrammarError: It is invalid, or something of it cannot be enforced.
            ValueError: More than one is given.
            ResourceError: llguidance is not installed.
        """
        if sum(item is not None for item in (grammar, json_schema, regex)) > 1:
            raise ValueError("[constrain] Give one of grammar, json_schema and regex. Got more.")
        if grammar is not None:
            return cls("grammar", _lark(grammar))
        if json_schema is not None:
            return cls("json schema", _schema(json_schema))
        if regex is not None:
            return cls("regex", _regex(regex))
        return None


def _text(kind: str, value: object) -> str:
    if not isinstance(value, str):
        raise GrammarError(f"[{kind}] must be a text. Got {type(value).__name__}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise GrammarError(f"[{kind}] is no valid Unicode. {error}.") from None
    return value


def _checked(kind: str, grammar: str) -> str:
    """The grammar, if llguidance takes it without a reservation."""
    is_error, messages = engine().LLMatcher.validate_grammar_with_warnings(grammar)
    if is_error or messages:
        raise GrammarError(f"[{kind}] {messages[0]}")
    return grammar


def _lark(text: str) -> str:
    text = _text("grammar", text)
    if not text.strip():
        raise GrammarError("[grammar] is empty: no rule says what to generate.")
    if _GBNF_RULE.search(text):
        lark, kind = gbnf_to_lark(text), "gbnf"
    else:
        lark, kind = text, "lark"
    return _checked(kind, engine().LLMatcher.grammar_from_lark(lark))


def _regex(text: str) -> str:
    return _checked("regex", engine().LLMatcher.grammar_from_regex(_text("regex", text)))


def _schema(schema: Schema) -> str:
    if isinstance(schema, str):
        try:
            schema = json.loads(_text("json schema", schema))
        except ValueError as error:
            raise GrammarError(f"[json schema] is no JSON. {error}") from None
        except RecursionError:
            raise GrammarError("[json schema] is nested too deeply.") from None
    return json_schema.compile_schema(schema)
