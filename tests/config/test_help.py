"""First contact: the pages of --help, completion at the Tab key, and messages that fit a narrow terminal."""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from enumeration import choose, file_of, names
from hydra import compose as hydra_compose

from attnlab.cli.evaluate import evaluate
from attnlab.cli.pages import table
from attnlab.cli.train import train
from attnlab.config.checking import GROUPS
from attnlab.config.checking import ROOT as ROOT_KEYS
from attnlab.config.choice_files import keys_of, settings_in
from attnlab.config.composing import compose, hydra_at, plain
from attnlab.config.engine import search_path
from attnlab.config.help import choices, help_page
from attnlab.config.places import CONFIGS
from attnlab.runs.sweeps import plan

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
WITHOUT_TORCH = (
    "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv[0], run_name='__main__')"
)
CHOICES = [f"{group}={choice}" for group in GROUPS for choice in names(group)]


def call(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a script says, where torch cannot be imported."""
    program = f"import sys; sys.argv = ['scripts/{script}.py', *sys.argv[1:]]; {WITHOUT_TORCH}"
    command = [sys.executable, "-c", program, *arguments]
    known = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False)


def wide(text: str) -> list[str]:
    """Lines of more than 80 columns that could have been shorter: neither one long word nor a command to
    paste, which names the interpreter and is never broken."""
    lines = [line for line in text.splitlines() if "about another: " not in line]
    return [line for line in lines if len(line) > 80 and len(line.split()) > 1]


@pytest.mark.parametrize(("script", "columns"), [*((script, "200") for script in SCRIPTS), ("train", "80")])
def test_help_needs_no_torch_and_no_more_than_80_columns(script: str, columns: str) -> None:
    done = call(script, "--help", COLUMNS=columns)
    assert done.returncode == 0 and done.stderr == ""
    assert wide(done.stdout) == []
    assert len(re.findall(rf"^  python scripts/{script}\.py\b.*", done.stdout, re.MULTILINE)) in (3, 4, 5)


def fastest(action: Callable[[], object]) -> float:
    """The shortest of three times: the machine may be busy with something else."""
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        action()
        seconds.append(time.monotonic() - started)
    return min(seconds)


@functools.cache
def starting_torch() -> float:
    """What a command would take that imports torch."""
    return fastest(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))


@pytest.mark.parametrize(
    "script", [pytest.param(name, marks=[] if name == "train" else pytest.mark.slow) for name in SCRIPTS]
)
def test_help_comes_in_less_time_than_torch_takes_to_start(script: str) -> None:
    assert fastest(lambda: call(script, "--help")) < 0.8 * starting_torch()


def test_help_names_every_group_every_choice_and_every_key() -> None:
    page = help_page("words")
    shown = {name.split("=")[0] for name in re.findall(r"[\w.]+=", page)}
    default = compose([])
    settings = {f"{group}.{key}" for group in GROUPS for key in default.tree[group] if key != "_target_"}
    assert shown >= {*GROUPS, "callbacks", "experiment", *ROOT_KEYS, *settings}
    for group in (*GROUPS, "callbacks", "experiment"):
        (listed,) = re.findall(rf"^  {group}=(.*?)(?:\n\n|about another)", page, re.MULTILINE | re.DOTALL)
        assert set(choices(group)) <= set(re.findall(r"\w+", listed))


@pytest.mark.parametrize("choice", CHOICES)
def test_help_beside_a_choice_shows_its_keys_with_default_and_meaning(choice: str) -> None:
    group, _, name = choice.partition("=")
    page = help_page("words", choose(group, name))
    assert wide(page) == []
    sections = re.split(r"\n\n(?=Keys of \w+=|\w+=\w+ has no keys)", page)
    (section,) = [
        part for part in sections if part.startswith((f"Keys of {choice}:", f"{choice} has no keys:"))
    ]
    keys = keys_of(file_of(group, name))
    for key in keys:
        assert f"{group}.{key.name}={'...' if key.default == '???' else key.default}" in section
        assert "".join(key.meaning.split()) in "".join(section.split())  # whole, wherever lines end


@pytest.mark.parametrize(
    "path", [CONFIGS / "train.yaml", *(file_of(*choice.split("=")) for choice in CHOICES)]
)
def test_every_key_of_ours_is_explained_where_its_default_stands(path: Path) -> None:
    unexplained = [key.name for key in keys_of(path) if not key.meaning]
    assert unexplained == [] or path.parent.name == "trainer"  # whose arguments Lightning explains


def test_an_unknown_choice_beside_help_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["attention=sotf", "--help"], "words") == 2
    assert "did you mean soft?" in capsys.readouterr().err


def test_a_choice_of_a_persons_own_folder_is_listed_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "attention").mkdir()
    text = (
        "# Soft, at twice its temperature.\n_target_: mine.warm.warm\nbeta: 3.0  # inverse temperature, > 0\n"
    )
    (tmp_path / "attention" / "warm.yaml").write_text(text, encoding="utf-8")
    assert train(["--config-dir", str(tmp_path), "attention=warm", "-h"], "words") == 0
    page = capsys.readouterr().out
    assert (
        re.search(r",\s+warm\b", page)
        and "Soft, at twice its temperature." in page
        and "attention.beta=3.0" in page
    )


def test_the_examples_of_help_can_be_typed() -> None:
    page = call("train", "--help").stdout
    examples = [
        shlex.split(line)[2:] for line in page.splitlines() if line.startswith("  python scripts/train.py ")
    ]
    assert len(examples) == 3
    for arguments in examples:
        if "-m" in arguments:
            assert len(plan([argument for argument in arguments if argument != "-m"])) == 6
        else:
            compose(arguments)


def test_help_of_evaluate_follows_the_choice_named_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(["attention=hard_reinforce", "--help"], "words") == 0
    assert "attention.baseline=leave_one_out" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train.py --help", "train.py --cfg job", "evaluate.py --help"])
def test_a_reader_that_has_read_enough_is_no_error(command: str) -> None:
    line = f"{shlex.quote(sys.executable)} scripts/{command} | true"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


MESSAGES = {
    "every choice named": ["attention=sotf"],
    "several problems": [
        "++attention.beta=-1",
        "model.layers=0",
        "optimizer.schedule=cosine",
        "trainer.max_step=2",
    ],
    "missing files": [
        "task=pairs",
        *(f"task.{name}=a/rather/long/path/to/{name}.tsv" for name in ("train", "val", "test")),
    ],
    "not an option": ["--attention", "soft"],
    "long rule": ["attention=hard_reinforce", "attention.samples=1"],
    "job of a sweep": ["-m", "attention=soft,hard_reinforce", "attention.samples=1,4"],
    "what Lightning refuses": ["trainer.max_steps=-5"],
    "place that is no folder": ["runs_dir=/dev/null", "trainer.max_steps=1"],
    "completion of no shell": ["-sc", "install=all"],
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_fits_80_columns(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(MESSAGES[kind], "words") == 2
    told = capsys.readouterr()
    begins = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(begins) == 1 and told.out == ""  # before it stands at most what was about to be done
    assert wide(told.err) == [] and "Traceback" not in told.err


def complete(line: str) -> list[str]:
    """What Hydra offers for the last word of a line, asked as its bash function asks."""
    done = call("train", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    "line, offered",
    [
        ("attention=so", ["attention=soft"]),
        ("-m attention=so", ["attention=soft"]),
        ("score=ad", ["score=additive"]),
        ("attention=hard_reinforce attention.base", ["attention.baseline="]),
        ("batch", ["batch_size="]),
        ("attention._", []),
        ("attention=_", []),
        ("attention='so", []),
    ],
)
def test_the_tab_key_completes_groups_choices_and_keys(line: str, offered: list[str]) -> None:
    assert complete(f"python scripts/train.py {line}") == offered


def test_completion_comes_in_less_time_than_torch_takes_to_start() -> None:
    assert fastest(lambda: complete("python scripts/train.py attention=so")) < 0.8 * starting_torch()


TAB = """
eval "$(python scripts/train.py -sc install=bash)"
COMP_LINE=$1; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
hydra_bash_completion
echo "${COMPREPLY[@]}"
complete -p python
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_installed_by_the_line_in_help(tmp_path: Path) -> None:
    assert TAB.splitlines()[1] in call("train", "--help").stdout
    (tmp_path / "python").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8"
    )
    (tmp_path / "python").chmod(0o755)

    def typed(line: str) -> list[str]:
        places = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = ["bash", "-c", TAB, "bash", line]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | places, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    completed, installed = typed("python scripts/train.py attention=so")
    assert completed == "attention=soft" and installed.endswith("-F hydra_bash_completion python")
    assert typed("python scripts/evaluate.py attention=so")[0] == ""  # no other script is run by the Tab key


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("attnlab train score=scaled_dot attention=so", "attention=soft"),
        ("attnlab train -m batch", "batch_size="),
        ("attnlab ev", "evaluate"),
        ("attnlab compare so", ""),
    ],
)
def test_the_installed_program_completes_its_commands_and_what_is_trained(
    line: str, completed: str, tmp_path: Path
) -> None:
    place = Path(sys.executable).parent
    if not (place / "attnlab").exists():
        pytest.skip("attnlab is not installed beside this Python")
    tab = TAB.replace("python scripts/train.py", "attnlab train").replace("-p python", "-p attnlab")
    places = {"PATH": f"{place}:{os.environ['PATH']}"}
    command = ["bash", "-c", tab, "bash", line]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | places, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0
    assert done.stdout.splitlines()[0] == completed


def test_the_figures_of_a_diverged_run_keep_their_columns() -> None:
    lines = table({"val/nll": 1.5e36, "test/nll": float("inf"), "val/error_rate": 0.5}).splitlines()
    assert {len(line) for line in lines} == {40} and "1.5e+36" in lines[2]


def by_hydra(overrides: list[str]) -> dict[str, Any]:
    """What Hydra composes, unchecked."""
    with hydra_at(CONFIGS):
        return plain(hydra_compose("train", overrides))


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_what_the_files_of_a_choice_hold_is_what_hydra_composes(choice: str) -> None:
    group, _, name = choice.partition("=")
    assert settings_in(file_of(group, name)) == by_hydra(choose(group, name))[group]


def test_a_file_of_ones_own_takes_over_from_ours_and_says_where_it_stands_itself(tmp_path: Path) -> None:
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "base.yaml").write_text("beta: 7.0  # of mine\nshare: 2.0  # kept\n", "utf-8")
    mine = tmp_path / "attention" / "mine.yaml"
    mine.write_text(
        "defaults: [/attention/_beta@_here_, /score/dot, _self_, base]\n_target_: a.b\nbeta: 3.0\n", "utf-8"
    )
    found = {key.name: key for key in keys_of(mine)}
    assert found["beta"] == ("beta", "7.0", "of mine") and found["share"].meaning == "kept"
    composed = by_hydra([*search_path([tmp_path]), "attention=mine"])["attention"]
    assert composed.pop("score") == {"_target_": "attnlab.core.scores.dot"}
    assert settings_in(mine) == composed == {**composed, "beta": 7.0, "share": 2.0, "_target_": "a.b"}
