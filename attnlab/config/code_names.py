"""Settings that name code, by a word for what comes with attnlab or by the path of one's own.

It is looked up in the source, and nothing is imported.
"""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from attnlab.config.places import PACKAGE
from attnlab.config.signatures import UnknownTarget, stated_by
from attnlab.config.sources import lookup, parsed
from attnlab.metric import Metric
from attnlab.settings import CodeMark

Mark = TypeVar("Mark")


def mark_of(rule: Any, kind: type[Mark]) -> Mark | None:
    """The mark of a kind that a rule carries, alone or as one of several rules; None where it has none."""
    if isinstance(rule, kind):
        return rule
    return next((found for part in get_args(rule) if (found := mark_of(part, kind)) is not None), None)


def offered(mark: CodeMark) -> list[str]:
    """The words that name what comes with attnlab, by the files that are there."""
    folder = PACKAGE.parent.joinpath(*mark.package.split("."))
    return sorted(path.stem for path in folder.glob("[!_]*.py")) if mark.package else []


def marked(rules: Mapping[str, Any]) -> dict[str, CodeMark]:
    """The settings that name code."""
    return {key: mark for key, rule in rules.items() if (mark := mark_of(rule, CodeMark))}


def named_in(value: Any) -> list[str]:
    """The names in a setting that names code, or several."""
    return [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]


def problem_of(name: str, mark: CodeMark) -> str:
    """What is wrong with the name of a class or function, a word of attnlab's or the path of one's own; ""
    where nothing is."""
    words, kind = offered(mark), ast.ClassDef if mark.kind == "class" else ast.FunctionDef
    if "." not in name and name not in words:
        close = get_close_matches(name, words, 1)
        meant = f"; did you mean {close[0]}?" if close else ""
        own = f"the path of a {mark.kind} of your own, package.module.name"
        rule = f"one of {', '.join(words)}, or {own}" if words else own
        return f"must be {rule}, got {name!r}{meant}"
    if "." not in name:
        return ""
    module, _, last = name.rpartition(".")
    try:
        parsed(module)
        found = lookup(module, last)
    except UnknownTarget as error:
        return str(error)
    if found is None or not isinstance(found.node, kind):
        return f"{name} is no {mark.kind} defined in {module}"
    try:
        stated = mark.kind == "class" or stated_by(name, Metric)
    except UnknownTarget as error:
        return str(error)
    return "" if stated else f"{name} states nothing; above it stands @Metric(better=..., unit=...)"
