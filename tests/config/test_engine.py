"""What is said to Hydra itself, and files of one's own: they work, or a sentence says what to use."""

from pathlib import Path

import pytest

from attnlab.cli.train import train
from attnlab.config.combinations import expanded
from attnlab.config.composing import ConfigurationError, choices, compose
from attnlab.config.engine import search_path
from attnlab.config.places import CONFIGS
from attnlab.runs.sweeps import plan

GLOBAL = "# @package _global_\n"


def written(place: Path, **files: str) -> list[str]:
    """Experiment files in a folder of one's own, and the override that names it."""
    (place / "experiment").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / "experiment" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return search_path([place])


@pytest.mark.parametrize("sweep", [[], ["-m"]], ids=["one", "sweep"])
@pytest.mark.parametrize(
    "setting, told",
    [
        ("hydra.run.dir=elsewhere", "use runs_dir"),
        ("hydra.sweep.dir=elsewhere", "use runs_dir"),
        ("+hydra.job.chdir=true", "folder where the command is typed"),
        ("hydra.mode=MULTIRUN", "-m with the values after a key"),
        ("++hydra.verbose=true", "train.log"),
        ("hydra/sweeper=basic", "-m with the values after a key"),
        ("hydra.sweeper.params={seed: 1}", "-m with the values after a key"),
        ("~hydra.job_logging", "train.log"),
        ("hydra.foo=1", "hydra/launcher alone"),
        ("hydra.searchpath=['file:///nowhere']", "use --config-dir"),
        ("--config-name=mine", "experiment=NAME"),
        ("-cp", "use --config-dir"),
        ("--experimental-rerun=x", "typed again"),
    ],
)
def test_what_hydra_would_take_and_a_run_would_not_is_refused(
    setting: str,
    told: str,
    sweep: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train([*sweep, setting, "seed=3"], None) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert told in said and "Traceback" not in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "setting, told",
    [
        ("attention=glob(nothing*)", "names no value"),
        ("seed=range(0,0)", "names no value"),
        ("seed=range(0,5,0)", "names no values that can be counted"),
        ("seed=range(0,1000000000000)", "more than 10000"),
        ("attention.beta=range(0.0,inf)", "more than 10000"),
        ("attention.beta=interval(0,1)", "they are listed, 1,2,3, or counted"),
        ("seed=glob(*)", "names no value"),
        ("attention.beta=" + "[" * 400 + "]" * 400, "brackets within brackets"),
    ],
)
def test_a_sweep_over_nothing_or_without_end_is_refused(setting: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        plan([setting, "score=dot,general"])


def test_a_sweep_may_look_through_the_choices_there_are() -> None:
    jobs = plan(["attention=glob(gumbel*,exclude=*rao)"])
    assert [job.folder.parent.name for job in jobs] == ["gumbel_softmax", "gumbel_straight_through"]


def test_a_sweep_may_name_every_mechanism() -> None:
    """More letters than a name of a file may have."""
    typed = f"attention={','.join(choices('attention'))}"
    assert len(typed) > 255 and len(expanded([typed])) == len(choices("attention"))


def test_a_sweep_of_too_many_runs_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="a sweep has at most 10000 runs, got 1000000"):
        plan(["seed=range(0,1000)", "batch_size=range(1,1001)"])


def test_a_launcher_is_for_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["hydra/launcher=joblib"], None) == 2
    assert "a sweep needs -m" in " ".join(capsys.readouterr().err.split())


def test_an_experiment_file_for_no_package_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    place = written(tmp_path, mine="seeed: 3\n")
    with pytest.raises(ConfigurationError, match="must begin with the line\n# @package _global_"):
        compose([*place, "experiment=mine"])


def test_an_experiment_file_may_build_on_others(tmp_path: Path) -> None:
    choice = "defaults: [base, override /attention: hard_reinforce, override /score: dot]\n"
    place = written(
        tmp_path,
        base=GLOBAL + "seed: 5\nbatch_size: 3\n",
        top=GLOBAL + choice + "batch_size: 7\nattention: {samples: 9}\n",
    )
    tree = compose([*place, "experiment=top"]).tree
    assert (tree["seed"], tree["batch_size"], tree["attention"]["samples"]) == (5, 7, 9)
    assert tree["score"]["_target_"].endswith(".dot")
    assert compose([*place, "experiment=top", "attention.samples=4"]).tree["attention"]["samples"] == 4


@pytest.mark.parametrize(
    "text, told",
    [
        ("hydra: {sweeper: {params: {seed: '0,1,2,3'}}}\n", "sets hydra.sweeper.*-m with the values"),
        ("defaults: [override /hydra/launcher: joblib]\n", "sets hydra.launcher.*on the command line"),
        ("hydra: {job: {chdir: true}}\n", "sets hydra.job.*folder where the command is typed"),
        ("hydra: {run: {dir: elsewhere}}\n", "sets hydra.run.*use runs_dir"),
        ("defaults: [/task: copy]\n", "task"),
        ("defaults: [nowhere]\n", "nowhere"),
        ("defaults: [override /task: nowhere]\n", "nowhere"),
        ("seed: [\n", "mine.yaml"),
        ("seeed: 3\n", "seeed is not a setting; did you mean seed"),
    ],
)
def test_an_experiment_file_changes_settings_of_the_run_alone(text: str, told: str, tmp_path: Path) -> None:
    place = written(tmp_path, mine=GLOBAL + text)
    with pytest.raises(ConfigurationError, match=told):
        compose([*place, "experiment=mine"])


def test_two_folders_of_ones_own_both_count_and_none_hides_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "attention").mkdir(parents=True)
        soft = (CONFIGS / "attention" / "soft.yaml").read_text(encoding="utf-8")
        (tmp_path / name / "attention" / f"{name}.yaml").write_text(soft, encoding="utf-8")
    both = [part for name in ("one", "two") for part in ("--config-dir", str(tmp_path / name))]
    for name in ("one", "two"):
        assert train([*both, f"attention={name}", "--cfg", "job"], None) == 0
        assert train([*both, f"attention={name}", "--help"], None) == 0
    (tmp_path / "two" / "attention" / "soft.yaml").write_text("_target_: a.b\n", encoding="utf-8")
    assert train([*both, "attention=two"], None) == 2
    assert "would never be read" in " ".join(capsys.readouterr().err.split())
