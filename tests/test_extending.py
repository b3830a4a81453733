"""What docs/extending.md adds passes the contract tests by CONTRIBUTING.md alone: put into the tree, and from
a package of one's own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from readme import ROOT, blocks

IN_THE_TREE = "contract estimators properties steps nothing microscope docstrings help"
IN_A_PACKAGE = "contract estimators steps nothing schedules every_setting"


def files(names: str) -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for name in names.split()
        for path in ROOT.glob(f"tests/**/test_{name}.py")
    ]


def written(page: str, folder: Path) -> None:
    """The files that a page writes out, in a folder."""
    for kind in ("python", "yaml"):
        for block in blocks(kind, ROOT / page):
            if name := re.match(r"# (\S+)\n", block):
                (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
                (folder / name[1]).write_text(block, encoding="utf-8")


def held(folder: Path, tests: list[str], *options: str) -> str:
    """What pytest says of everything that is called explore."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "explore", *options]
    known = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [*command, *tests], cwd=folder, env=known, capture_output=True, text=True, check=False
    )
    return done.stdout


def summary(said: str) -> dict[str, int]:
    """How many passed, failed and were skipped."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", said.splitlines()[-1])}


@pytest.mark.slow
def test_the_mechanism_of_the_page_passes_in_the_tree(tmp_path: Path) -> None:
    for name in ("attnlab", "configs", "docs", "scripts", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        shutil.copy(path, tmp_path)
    written("docs/extending.md", tmp_path)
    written("CONTRIBUTING.md", tmp_path)
    shutil.move(tmp_path / "mine" / "explore.py", tmp_path / "attnlab" / "mechanisms" / "explore.py")
    settings = (tmp_path / "mine" / "configs" / "attention" / "explore.yaml").read_text(encoding="utf-8")
    (tmp_path / "configs" / "attention" / "explore.yaml").write_text(
        settings.replace("mine.explore", "attnlab.mechanisms.explore"), encoding="utf-8"
    )
    wanting = summary(held(tmp_path, ["tests/core/test_estimators.py"]))
    assert wanting["failed"] == 1 and wanting["skipped"] > 30  # one sentence asks for the distribution
    said = held(tmp_path, files(IN_THE_TREE), "--definitions", "mine/definitions.py")
    found = summary(said)
    assert found.get("passed", 0) > 100 and not {"failed", "skipped", "error", "errors"} & set(found), said


@pytest.mark.slow
def test_the_mechanism_of_the_page_passes_in_a_package_of_ones_own(tmp_path: Path) -> None:
    written("docs/extending.md", tmp_path)
    written("CONTRIBUTING.md", tmp_path)
    tests = [str(ROOT / name) for name in files(IN_A_PACKAGE)]
    said = held(tmp_path, tests, "--config-dir=mine/configs", "--definitions=mine/definitions.py")
    found = summary(said)
    assert found.get("passed", 0) > 70 and not {"failed", "skipped", "error", "errors"} & set(found), said
