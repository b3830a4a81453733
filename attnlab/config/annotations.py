"""The rule that an annotation states, read from the source and never evaluated.

What is understood is listed here; a name is followed to where it is assigned, in whatever module.
"""

import ast
import builtins
import math
import operator
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional, Union, Unpack

import annotated_types
import pydantic
import typing_extensions

from attnlab import settings as rules
from attnlab.config.sources import Passed, UnknownTarget, binds, file_of, found_at, origin

UNDERSTOOD = (
    "int, float, str, bool, None, list, dict, tuple, X | Y, Literal, Annotated with Field(ge=...) and its "
    "like, the rules of attnlab.settings, and names that are assigned to these"
)
LIBRARIES = ("torch", "pytorch_lightning", "lightning_fabric")
"""Whose classes no yaml can hold: a part of a union that names one is passed over."""


class Unreadable(ValueError):
    """An annotation, or a part of one, that states no rule for what stands in a yaml."""


_BUILTIN = ("int", "float", "str", "bool", "list", "dict", "tuple", "set", "object")
_SIGNS = ("Positive", "NonNegative", "Negative", "NonPositive")
_LIMITS = ("Gt", "Ge", "Lt", "Le", "Interval", "MultipleOf", "MinLen", "MaxLen", "Len")
_SPECIAL = ("Any", "Literal", "Optional", "Union", "Annotated", "Unpack", "TypedDict")
_LISTS, _DICTS = ("Sequence", "Iterable", "Collection"), ("Mapping", "MutableMapping")

WORDS: dict[str, Any] = {
    **{f"builtins.{name}": getattr(builtins, name) for name in _BUILTIN},
    **{f"typing.{name.title()}": getattr(builtins, name) for name in ("list", "dict", "tuple", "set")},
    **{
        f"{place}.{name}": getattr(typing, name)
        for place in ("typing", "typing_extensions")
        for name in _SPECIAL
    },
    **{f"{place}.{name}": list for place in ("typing", "collections.abc") for name in _LISTS},
    **{f"{place}.{name}": dict for place in ("typing", "collections.abc") for name in _DICTS},
    **{
        f"pydantic.{sign}{kind}": getattr(pydantic, sign + kind)
        for sign in _SIGNS
        for kind in ("Int", "Float")
    },
    **{f"attnlab.settings.{name}": value for name, value in vars(rules).items() if name[0] not in "_@"},
}
"""What a dotted name of an annotation means, by the module it is imported from."""

_MAKERS: dict[str, Any] = {
    "pydantic.Field": pydantic.Field,
    "attnlab.settings.Field": pydantic.Field,
    "attnlab.settings.DataFileMark": rules.DataFileMark,
    **{f"annotated_types.{name}": getattr(annotated_types, name) for name in _LIMITS},
}
"""What may be called behind Annotated, with constants."""

CONSTANTS = {f"math.{name}": getattr(math, name) for name in ("inf", "nan", "pi", "e")}

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def rule_of(node: ast.expr, module: str) -> Any:
    """What pydantic takes for an annotation that stands in a module. Raises Unreadable."""
    try:
        rule = _rule(node, module)
        if not _is_library(module) and not typing_extensions.is_typeddict(rule):
            pydantic.TypeAdapter(rule)  # refuses a limit on what has no order
        return rule
    except (TypeError, AttributeError, RecursionError, UnknownTarget, pydantic.PydanticUserError) as error:
        raise Unreadable(f"{ast.unparse(node)}: {str(error).splitlines()[0]}") from None


def constant_of(node: ast.expr, module: str) -> Any:
    """The value of an expression of constants that stands in a module. Raises Unreadable."""
    try:
        return _constant(node, module)
    except (TypeError, ArithmeticError, RecursionError, UnknownTarget) as error:
        raise Unreadable(f"{ast.unparse(node)}: {error}") from None


def _rule(node: ast.expr, module: str) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # quoted
        try:
            return _rule(ast.parse(node.value, mode="eval").body, module)
        except SyntaxError:
            raise Unreadable(repr(node.value)) from None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right], module)
    if isinstance(node, ast.Subscript):
        return _subscript(node, module)
    dotted = _dotted(node, module)
    if dotted in WORDS:
        return WORDS[dotted]
    if _is_class_of_library(Passed(*dotted.rpartition(".")[::2])):
        raise Unreadable(ast.unparse(node))
    found = found_at(node, module)
    if found is not None and isinstance(found.node, ast.expr):
        return _rule(found.node, found.module)
    if found is not None and isinstance(found.node, ast.ClassDef):
        return _record(found.node, found.module)
    raise Unreadable(ast.unparse(node))


def _subscript(node: ast.Subscript, module: str) -> Any:
    head = WORDS.get(_dotted(node.value, module))
    inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if head is Literal:
        return Literal[tuple(_constant(part, module) for part in inside)]
    if head is Annotated:
        return Annotated[_rule(inside[0], module), *(_made(mark, module) for mark in inside[1:])]
    if head is Unpack:
        return _rule(inside[0], module)
    if head is Optional or head is Union:
        return _union([*inside, *([ast.Constant(None)] if head is Optional else [])], module)
    if head in (list, dict, tuple, set):
        generic: Any = head
        return generic[tuple(... if _is_ellipsis(part) else _rule(part, module) for part in inside)]
    raise Unreadable(ast.unparse(node))


def _union(parts: list[ast.expr], module: str) -> Any:
    read = []
    for part in parts:
        try:
            read.append(_rule(part, module))
        except (Unreadable, UnknownTarget):
            if not _is_library(module):
                raise
    if not read:
        raise Unreadable(" | ".join(map(ast.unparse, parts)))
    return Union[tuple(read)]  # noqa: UP007 (of as many as there are)


def _record(node: ast.ClassDef, module: str) -> Any:
    """A TypedDict, with what it inherits."""
    fields: dict[str, Any] = {}
    for base in node.bases:
        if _dotted(base, module) not in ("typing.TypedDict", "typing_extensions.TypedDict"):
            inherited = _rule(base, module)
            if not typing_extensions.is_typeddict(inherited):
                raise Unreadable(node.name)
            fields |= typing.get_type_hints(inherited, include_extras=True)
    if not node.bases:
        raise Unreadable(node.name)
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            fields[part.target.id] = _rule(part.annotation, module)
    return typing_extensions.TypedDict(node.name, fields)  # pyright: ignore


def _made(node: ast.expr, module: str) -> Any:
    """What stands behind Annotated: a call of one of the makers with constants, or a name for it."""
    if isinstance(node, ast.Call):
        maker = _MAKERS.get(_dotted(node.func, module))
        if maker is not None:
            settings = {word.arg: _constant(word.value, module) for word in node.keywords if word.arg}
            return maker(*(_constant(part, module) for part in node.args), **settings)
    found = found_at(node, module)
    if found is not None and isinstance(found.node, ast.Call):
        return _made(found.node, found.module)
    raise Unreadable(ast.unparse(node))


def _constant(node: ast.expr, module: str) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        values = [_constant(part, module) for part in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.Dict) and all(node.keys):
        keys = [_constant(key, module) for key in node.keys if key]
        return dict(zip(keys, (_constant(value, module) for value in node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _constant(node.operand, module)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = (_constant(side, module) for side in (node.left, node.right))
        if all(isinstance(side, int | float) and abs(side) <= 2**64 for side in (left, right)):
            if not isinstance(node.op, ast.Pow) or abs(right) <= 64:
                return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.Call) and _dotted(node.func, module) == "builtins.float" and len(node.args) == 1:
        return float(_constant(node.args[0], module))
    if (dotted := _dotted(node, module)) in CONSTANTS:
        return CONSTANTS[dotted]
    found = found_at(node, module)
    if found is not None and isinstance(found.node, ast.expr):
        return _constant(found.node, found.module)
    raise Unreadable(ast.unparse(node))


def _dotted(node: ast.expr, module: str) -> str:
    """The path of a name, by where it is imported from; "" for what is no name."""
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value, module)
        return above and f"{above}.{node.attr}"
    if not isinstance(node, ast.Name):
        return ""
    if not binds(module, node.id):
        return f"builtins.{node.id}"
    place = Passed(module, node.id)
    for _ in range(100):  # modules that it is passed on through
        further = origin(*place) if file_of(place.module) else None
        if further is None:
            break
        place = further
        dotted = str(place)
        if dotted in WORDS or dotted in _MAKERS or not place.name or _is_class_of_library(place):
            break
    return str(place)


def _is_class_of_library(place: Passed) -> bool:
    """What a library means as a rule has a name with _ in front; whatever else it names is a class."""
    return _is_library(place.module) and not place.name.startswith("_")


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
