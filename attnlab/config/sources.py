"""Python source found and read without importing it: which file a module is, and what a name in it means.

Only a top package is looked up by the import system, and none is imported: no code runs.
"""

import ast
import functools
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class UnknownTarget(ValueError):
    """A `_target_` that names no function or class whose settings can be read."""


class Found(NamedTuple):
    """What a name stands for, and the module that says so; `node` is None where it is a module itself."""

    module: str
    node: ast.AST | None


class Passed(NamedTuple):
    """A name that a module has from another one; `name` is "" where it is that module."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}".rstrip(".")


FILES: dict[str, Path] = {}
"""What was found once."""


def file_of(module: str) -> Path | None:
    """The source file of a module; None where Python finds none."""
    if module not in FILES and (file := _search(module)) is not None:
        FILES[module] = file
    return FILES.get(module)


def _search(module: str) -> Path | None:
    top, *rest = module.split(".")
    try:
        spec = find_spec(top) if top else None
    except (ImportError, ValueError):  # a module without a spec, such as __main__
        return None
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    places = [folder.joinpath(*rest) for folder in folders]  # also of a package without __init__.py
    if not folders and not rest and spec.origin:
        places = [Path(spec.origin)]
    files = (
        file for place in places for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")
    )
    found = (
        file for file in (*files, *(place for place in places if place.suffix == ".py")) if file.is_file()
    )
    return next(found, None)


@functools.cache
def parsed(module: str) -> ast.Module:
    """The syntax tree of a module. Raises UnknownTarget where it is not found or is no Python."""
    file = file_of(module)
    if file is None:
        raise UnknownTarget(_not_found(module))
    try:
        return ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise UnknownTarget(f"{file}, line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnknownTarget(f"{file} cannot be read as Python: {error}") from None


def _not_found(module: str) -> str:
    parents = [module.rsplit(".", cut)[0] for cut in range(1, module.count(".") + 1)]
    package = next((parent for parent in parents if file_of(parent)), "")
    if package:
        return f"{module} is no module of {package}, which is {file_of(package)}"
    return (
        f"{module} lies in no module that Python finds; put the folder above it on PYTHONPATH: "
        "PYTHONPATH=. python ..."
    )


def lookup(module: str, name: str) -> Found | None:
    """What a name of a module stands for, through all modules that pass it on; None where nothing says."""
    seen: set[Passed] = set()
    waiting = [Passed(module, name)]
    while waiting:
        asked = waiting.pop()
        if asked in seen or len(seen) > 1000:
            continue
        seen.add(asked)
        if not asked.name:
            return Found(asked.module, None)
        names, passed_whole = _names(asked.module) if file_of(asked.module) else ({}, [])
        found = names.get(asked.name)
        if isinstance(found, Passed):
            waiting.append(found)
        elif isinstance(found, ast.Name):  # another name for something of the same module
            waiting.append(Passed(asked.module, found.id))
        elif found is not None:
            return Found(asked.module, found)
        else:
            waiting += [Passed(other, asked.name) for other in passed_whole]
            if file_of(below := f"{asked.module}.{asked.name}"):
                waiting.insert(0, Passed(below, ""))
    return None


def found_at(node: ast.expr, module: str) -> Found | None:
    """What a name, or a path of names, that is written in a module stands for; None where nothing says."""
    if isinstance(node, ast.Name):
        return lookup(module, node.id)
    if isinstance(node, ast.Attribute):
        above = found_at(node.value, module)
        return lookup(above.module, node.attr) if above is not None and above.node is None else None
    return None


def origin(module: str, name: str) -> Passed | None:
    """Where a module has a name from, one step back; None for a name of its own or of nobody's."""
    found = _names(module)[0].get(name)
    return found if isinstance(found, Passed) else None


def binds(module: str, name: str) -> bool:
    """Whether a module binds a name at its top."""
    return name in _names(module)[0]


@functools.cache
def _names(module: str) -> tuple[dict[str, ast.AST | Passed], list[str]]:
    """Every name that a module binds at its top, and the modules whose names it takes over whole."""
    found: dict[str, ast.AST | Passed] = {}
    whole: list[str] = []
    for name, meaning in _bindings(parsed(module).body, _package(module)):
        if name == "*" and isinstance(meaning, Passed):
            whole.insert(0, meaning.module)
        else:
            found[name] = meaning
    return found, whole


def _package(module: str) -> str:
    """The package that relative imports of a module start from."""
    file = file_of(module)
    return module if file is not None and file.name == "__init__.py" else module.rpartition(".")[0]


def _bindings(body: Sequence[ast.stmt], package: str) -> Iterator[tuple[str, ast.AST | Passed]]:
    """Names in the order in which they are bound, the last of a name counting; what stands in an `except` or
    `else` comes first, so that the main way counts."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            for handler in getattr(node, "handlers", []):
                yield from _bindings(handler.body, package)
            yield from _bindings(getattr(node, "orelse", []), package)
            yield from _bindings(node.body, package)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            yield from ((name, node.value) for name in names if node.value is not None)
        elif type(node).__name__ == "TypeAlias":  # type Share = ..., from Python 3.12 on
            yield node.name.id, node.value  # pyright: ignore[reportAttributeAccessIssue]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, Passed(alias.name, "")) if alias.asname else (top, Passed(top, ""))
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: package.count(".") + 2 - node.level]) if node.level else ""
            source = ".".join(filter(None, (above, node.module)))
            for alias in node.names:
                yield alias.asname or alias.name, Passed(source, alias.name)
