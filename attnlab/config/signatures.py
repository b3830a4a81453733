"""The settings of a factory, read from its source without importing it (and so without importing torch).

The program hands in the first parameters by position; whatever else a factory takes are its settings. Their
annotations are the rules; their defaults stand in the yaml that names the factory, or in Python.
"""

import ast
import functools
import typing
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar, Union

from pydantic import ValidationError
from typing_extensions import is_typeddict

from attnlab.config.annotations import LIBRARIES, UNDERSTOOD, Unreadable, constant_of, rule_of
from attnlab.config.sources import Found, UnknownTarget, found_at, lookup, parsed
from attnlab.facts import Facts
from attnlab.metric import Metric

__all__ = ["UnknownTarget", "facts_of", "settings_of", "signature_of"]


class _Signature(NamedTuple):
    """What a factory asks for beside what it is handed."""

    rules: dict[str, Any]  # setting -> rule
    defaults: dict[str, Any]  # setting -> default in Python, where it is a constant
    optional: frozenset[str]  # settings that need not be given


def settings_of(target: str, handed: Sequence[str] = ()) -> dict[str, Any]:
    """Setting -> rule, for the function or class at a dotted path. Raises UnknownTarget."""
    return signature_of(target, tuple(handed)).rules


@functools.cache
def signature_of(target: str, handed: tuple[str, ...] = ()) -> _Signature:
    """The settings of the function or class at a dotted path, which is handed something by position.

    Raises UnknownTarget, in one sentence, for a path that leads nowhere and for settings that cannot be read.
    """
    module, _, name = target.rpartition(".")
    if not module or not all(part.isidentifier() for part in target.split(".")):
        raise UnknownTarget(f"{target!r} is no path of a function or class such as mine.explore.explore")
    parsed(module)  # says what is wrong with it
    found = lookup(module, name)
    if found is None or not isinstance(found.node, ast.ClassDef | ast.FunctionDef):
        raise UnknownTarget(f"{target} is not a function or class defined in {module}{_meant(module, name)}")
    function = found if isinstance(found.node, ast.FunctionDef) else _constructor_of(found)
    if function is None:
        return _refused_unless_handed(target, 0, handed) or _Signature({}, {}, frozenset())
    return _signature(target, function, isinstance(found.node, ast.ClassDef), handed)


def meaning_of(target: str) -> str:
    """The first paragraph of the docstring of the function or class at a dotted path; "" where it has none.
    Raises UnknownTarget."""
    module, _, name = target.rpartition(".")
    found = lookup(module, name)
    described = found is not None and isinstance(found.node, ast.ClassDef | ast.FunctionDef)
    doc = ast.get_docstring(found.node) if described else None  # pyright: ignore
    return " ".join((doc or "").partition("\n\n")[0].split())


_Stated = TypeVar("_Stated", Facts, Metric)


def facts_of(target: str) -> Facts | None:
    """What `@Facts(...)` says above the factory of a mechanism at a dotted path; None where there is none.
    Raises UnknownTarget, in one sentence, for facts that cannot be read or cannot be."""
    return stated_by(target, Facts)


@functools.cache
def stated_by(target: str, kind: type[_Stated]) -> _Stated | None:
    """The record of a kind that stands in constants above a function. Raises UnknownTarget."""
    module, _, name = target.rpartition(".")
    found = lookup(module, name)
    if found is None:
        return None
    for node in getattr(found.node, "decorator_list", []):
        if isinstance(node, ast.Call) and _is(found_at(node.func, found.module), kind):
            try:
                said = {str(word.arg): constant_of(word.value, found.module) for word in node.keywords}
                return kind(**said)
            except Unreadable as error:
                raise UnknownTarget(f"{target} states facts that are no constants, {error}") from None
            except ValidationError as error:
                told = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
                raise UnknownTarget(
                    f"{target} states facts that cannot be; {told.replace('Value error, ', '')}"
                ) from None
    return None


def _is(found: Found | None, kind: type) -> bool:
    name = getattr(found.node, "name", "") if found is not None else ""
    return found is not None and f"{found.module}.{name}" == f"{kind.__module__}.{kind.__name__}"


def _constructor_of(found: Found) -> Found | None:
    """The `__init__` of a class, or of the first of its bases that has one; None where none is read."""
    for cls in lineage(found):
        assert isinstance(cls.node, ast.ClassDef)
        for part in cls.node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                return Found(cls.module, part)
    return None


def lineage(found: Found) -> Iterator[Found]:
    """A class and the classes it is made from, those named first before those behind them."""
    seen: set[tuple[str, str]] = set()
    waiting = [found]
    while waiting:
        cls = waiting.pop(0)
        if not isinstance(cls.node, ast.ClassDef) or (cls.module, cls.node.name) in seen:
            continue
        seen.add((cls.module, cls.node.name))
        yield cls
        bases = [found_at(base, cls.module) for base in cls.node.bases]
        waiting = [base for base in bases if base is not None] + waiting


def _signature(target: str, found: Found, of_class: bool, handed: tuple[str, ...]) -> _Signature:
    assert isinstance(found.node, ast.FunctionDef)
    given = found.node.args
    positional = [*given.posonlyargs, *given.args][of_class:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    if given.vararg is None:
        _refused_unless_handed(target, len(positional), handed)
    settings = list(zip(positional, defaults[-len(positional) :], strict=True))[len(handed) :]
    settings = [(arg, default) for arg, default in settings if arg in given.args]
    settings += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    read = {arg.arg: _rule(target, arg, default, found.module) for arg, default in settings}
    known: dict[str, Any] = {}
    for arg, default in settings:
        try:
            known |= {arg.arg: constant_of(default, found.module)} if default is not None else {}
        except Unreadable:  # it is left to Python
            pass
    optional = frozenset(arg.arg for arg, default in settings if default is not None)
    return _Signature(read | _shared(target, given.kwarg, found.module), known, optional)


def _refused_unless_handed(target: str, taken: int, handed: Sequence[str]) -> None:
    if taken < len(handed):
        name = target.rpartition(".")[2]
        raise UnknownTarget(
            f"{target} is handed {' and '.join(handed)} by position, and takes {taken or 'nothing'}; "
            f"write {name}({', '.join(handed)}, *, ...)"
        )


def _rule(target: str, arg: ast.arg, default: ast.expr | None, module: str) -> Any:
    """The rule of a parameter; one without an annotation states none."""
    if arg.annotation is None:
        return Any
    try:
        rule = rule_of(arg.annotation, module)
    except Unreadable as error:
        if module.partition(".")[0] in LIBRARIES:
            return Any
        raise UnknownTarget(
            f"{target} has a rule that cannot be read, {arg.arg}: {error}; what is understood: {UNDERSTOOD}"
        ) from None
    if isinstance(default, ast.Constant) and default.value is None:
        return Union[rule, None]  # noqa: UP007 (rule may be None)
    return rule


def _shared(target: str, rest: ast.arg | None, module: str) -> dict[str, Any]:
    """What `**name: Unpack[...]` stands for, where it is a record."""
    if rest is None or rest.annotation is None or "Unpack" not in ast.dump(rest.annotation):
        return {}
    try:
        record = rule_of(rest.annotation, module)
    except Unreadable as error:
        raise UnknownTarget(f"{target} takes settings that cannot be read, {error}") from None
    if not is_typeddict(record):
        raise UnknownTarget(
            f"{target}: **{rest.arg} must be Unpack of a TypedDict such as attnlab.settings.Beta"
        )
    return typing.get_type_hints(record, include_extras=True)


def _meant(module: str, name: str) -> str:
    defined = [node.name for node in parsed(module).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    close = get_close_matches(name, defined, 1, 0.6)
    return f"; did you mean {module}.{close[0]}?" if close else ""
