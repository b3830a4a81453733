"""The settings of a factory, read from its source without importing it (and so without importing torch).

What a factory asks for by keyword only (behind the `*`) are its settings; what stands before is handed in by
the program. The annotations are the rules; the defaults stand in the yaml file that names the factory.
"""

import ast
import builtins
import functools
import typing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attnlab import rules


class UnknownTarget(ValueError):
    """A `_target_` that names no function or class."""


class _Names(dict[str, Any]):
    """Names an annotation may use; those of heavy libraries stand for anything."""

    def __missing__(self, name: str) -> Any:
        return Any


_NAMES = _Names({**vars(builtins), **vars(typing), **vars(rules), "rules": rules, "typing": typing})


@functools.cache
def settings_of(target: str) -> dict[str, Any]:
    """Keyword-only parameters of the function or class at a dotted path, each with its annotation."""
    module, _, name = target.rpartition(".")
    tree = ast.parse(_source_of(module, target).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            function = _constructor(node) if isinstance(node, ast.ClassDef) else node
            return _settings(function) if function else {}
    raise UnknownTarget(f"_target_: {target} is not a function or class defined in {module}")


def _source_of(module: str, target: str) -> Path:
    """The file of a module. Only its top package is looked up by the import system, and none is imported."""
    top, *rest = module.split(".")
    spec = find_spec(top) if top else None
    if spec is not None:
        folders = spec.submodule_search_locations or []  # also of a package without __init__.py
        files = (
            [Path(folder).joinpath(*rest) for folder in folders]
            if rest
            else [Path(spec.origin)]
            if spec.origin
            else []
        )
        for file in files:
            for candidate in (file, file.with_suffix(".py"), file / "__init__.py"):
                if candidate.is_file():
                    return candidate
    raise UnknownTarget(f"_target_: {target} lies in no module that Python finds")


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    functions = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return next((function for function in functions if function.name == "__init__"), None)


def _settings(function: ast.FunctionDef) -> dict[str, Any]:
    """Keyword-only parameters, and what `**name: Unpack[...]` stands for where it is a record of `rules`."""
    rest = function.args.kwarg
    record = next(iter(typing.get_args(_annotation(rest.annotation))), None) if rest else None
    if rest and rest.annotation and "Unpack" in ast.dump(rest.annotation) and not typing.is_typeddict(record):
        told = f"**{rest.arg} of {function.name} must be Unpack of a record of attnlab.rules, such as Beta"
        raise UnknownTarget(f"_target_: {told}")
    shared = typing.get_type_hints(record, include_extras=True) if record else {}
    return {arg.arg: _annotation(arg.annotation) for arg in function.args.kwonlyargs} | shared


def _annotation(node: ast.expr | None) -> Any:
    """The rule an annotation states; a quoted one, or one that cannot be read, states none."""
    if node is None or isinstance(node, ast.Constant) and isinstance(node.value, str):
        return Any
    try:
        return eval(compile(ast.Expression(node), "<annotation>", "eval"), {}, _NAMES)
    except (TypeError, AttributeError):
        return Any
