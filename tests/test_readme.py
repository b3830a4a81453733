"""What the README says is executed: its commands, their output, its programs, its table and its picture."""

import io
import re
import shlex
from pathlib import Path

import matplotlib.image
import numpy
import pytest
from board import photograph
from browser import CHROMIUM
from readme import PAGES, README, ROOT, blocks, typed

from attnlab.config.combinations import expanded
from attnlab.config.composing import choices, compose
from attnlab.tour.overview import overview

TEXT = README.read_text(encoding="utf-8")
PROGRAMS = [block for page in PAGES for block in blocks("python", page) if not block.startswith("# ")]
LINKED = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def plain(page: Path) -> list[str]:
    """Every command of a page's plain blocks, on one line."""
    lines = "".join(blocks("", page)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("python scripts/")]


COMMANDS = [line for page in PAGES for line in plain(page)]


def test_there_is_something_to_check():
    shown = [block for page in PAGES for block in blocks("console", page)]
    assert len(COMMANDS) >= 6 and len(shown) >= 5 and len(PROGRAMS) >= 2


def test_the_readme_is_read_in_one_sitting():
    assert len(TEXT.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path):
    for target in LINKED.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / target).resolve() for target in LINKED.findall(TEXT)}
    assert {page.resolve() for page in PAGES if page != README} <= linked


@pytest.mark.parametrize("command", [line for line in COMMANDS if "train.py" in line])
def test_a_training_command_describes_a_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"=(\w+\.tsv)", command):
        (tmp_path / name).write_text("a b\tc d\tV;PST\n", encoding="utf-8")
    arguments = shlex.split(command)[2:]
    if "-m" in arguments:
        assert len(expanded([argument for argument in arguments if argument != "-m"])) > 1
    else:
        compose(arguments)


def test_every_script_that_is_named_exists_and_every_script_is_named():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"scripts/(\w+\.py)", text))
    assert named == {path.name for path in (ROOT / "scripts").glob("*.py")}


@pytest.mark.parametrize("group", ["score", "task", "model", "optimizer"])
def test_the_choices_of_a_group_are_all_listed(group: str):
    listed = re.search(rf"^\| `{group}=` \| (.*) \|$", TEXT, re.MULTILINE)
    assert listed and sorted(re.findall(r"`(\w+)`", listed[1])) == choices(group)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_as_it_stands(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In this process, where torch is loaded already; warnings are errors here too."""
    assert len(program.splitlines()) <= 16
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})


def test_a_mechanism_of_ones_own_takes_twenty_lines():
    (block,) = (
        block
        for block in blocks("python", ROOT / "docs" / "extending.md")
        if block.startswith("# mine/explore.py")
    )
    code = [
        line
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith(("#", '"""', "from"))
    ]
    assert len(code) <= 20


def test_the_picture_is_the_one_that_is_drawn_today():
    """Pixel by pixel but for a thousandth of the range, which fonts and versions may move."""
    assert difference(ROOT / "docs" / "overview.png", io.BytesIO(overview())) < 1e-3


def difference(one: Path, other: Path | io.BytesIO) -> float:
    """The mean difference of two pictures of one size, pixel by pixel, in shares of the range."""
    first, second = matplotlib.image.imread(one), matplotlib.image.imread(other)
    assert first.shape == second.shape
    return float(numpy.abs(first - second).mean())


NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?![\w.]*[a-z])")


def compare_outputs(written: str, made: str, exact: bool) -> None:
    """The same words; figures within what another processor's rounding may move. Times and hashes may
    differ."""
    for pattern in (r"\bin \d+ s\b", r"-[0-9a-f]{8}\b"):
        written, made = (re.sub(pattern, "~", text) for text in (written, made))
    clock = "warning: unequal work: seconds"  # by the clock of a machine that may do other things
    one_text, other_text = (
        [line for line in text.splitlines() if not line.startswith(clock)] for text in (written, made)
    )
    for one, other in zip(one_text, other_text, strict=True):
        assert re.sub(r"[\s-]+", " ", NUMBER.sub("#", one)) == re.sub(r"[\s-]+", " ", NUMBER.sub("#", other))
        for x, y in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True):
            assert not exact or float(x.replace(",", "")) == pytest.approx(
                float(y.replace(",", "")), abs=0.05, rel=0.1
            )


def test_a_figure_that_is_off_is_noticed():
    compare_outputs("done in 5 s\nnll  0.10", "done in 6 s\nnll  0.11", True)
    for wrong in ("done in 5 s\nnll  0.30", "done in 5 s\nnil  0.10"):
        with pytest.raises(AssertionError):
            compare_outputs("done in 5 s\nnll  0.10", wrong, True)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_prints_what_its_page_shows(page: Path, tmp_path: Path):
    """In the order of the page, as a reader would type them; and the README's pictures are of today."""
    for command, output, printed in typed(page, tmp_path):
        compare_outputs(output, printed, exact="compare.py" not in command)
    if page == README:
        (drawn,) = tmp_path.glob("comparison/*/beta.png")
        assert difference(ROOT / "docs" / "beta.png", drawn) < 0.02
        if CHROMIUM is not None:
            photograph(tmp_path / "runs" / "reverse" / "soft", tmp_path / "tensorboard.png")
            assert difference(ROOT / "docs" / "tensorboard.png", tmp_path / "tensorboard.png") < 0.04
