# SPDX-License-Identifier: MIT
"""The Jinja environment of chat templates: sandboxed, immutable, metered.

Before compilation the syntax tree is rewritten so that loops, concatenations, slices and literals
go through guards; calls, operators and filters have hooks of Jinja's own. Only documented extension
points are used (node rewriting, `call`, `call_binop`, `concat`), no code generator is replaced.
Callables are an allow list: macros, loop helpers, the functions below, methods of plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter, safe_range
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from .filters import (
    STR_METHODS,
    chat_filters,
    chat_tests,
    joined,
    only_text,
    pay_for_replace,
    percent,
    width,
)
from .limits import MAX_BITS, LimitError, budget

_DATA_METHODS = frozenset(("get", "items", "keys", "values", "copy", "index", "count"))
_HELPERS = (Macro, BlockReference, LoopContext, Cycler, Joiner, Undefined)
_GUARDS = frozenset(("guard_concat", "guard_iter", "guard_literal", "guard_operand", "guard_slice"))
_SCOPES = frozenset(("_loop_vars", "_block_vars"))
_BINOPS = frozenset(("+", "-", "*", "/", "//", "%", "**"))
_REFUSED: dict[type, str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.ScopedEvalContextModifier: "autoescape",
}


class RefusedError(JinjaError):
    """The template called raise_exception."""


class ChatNamespace(Namespace):
    """A namespace that prints as a constant: what it holds may be long, or hold itself."""

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"a namespace cannot hold {name!r}")
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


class GenerationTag(Extension):
    """{% generation %}: marks what a model said, for training. Its content is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - the class attribute that Jinja reads

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Guarding(NodeTransformer):
    """Sends everything that repeats or grows through the environment's guards."""

    def _guarded(self, name: str, node: nodes.Node, args: list[Any]) -> nodes.Call:
        guard = nodes.EnvironmentAttribute(name, lineno=node.lineno)
        return nodes.Call(guard, args, [], None, None, lineno=node.lineno)

    def _operand(self, node: nodes.Expr) -> nodes.Expr:
        if isinstance(node, nodes.Const):
            return node
        return self._guarded("guard_operand", node, [node])

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's name
        self.generic_visit(node)
        node.iter = self._guarded("guard_iter", node, [node.iter])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._guarded("guard_concat", node, node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = self._operand(node.expr)
        for operand in node.ops:
            operand.expr = self._operand(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            node.arg = self._operand(node.arg)
            return node
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        args = [bound or nodes.Const(None, lineno=node.lineno) for bound in bounds]
        return self._guarded("guard_slice", node, [node.node, *args])

    def _literal(self, node: Any) -> Any:
        self.generic_visit(node)
        if getattr(node, "ctx", "load") != "load" or node.find(nodes.Name) is None:
            return node
        return self._guarded("guard_literal", node, [node])

    visit_List = _literal
    visit_Tuple = _literal
    visit_Dict = _literal

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if type(node) in _REFUSED:
            raise TemplateSyntaxError(
                f"{_REFUSED[type(node)]} is not available to chat templates", node.lineno
            )
        return super().generic_visit(node, *args, **kwargs)


class _Formatter(SandboxedFormatter):
    """str.format with paid-for fields."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        if any(len(number) > 4 for number in "".join(
            letter if letter.isdigit() else " " for letter in format_spec
        ).split()):  # fmt: skip
            raise LimitError("a width is too large")
        budget().printed(value)
        return budget().admit(super().format_field(value, format_spec))


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as Hugging Face sets it up for chat templates, with limits."""

    intercepted_binops = _BINOPS

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # no work at compile time
            finalize=_print,
            extensions=[LoopControlExtension, GenerationTag],
        )
        self.filters = chat_filters()
        self.tests.clear()
        self.tests.update(chat_tests())
        self.globals = {
            "range": template_function(safe_range),
            "dict": template_function(dict),
            "namespace": template_function(ChatNamespace),
            "cycler": template_function(Cycler),
            "joiner": template_function(Joiner),
            "raise_exception": template_function(_refuse),
        }

    def concat(self, pieces: Any) -> str:
        """Joins the output of a macro or block."""
        for piece in pieces:
            budget().pay(len(piece))
        return "".join(pieces)

    def guard_iter(self, items: Any) -> Iterator[Any]:
        """Loops over items, a tick each."""
        tick = budget().tick
        for item in items:
            tick(2)
            yield item

    def guard_concat(self, *parts: Any) -> str:
        """The ~ operator."""
        return joined("", parts)

    def guard_slice(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """value[start:stop:step]."""
        return budget().admit(value[start:stop:step])

    def guard_operand(self, value: Any) -> Any:
        """A side of a comparison, or a subscript."""
        budget().handle(value)
        return value

    def guard_literal(self, value: Any) -> Any:
        """A list, tuple or mapping written in the template."""
        return budget().admit(value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An arithmetic operator."""
        _price(operator, left, right)
        if operator == "%" and isinstance(left, str):
            return budget().admit(percent(left, right))
        return budget().admit(self.binop_table[operator](left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """str.format and format_map, with paid-for fields."""
        if not isinstance(value, (MethodType, BuiltinMethodType)):
            return None
        text = value.__self__
        if not isinstance(text, str) or value.__name__ not in ("format", "format_map"):
            return None
        vformat = _Formatter(self).vformat

        def formatted(*args: Any, **kwargs: Any) -> str:
            if value.__name__ == "format_map":
                return vformat(str(text), (), *args, **kwargs)
            return vformat(str(text), args, kwargs)

        return _Allowed(formatted)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A call, if it is one of those that templates may make."""
        meter = budget()
        owner = getattr(function, "__self__", None)
        if owner is self and function.__name__ in _GUARDS:
            return function(*args)
        for scope in _SCOPES & kwargs.keys():  # meant for functions that take the context
            del kwargs[scope]
        meter.handle(*args, *kwargs.values())
        if isinstance(function, BuiltinMethodType) or isinstance(owner, str):
            return meter.admit(self._call_method(function, owner, args, kwargs))
        if not isinstance(function, (_Allowed, *_HELPERS)) and not isinstance(owner, _HELPERS):
            raise SecurityError(f"chat templates cannot call {type(function).__name__} objects")
        if isinstance(function, LoopContext) and args:
            args = (self.guard_iter(args[0]), *args[1:])
        if meter.depth >= meter.limits.calls:
            raise LimitError(f"calls are nested more than {meter.limits.calls} deep")
        meter.depth += 1
        try:
            return meter.admit(super().call(context, function, *args, **kwargs))
        finally:
            meter.depth -= 1

    def _call_method(
        self, method: Any, owner: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Calls a method of a string, list, tuple or mapping, paying first where it can grow."""
        name = method.__name__
        if isinstance(owner, str):
            if name not in STR_METHODS:
                raise SecurityError(f"chat templates cannot call str.{name}")
            formatted = self.wrap_str_format(method)
            if formatted is not None:
                return formatted(*args, **kwargs)
            if name == "join":
                (items,) = args
                return joined(str(owner), items, convert=only_text)
            if name == "replace" and len(args) >= 2:
                pay_for_replace(owner, *args[:3])
            grows = name in ("center", "ljust", "rjust", "zfill") and args
            budget().pay(len(owner) + (width(args[0]) if grows else 0))
        elif not isinstance(owner, (dict, list, tuple)) or name not in _DATA_METHODS:
            raise SecurityError(f"chat templates cannot call {type(owner).__name__}.{name}")
        else:
            budget().handle(owner)
        return method(*args, **kwargs)


class _Allowed:
    """A function that templates may call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


def template_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets templates call a function of ours."""
    return _Allowed(function)


def _print(value: Any) -> str:
    """An output expression: {{ value }}."""
    text = str(value)
    budget().pay(len(text))
    return text


def _refuse(message: Any) -> None:
    raise RefusedError(str(message))


def _price(operator: str, left: Any, right: Any) -> None:
    """Pays for what an operator is about to make."""
    meter = budget()
    meter.tick()
    numbers = [value for value in (left, right) if isinstance(value, int)]
    sequences = [value for value in (left, right) if isinstance(value, (str, list, tuple))]
    if operator == "*" and sequences and numbers:
        meter.pay(len(sequences[0]) * max(0, numbers[0]))
    elif operator == "+" and sequences:
        meter.pay(sum(map(len, sequences)))
    elif len(numbers) == 2:
        bits = left.bit_length() * (abs(right) if operator == "**" else 1)
        if bits > MAX_BITS or right.bit_length() > MAX_BITS:
            raise LimitError("a number is too large")


@lru_cache(maxsize=1)
def environment() -> ChatEnvironment:
    """The one environment that all templates share; it holds no state of theirs."""
    return ChatEnvironment()


def compile_template(source: str) -> Any:
    """Python code of a template, guards included."""
    env = environment()
    tree = _Guarding().visit(env.parse(source))
    tree.set_environment(env)
    return env.compile(tree, filename="<chat template>")
