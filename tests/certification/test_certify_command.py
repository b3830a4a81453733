"""The command: wrong input is refused in a sentence, and the page of certificates is what it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import compare_outputs

from attnlab.certification import page
from attnlab.cli.certify import certify
from attnlab.config.composing import choices

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "certificates.md").read_text(encoding="utf-8")
FAST = ("score_function", "loss_with_its_gradient", "k1", "k2", "k3", "dense_forward", "top_two")

MODULE = """
import torch

def right(scores, draw):
    position = draw(scores.softmax(-1))
    return draw.loss(position).detach() * scores.log_softmax(-1)[position]

def wrong(scores, draw):
    return -right(scores, draw)

def raises(scores, draw):
    return scores[99]

def nonsense(scores, draw):
    return "nonsense"

def other(first, second):
    return first

number = 3

class Kept:
    def __call__(self, scores, draw):
        return right(scores, draw)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a module of a person's own, under a name that no other test imports."""
    (tmp_path / "their_estimators.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "their_broken.py").write_text("import nothing_of_that_name", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("their_estimators", "their_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["their_estimator:right"], "names no module that is found in"),
        (["their.estimators:right"], "names no module that is found in"),
        (["their_estimators"], "is named MODULE:FUNCTION"),
        (["their_estimators:rigth"], "did you mean right?"),
        (["their_estimators:number"], "must be a function, got 3"),
        (["their_broken:right"], "No module named 'nothing_of_that_name'"),
        (["their_estimators:other"], "known by the name of the first parameter"),
        (["their_estimators:raises"], "their_estimators.py, line 12"),
        (["their_estimators:nonsense"], "a tensor of one number, got 'nonsense'"),
        (["their_estimators:right", "--objective", "best"], "the objective is one of"),
        (["their_estimators:right", "--require", "sound"], "got 'sound'"),
        (["their_estimators:right", "--seed", "-1"], "--seed must be at least 0"),
        (["their_estimators:right", "--markdown"], "takes none"),
        (["their_estimators:right", "--reach", "later"], "--reach goes with mechanisms alone"),
        (["attention=soft", "--reach", "latr"], "--reach takes one of step, later, all, got 'latr'"),
        (["--json"], "go with an estimator"),
        (["attention=sotf"], "did you mean soft?"),
        (["model=gru"], "no setting of attention"),
    ],
)
def test_wrong_input_is_refused_in_a_message_with_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(arguments, "words") == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and "Traceback" not in told.err
    assert said in " ".join(told.err.split())


@pytest.mark.parametrize("target", ["nowhere.at_all:f", "their_estimators"])
def test_a_module_that_is_not_there_is_refused_without_torch(target: str, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from attnlab.cli.certify import certify; sys.exit(certify"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}([{target!r}], ''))"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: "), done.stderr


def test_a_verdict_that_is_required_decides_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    both = ["their_estimators:Kept", "their_estimators:wrong"]
    assert certify(both, "words") == 0
    assert certify([*both, "--require", "exact", "--require", "scaled"], "words") == 0
    told = capsys.readouterr().out
    assert "verdict   exact" in told and "verdict   scaled by -1" in told
    assert certify([*both, "--require", "exact"], "words") == 1
    assert "their_estimators:wrong: exact was required" in capsys.readouterr().err


def test_the_page_is_what_the_command_prints_for_some() -> None:
    jobs = [job for job in page.published_jobs() if job[0] in FAST]
    assert len(jobs) == len(FAST)
    for line in "\n".join(page.lines(jobs)).splitlines():
        (written,) = [other for other in PAGE.splitlines() if other.split(" | ")[0] == line.split(" | ")[0]][
            :1
        ]
        compare_outputs(written, line, True)


def test_every_estimator_that_is_known_has_its_line() -> None:
    known = {*(name for name, *_ in page.published_jobs()), *choices("attention")}
    assert set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE)) == known


@pytest.mark.slow
def test_the_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(["--markdown"], "words") == 0
    compare_outputs(PAGE, capsys.readouterr().out, True)
