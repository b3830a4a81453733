"""Choices by name, as runs store them: where a module lies is no part of what was chosen.

A name is that of the factory, which is that of the file for everything that comes with attnlab. Where a
choice of a person's own lies is kept beside, and is no part of a run's identity either.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from attnlab.config.checking import own_code
from attnlab.config.places import CONFIGS

TARGET, CHOICE = "_target_", "_choice_"
_TARGETS = re.compile(rf"""^\s*{TARGET}:\s*["']?([\w.]+)""", re.MULTILINE)


def _name_of(target: str) -> str:
    """The name of a choice, whose factory is found under a dotted path."""
    return target.rpartition(".")[2]


def named(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the name of each choice in the place of the path of its factory, and that of each
    class or function in the place of its path."""
    paths = own_code(tree)

    def short(key: str, value: Any) -> Any:
        is_own = isinstance(value, str) and paths.get(f"{key}.{_name_of(value)}") == value
        return _name_of(value) if is_own else value

    def look(path: str, key: str, value: Any) -> tuple[str, Any]:
        return (CHOICE, _name_of(value)) if key == TARGET else (key, _each(short, f"{path}.{key}", value))

    return _mapped(tree, look)


def own(tree: Mapping[str, Any]) -> dict[str, str]:
    """Where the factories lie that are not attnlab's own, by the dotted key of the choice; and the code
    that settings name."""
    found = own_code(tree)

    def look(path: str, key: str, value: Any) -> tuple[str, Any]:
        if key == TARGET and ours(path).get(_name_of(value)) != value:
            found[path] = value
        return key, value

    _mapped(tree, look)
    return found


def resolved(tree: Mapping[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """A stored configuration with the path of each factory, as attnlab's modules lie today.

    where: the paths of those that are not attnlab's, as `own` gave them. A configuration that was stored with
    paths is read too. Raises ValueError for a choice that is found nowhere.
    """

    def look(path: str, key: str, value: Any) -> tuple[str, Any]:
        if key == TARGET and isinstance(value, str):  # stored by an earlier version
            moved = value.startswith("attnlab.") and ours(path).get(_name_of(value))
            return key, moved or value
        if key != CHOICE:
            return key, _each(lambda at, name: where.get(f"{at}.{name}", name), f"{path}.{key}", value)
        target = where.get(path) or ours(path).get(str(value))
        if target is None or _name_of(target) != value:
            lies = f"sources.json has it at {where[path]}" if path in where else "where it lies is not known"
            raise ValueError(f"{path} is {value!r}, which attnlab does not offer there, and {lies}")
        return TARGET, target

    return _mapped(tree, look)


@functools.cache
def ours(path: str) -> dict[str, str]:
    """Name -> path of its factory, for what attnlab offers in a group: that of the dotted key of a choice."""
    texts = (file.read_text(encoding="utf-8") for file in (CONFIGS / path.partition(".")[0]).glob("*.yaml"))
    return {_name_of(target): target for text in texts for target in _TARGETS.findall(text)}


def _each(change: Callable[[str, Any], Any], key: str, value: Any) -> Any:
    """A value, or each of a list, changed, given the dotted key that it stands under."""
    key = key.lstrip(".")
    return [change(key, part) for part in value] if isinstance(value, list) else change(key, value)


def _mapped(
    node: Mapping[str, Any], change: Callable[[str, str, Any], tuple[str, Any]], path: str = ""
) -> dict[str, Any]:
    """A nested mapping with every entry changed, given the dotted key of what it stands in."""
    made = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            made[key] = _mapped(value, change, f"{path}.{key}" if path else key)
        else:
            other, content = change(path, key, value)
            made[other] = content
    return made
