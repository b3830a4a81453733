"""What a person may type, and what they are told when it cannot be."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.cli.train import train
from attnlab.config.composing import ConfigurationError, compose
from attnlab.runs.sweeps import plan


def refusal(*overrides: str) -> str:
    """What the person is told."""
    with pytest.raises(ConfigurationError) as caught:
        compose(list(overrides))
    return str(caught.value)


WRONG = {
    "misspelt key": (["attention.bta=1"], "attention.bta is not a setting; did you mean attention.beta"),
    "misspelt key with +": (
        ["+attention.bta=1"],
        "attention.bta is not a setting of attention=soft; did you mean attention.beta",
    ),
    "misspelt key with ++": (["++attention.bta=1"], "did you mean attention.beta"),
    "key that is nowhere": (["foo=1"], "foo is not a setting"),
    "key that is nowhere with +": (["+foo=1"], "foo is not a setting"),
    "key without its group": (["beta=2"], "did you mean attention.beta"),
    "misspelt group": (["attentoin=soft"], "did you mean attention?"),
    "misspelt choice": (["attention=sotf"], "attention=sotf does not exist; did you mean soft?"),
    "key of another mechanism": (["attention.samples=2"], "attention.samples is not a setting"),
    "beta of 0": (["attention.beta=0"], "attention.beta: must be greater than 0, got 0"),
    "forced beta": (["++attention.beta=-1"], "attention.beta: must be greater than 0, got -1"),
    "infinite beta": (["attention.beta=inf"], "attention.beta: must be a finite number, got inf"),
    "word for a number": (["attention.beta=high"], "attention.beta: must be a valid number, got 'high'"),
    "fraction for a count": (
        ["attention=hard_reinforce", "attention.samples=2.5"],
        "attention.samples: must be a valid integer",
    ),
    "unknown baseline": (
        ["attention=hard_reinforce", "attention.baseline=self"],
        "attention.baseline: must be one of learned, ",
    ),
    "negative seed": (["seed=-1"], "seed: must be greater than or equal to 0, got -1"),
    "batch of nothing": (["batch_size=0"], "batch_size: must be greater than or equal to 1, got 0"),
    "dropout of 1": (["model.dropout=1.0"], "model.dropout: must be less than 1, got 1.0"),
    "several values without -m": (["seed=0,1"], "a sweep over them needs -m"),
    "no value": (["attention.beta"], "attention.beta"),
    "deleted key": (["~seed"], "seed: is missing"),
    "no choice": (["attention=null"], "attention=None does not exist"),
    "files that must be named": (["task=pairs"], "task.train must be given"),
    "what a run owns": (["+trainer.logger=false"], "trainer.logger is not offered"),
    "misspelt argument of the trainer": (["trainer.max_step=3"], "did you mean trainer.max_steps"),
    "word for a number in the trainer": (
        ["trainer.gradient_clip_val=x"],
        "trainer.gradient_clip_val: must be a valid",
    ),
    "word without a key": (["soft"], "'soft' is not key=value; did you mean attention=soft?"),
    "value without a key": (["=3"], "'=3' is not key=value"),
    "key that is none": (["é[0]=3"], "'é[0]=3' is not key=value; text"),
    "list that does not end": (["attention.beta=[1,2"], "'attention.beta=[1,2' is not key=value; text"),
    "group with +": (
        ["+experiment=published_small"],
        "experiment is chosen without +: experiment=published_small",
    ),
    "word for yes or no": (["fresh=yes"], "fresh: must be true or false, got 'yes'"),
    "no step": (
        ["trainer.max_steps=0"],
        "trainer.max_steps: must be a whole number >= 1, or -1 for no limit",
    ),
    "no validation": (
        ["trainer.limit_val_batches=0"],
        "trainer.limit_val_batches: must be a fraction in (0, 1]",
    ),
    "scaled gradients": (
        ["trainer.accelerator=gpu", "trainer.precision=16-mixed"],
        "optimizer.fused: must be false with trainer.precision=16-mixed",
    ),
    "another name for soft": (
        ["attention=SoftArgmax"],
        "did you mean soft?\n  soft: weights = softmax(beta * ",
    ),
    "a mechanism by its paper": (
        ["attention=REINFORCE"],
        "did you mean hard_reinforce?\n  hard_reinforce: mean_k",
    ),
    "a family": (
        ["attention=gumbel"],
        "did you mean gumbel_softmax or gumbel_straight_through or gumbel_rao?\n",
    ),
    "a choice in capitals": (["attention=Sparsemax"], "did you mean sparsemax?"),
    "a temperature where there is beta": (
        ["attention.temperature=4"],
        "beta = 1 / temperature: for a temperature of 4, type attention.beta=0.25",
    ),
    "a forced temperature": (["++attention.temperature=0.5"], "type attention.beta=2"),
    "steps at the top": (["steps=100"], "steps is not a setting; did you mean trainer.max_steps?"),
    "length at the top": (["length=12"], "did you mean task.shortest or task.longest?"),
    "learning rate in words": (["learning_rate=1"], "did you mean optimizer.lr?"),
    "key of other mechanisms at the top": (
        ["samples=4"],
        "; attention.samples is a setting of attention=gumbel_rao",
    ),
    "unknown experiment": (["experiment=nothing"], "experiment=nothing does not exist"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_override_is_refused_with_the_rule(kind: str) -> None:
    overrides, told = WRONG[kind]
    assert told in refusal(*overrides)


def test_every_problem_is_named_at_once() -> None:
    told = refusal("++attention.beta=-1", "+foo=1", "model.layers=0", "optimizer.schedule=cosine")
    assert all(word in told for word in ("attention.beta", "foo", "model.layers", "optimizer.schedule"))


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    there = tmp_path / "there.tsv"
    there.write_text("a\tb\n", encoding="utf-8")
    told = refusal(
        "task=pairs", f"task.train={there}", f"task.val={there}", f"task.test={tmp_path / 'gone.tsv'}"
    )
    assert told == f"task.test: there is no file {tmp_path / 'gone.tsv'}"


@pytest.mark.parametrize(
    "line, told", [("attention: {bta: 2}", "attention.bta"), ("attention: {beta: -2}", "attention.beta")]
)
def test_an_experiment_file_is_checked_too(line: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{line}\n", encoding="utf-8")
    assert told in refusal(f"hydra.searchpath=['file://{tmp_path}']", "experiment=mine")


NAMES = [
    "한국어.tsv",
    "a=b.tsv",
    "v(1).tsv",
    "it's.tsv",
    "a,b.tsv",
    "x#1.tsv",
    "a&b;c|d.tsv",
    "[a].tsv",
    " my file ",
    "null",
    "020",
    "~x",
    "a\\b\\",
    "range(1,3)",
    "two\nlines",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_is_taken_as_typed(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (name, "plain.tsv"):
        (tmp_path / path).write_text("a\tb\n", encoding="utf-8")
    typed = ["task=pairs", f"task.train={name}", "task.val=plain.tsv", f"task.test={tmp_path / name}"]
    tree = compose([*typed, f"runs_dir={name}"]).tree
    assert (tree["task"]["train"], tree["task"]["test"]) == (name, str(tmp_path / name))
    assert tree["runs_dir"] == name
    if "," in name:  # where it might separate the values of a sweep, how to write it is said
        with pytest.raises(ConfigurationError, match=re.escape(f"\"task.train='{name}'\"")):
            plan([*typed, "seed=0,1"])


def test_names_of_a_sweep_that_hydra_cannot_read_are_shown_as_it_can(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("é.tsv", "b.tsv", "020"):
        (tmp_path / path).write_text(f"a\tb{path}\n", encoding="utf-8")
    rest = ["task=pairs", "task.val=b.tsv", "task.test=b.tsv"]
    with pytest.raises(ConfigurationError) as caught:
        plan([*rest, "task.train=é.tsv,b.tsv"])
    shown = str(caught.value).split('"')[1]
    assert [job.composition.tree["task"]["train"] for job in plan([*rest, shown])] == ["é.tsv", "b.tsv"]
    seeds = plan([*rest, "task.train=020", "seed=0,1"])
    assert [job.composition.tree["task"]["train"] for job in seeds] == ["020", "020"]


@pytest.mark.parametrize("separator", [" ", " | ", ",", "1"])
def test_a_separator_is_what_the_shell_hands_on(separator: str, tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text("a\tb\n", encoding="utf-8")
    files = [f"task.{name}={tmp_path / 'data.tsv'}" for name in ("train", "val", "test")]
    one, other = (
        compose(["task=pairs", *files, f"task.target_separator={text}"]).tree
        for text in (separator, f"'{separator}'")
    )
    assert one == other and one["task"]["target_separator"] == separator
    assert (one == compose(["task=pairs", *files]).tree) == (separator == " ")


def test_a_blank_value_is_refused_as_it_was_typed() -> None:
    assert refusal("attention.beta= ") == "attention.beta: must be a valid number, got ' '"


def test_the_home_folder_is_one_folder_however_it_is_typed(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for typed in ("runs_dir=~/x", "runs_dir='~/x'", "runs_dir=/home/somebody/x"):
        assert compose([typed]).tree["runs_dir"] == "/home/somebody/x"


def test_right_overrides_arrive() -> None:
    tree = compose(["attention=hard_reinforce", "attention.samples=8", "trainer.max_epochs=3", "seed=7"]).tree
    assert tree["attention"]["samples"] == 8 and tree["trainer"]["max_epochs"] == 3 and tree["seed"] == 7


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--help"], 0),
        (["attention.bta=1"], 2),
        (["attention=sotf"], 2),
        (["seed=x"], 2),
        (["--attention"], 2),
    ],
)
def test_answers_come_without_torch_traceback_or_folder(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    program = (
        "import sys; from attnlab.cli.train import train; code = train(sys.argv[1:], 'words');"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


MECHANISM = '''
from attnlab.core.interfaces import Mechanism
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise
from attnlab.core.selectors import Mixture
from attnlab.facts import Facts
from attnlab.settings import Positive


@Facts(paper="none", objective="soft", unbiased=True, needs="mixture", evaluations=1)
def warm(*, beta: Positive) -> Mechanism:
    """Soft attention at twice its temperature."""
    distribution = Softmax(beta / 2)
    return Mechanism(distribution, Mixture(distribution), Pathwise())
'''


def test_a_mechanism_may_live_in_a_persons_own_package_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine_warm").mkdir()
    (tmp_path / "mine_warm" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "mine_warm" / "warm.py").write_text(MECHANISM, encoding="utf-8")
    folder = tmp_path / "settings" / "attention"
    folder.mkdir(parents=True)
    (folder / "warm.yaml").write_text("_target_: mine_warm.warm.warm\nbeta: 3.0\n", encoding="utf-8")
    small = [
        "trainer.max_steps=2",
        "model.hidden_size=4",
        "task.validation_examples=5",
        "task.test_examples=5",
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command = ["--config-dir", "settings", "attention=warm", *small]
    assert train(command, None) == 0
    assert "warm on reverse: done" in capsys.readouterr().out
    assert train([*command, "attention.beta=-1"], None) == 2
    assert "attention.beta: must be greater than 0" in capsys.readouterr().err
