"""Settings that name a class, by a word for what comes with attnlab or by the path of one's own.

Classes are looked up in the source, and nothing is imported.
"""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from attnlab.config.places import PACKAGE
from attnlab.config.signatures import UnknownTarget
from attnlab.config.sources import lookup, parsed
from attnlab.settings import CodeMark

Mark = TypeVar("Mark")


def mark_of(rule: Any, kind: type[Mark]) -> Mark | None:
    """The mark of a kind that a rule carries, alone or as one of several rules; None where it has none."""
    if isinstance(rule, kind):
        return rule
    return next((found for part in get_args(rule) if (found := mark_of(part, kind)) is not None), None)


def offered(mark: CodeMark) -> list[str]:
    """The words that name a class which comes with attnlab, by the files that are there."""
    folder = PACKAGE.parent.joinpath(*mark.package.split("."))
    return sorted(path.stem for path in folder.glob("[!_]*.py"))


def marked(rules: Mapping[str, Any]) -> dict[str, CodeMark]:
    """The settings that name a class."""
    return {key: mark for key, rule in rules.items() if (mark := mark_of(rule, CodeMark))}


def problem_of(name: str, mark: CodeMark) -> str:
    """What is wrong with the name of a class, a word of attnlab's or the path of one's own; "" where nothing
    is."""
    words = offered(mark)
    if "." not in name:
        close = get_close_matches(name, words, 1)
        meant = f"; did you mean {close[0]}?" if close else ""
        listed = f"{', '.join(words)}, or the path of a class of your own, mine.{words[0]}.{words[0].title()}"
        return "" if name in words else f"must be one of {listed}, got {name!r}{meant}"
    module, _, last = name.rpartition(".")
    try:
        parsed(module)
        found = lookup(module, last)
    except UnknownTarget as error:
        return str(error)
    is_class = found is not None and isinstance(found.node, ast.ClassDef)
    return "" if is_class else f"{name} is no class defined in {module}"
