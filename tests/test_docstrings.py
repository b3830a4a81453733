"""Everything public says what it is: modules, classes, functions and methods, read from the source."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "attnlab").rglob("*.py"))
Documented = ast.Module | ast.ClassDef | ast.FunctionDef


def public(node: Documented, name: str = "") -> Iterator[tuple[str, Documented]]:
    """A module, and whatever is public in it, by its name within the module."""
    yield name, node
    for child in node.body if not isinstance(node, ast.FunctionDef) else []:
        if isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
            yield from public(child, f"{name}.{child.name}".lstrip("."))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def stands_for_another(path: Path, name: str) -> bool:
    """Whether a method of a class overrides one of a base class, whose documentation it then has."""
    owner, _, method = name.rpartition(".")
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return bool(owner) and any(hasattr(base, method) for base in getattr(module, owner).__bases__)


def raises_value_error(function: ast.FunctionDef) -> bool:
    """Whether there is `raise ValueError(...)` in its body, functions inside it aside."""
    waiting: list[ast.AST] = [*function.body]
    while waiting:
        node = waiting.pop()
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and ast.unparse(node.exc.func) == "ValueError"
        ):
            return True
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.FunctionDef)]
    return False


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_public_has_a_docstring_that_begins_with_a_sentence(path: Path) -> None:
    wanting = []
    for name, node in public(parsed(path)):
        first = (ast.get_docstring(node) or "").partition("\n\n")[0]
        if not first.endswith((".", "?", "!", ":")) and (first or not stands_for_another(path, name)):
            wanting.append(f"{name or 'the module'}: {first or 'no docstring'}")
    assert wanting == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_that_refuses_a_value_says_so(path: Path) -> None:
    functions = [(name, node) for name, node in public(parsed(path)) if isinstance(node, ast.FunctionDef)]
    refusing = [(name, ast.get_docstring(node) or "") for name, node in functions if raises_value_error(node)]
    assert [name for name, docstring in refusing if "raises" not in docstring.lower()] == []


def test_a_missing_docstring_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "def f(x):\n    if x:\n        raise ValueError('no')\n", encoding="utf-8"
    )
    tree = parsed(tmp_path / "module.py")
    assert [(name, ast.get_docstring(node)) for name, node in public(tree)] == [("", None), ("f", None)]
    assert isinstance(tree.body[0], ast.FunctionDef) and raises_value_error(tree.body[0])
