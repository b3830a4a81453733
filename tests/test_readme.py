"""What the README says is executed: its commands, their output, its programs, its table and its picture."""

import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy
import pytest
from readme import README, ROOT, blocks, prepare, run, steps

from attnlab.config import choices, compose
from attnlab.tour.overview import overview

TEXT = README.read_text(encoding="utf-8")
SHARED = ROOT.parent / "shared"
PROGRAMS = [block for block in blocks("python") if not block.startswith("# ")]


def typed() -> list[str]:
    """Every command of a plain block, on one line."""
    lines = "".join(blocks("")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("python scripts/")]


def test_there_is_something_to_check():
    assert (
        len(typed()) >= 6 and len(blocks("console")) >= 5 and len(PROGRAMS) >= 2 and len(blocks("yaml")) == 1
    )


@pytest.mark.parametrize("command", [line for line in typed() if "train.py" in line])
def test_a_training_command_describes_a_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"=(\w+\.tsv)", command):
        (tmp_path / name).write_text("a b\tc d\tV;PST\n", encoding="utf-8")
    compose(shlex.split(command)[2:])


def test_every_script_that_is_named_exists_and_every_script_is_named():
    named = set(re.findall(r"scripts/(\w+\.py)", TEXT))
    assert named == {path.name for path in (ROOT / "scripts").glob("*.py")}


@pytest.mark.parametrize("group", ["score", "task", "model", "optimizer"])
def test_the_choices_of_a_group_are_all_listed(group: str):
    listed = re.search(rf"`{group}=`\s+\(([^)]*)\)", TEXT)
    assert listed and sorted(re.findall(r"`(\w+)`", listed[1])) == choices(group)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_as_it_stands(program: str):
    assert len(program.splitlines()) <= 16
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_mechanism_of_ones_own_takes_twenty_lines():
    (block,) = (block for block in blocks("python") if block.startswith("# mine/"))
    code = [
        line
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith(("#", '"""', "from"))
    ]
    assert len(code) <= 20


def test_the_picture_is_the_one_that_is_drawn_today():
    """Pixel by pixel but for a thousandth of the range, which fonts and versions may move."""
    kept = matplotlib.image.imread(ROOT / "docs" / "overview.png")
    drawn = matplotlib.image.imread(io.BytesIO(overview()))
    assert kept.shape == drawn.shape and numpy.abs(kept - drawn).mean() < 1e-3


NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?![\w.]*[a-z])")


def compare_outputs(written: str, made: str, exact: bool) -> None:
    """The same words; figures within what another processor's rounding may move. Times and hashes may
    differ."""
    for pattern in (r"\bin \d+ s\b", r"-[0-9a-f]{8}\b"):
        written, made = (re.sub(pattern, "~", text) for text in (written, made))
    for one, other in zip(written.splitlines(), made.splitlines(), strict=True):
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
def test_every_command_prints_what_the_readme_shows(tmp_path: Path):
    """In the order of the page, as a reader would type them."""
    prepare(tmp_path)
    for block in blocks("console"):
        for command, output in steps(block):
            compare_outputs(output, run(command, tmp_path), exact="compare.py" not in command)


@pytest.mark.slow
@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the plain program lies beside the project, where it is there at all"
)
def test_a_run_takes_about_as_long_as_a_plain_program(tmp_path: Path):
    """A ratio, side by side on one core, of processor time in training 600 steps; import and start are taken
    off both."""
    prepare(tmp_path)
    shutil.copy(SHARED / "reference" / "plain.py", tmp_path / "plain.py")
    ours = "python scripts/train.py model.hidden_size=64 optimizer.lr=0.003 fresh=true trainer.max_steps={}"
    theirs = "python plain.py reverse soft --steps {}"

    def seconds(command: str) -> float:
        spent = "import resource as r; u = r.getrusage(r.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime)"
        call = f"import subprocess; subprocess.run({shlex.split(command)!r}, stdout=-3, check=True); {spent}"
        return float(
            run(f"python -c {shlex.quote(call.replace(repr('python'), repr(sys.executable)))}", tmp_path)
        )

    ratios = []
    for _ in range(2):
        spent = [seconds(command.format(steps)) for command in (ours, theirs) for steps in (10, 610)]
        ratios.append((spent[1] - spent[0]) / (spent[3] - spent[2]))
    assert min(ratios) < 1.3
