"""Each floor of the house imports only from floors below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {"", "facts", "metric", "settings", "text", "files", "colours"},
    {"shell", "progress", "interruption", "startup"},
    {"rows"},
    {"coordinates"},
    {"functional"},
    {"randomness"},
    {"config"},
    {"core"},
    {"mechanisms"},
    {"tasks"},
    {"models"},
    {"training"},
    {"building"},
    {"api"},
    {"microscope"},
    {"certification"},
    {"runs"},
    {"comparison"},
    {"benchmarking"},
    {"tour"},
    {"cli"},
    {"__main__"},
]
MODULES = sorted((ROOT / "attnlab").rglob("*.py"))


def floor_of(part: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if part in floor)


def imported(path: Path) -> set[str]:
    """The parts of attnlab that a module imports at its top; imports inside functions are late on purpose."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "attnlab":
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    inside = path.relative_to(ROOT / "attnlab").with_suffix("").parts
    part = "" if inside == ("__init__",) else inside[0]
    for other in imported(path):
        assert other == part or floor_of(other) < floor_of(part) or {other, part} in FLOORS, (
            f"{part} imports {other}"
        )


@pytest.mark.parametrize(
    "module",
    [
        "attnlab",
        "attnlab.config.checking",
        "attnlab.config.composing",
        "attnlab.runs.folders",
        "attnlab.cli.train",
        "attnlab.runs.sweeps",
    ],
)
def test_configurations_are_checked_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
