"""By which source a run is made: digests of the package, and of everything of one's own behind its choices.

Nothing here imports torch, or any module that it reads.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

from attnlab.config.checking import own_code
from attnlab.config.sources import file_of

PACKAGE = __name__.partition(".")[0]
_INSTALLED = {"site-packages", "dist-packages"}
LISTED = 4  # files that a sentence names

Code = Mapping[str, str]
"""Digests of source files, by their paths from the folder that is imported from: mine/explore.py."""


def code_of(tree: Mapping[str, Any]) -> dict[str, str]:
    """What lies on disk behind a configuration: all of attnlab; all of each package or module of one's own
    that a `_target_` or a setting names, and of those that these import; of an installed package the module
    named."""
    return {name: _digest(path.read_bytes()) for name, path in _files(tree).items()}


def loaded_code_of(tree: Mapping[str, Any]) -> dict[str, str]:
    """The same as this process runs it, once the objects of the configuration are made: a file that is edited
    later is known by what it was when it was first asked for."""
    return {name: _when_loaded(name, path) for name, path in _files(tree).items()}


def differing(one: Code, other: Code) -> list[str]:
    """The files that are not the same, of the packages that both have."""
    shared = {_top(name) for name in one} & {_top(name) for name in other}
    return sorted(
        name for name in {*one, *other} if _top(name) in shared and one.get(name) != other.get(name)
    )


def unequal(codes: Sequence[Code]) -> list[str]:
    """The files that are not the same in all of these."""
    distinct = {tuple(sorted(code.items())): code for code in codes}
    return sorted({name for pair in combinations(distinct.values(), 2) for name in differing(*pair)})


def gone_on(before: Code, now: Code) -> dict[str, str]:
    """The code of a run that was begun with some code and goes on with other: a file that changed has both
    digests, and equals neither."""
    changed = {
        name for name in differing(before, now) if before.get(name, "").split("+")[-1] != now.get(name)
    }
    both = {name: f"{before.get(name, 'none')}+{now.get(name, 'none')}" for name in changed}
    return dict(now) | {name: before[name] for name in before if name in now} | both


def listed(names: Sequence[str]) -> str:
    """Some names and how many more: "a.py, b.py"."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _files(tree: Mapping[str, Any]) -> dict[str, Path]:
    named = [*_targets(tree), *own_code(tree).values()]
    modules = [path.rpartition(".")[0] for path in named]
    found, seen = dict(_own_files(PACKAGE)), {PACKAGE}
    waiting = [module.partition(".")[0] for module in modules]
    while waiting:
        top = waiting.pop()
        if top and top not in seen and top not in sys.stdlib_module_names:
            seen.add(top)
            for name, path in _own_files(top):
                found[name] = path
                waiting += _imported(path.read_bytes())
    for module in modules:
        path = file_of(module)
        if path is not None and _top(f"{module.replace('.', '/')}.py") not in map(_top, found):
            above = path.parents[module.count(".") + (path.name == "__init__.py")]
            found[path.relative_to(above).as_posix()] = path
    return found


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _targets(part)


def _own_files(top: str) -> Iterator[tuple[str, Path]]:
    """The Python files of a package or module; none where it is installed or not found."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    folders = list(spec.submodule_search_locations or []) if spec else []
    places = [Path(place) for place in (folders or ([spec.origin] if spec and spec.origin else []))]
    for place in places:
        if top != PACKAGE and _INSTALLED & set(place.parts):
            continue
        if place.suffix == ".py" and not folders:
            yield place.name, place
        for folder, below, files in os.walk(place) if folders else ():
            below[:] = sorted(
                name for name in below if not name.startswith((".", "__")) and name not in _INSTALLED
            )
            for file in sorted(files):
                if file.endswith(".py") and (path := Path(folder, file)).is_file():
                    yield path.relative_to(place.parent).as_posix(), path


@cache
def _imported(source: bytes) -> list[str]:
    """The top packages that a module imports, wherever in it."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return [name.partition(".")[0] for name in names]


_SEEN: dict[Path, tuple[ModuleType, str]] = {}


def _when_loaded(name: str, path: Path) -> str:
    parts = name.removesuffix(".py").split("/")
    module = sys.modules.get(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    if module is None:
        return _digest(path.read_bytes())
    if path not in _SEEN or _SEEN[path][0] is not module:  # imported since
        _SEEN[path] = module, _digest(path.read_bytes())
    return _SEEN[path][1]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _top(name: str) -> str:
    return name.partition("/")[0]
