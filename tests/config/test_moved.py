"""A setting that moved goes on working where it lay: typed, in files, and in runs that were stored."""

from pathlib import Path

import pytest
import yaml

from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.config.arguments import overrides_in
from attnlab.config.checking import ConfigurationError
from attnlab.config.combinations import expanded
from attnlab.config.composing import compose
from attnlab.config.engine import search_path
from attnlab.runs import folders
from attnlab.runs.sweeps import plan

TOY: list[str] = [
    *(
        "attention=soft model.hidden_size=4 model.embedding_size=3 model.readout_size=4 batch_size=4 "
        "trainer.max_steps=2 task.steps_per_epoch=2 task.validation_examples=4 task.test_examples=4"
    ).split()
]


@pytest.mark.parametrize("typed", ["attention.evaluate_as=argmax", "+attention.evaluate_as=argmax"])
def test_the_rule_of_evaluation_may_be_typed_as_a_setting_of_attention(typed: str) -> None:
    tree = compose([typed]).tree
    assert tree == compose(["evaluate_as=argmax"]).tree and "evaluate_as" not in tree["attention"]


def test_a_sweep_over_it_is_named_alike(tmp_path: Path) -> None:
    jobs = [
        plan(overrides_in([*TOY, f"{key}=soft,argmax", f"runs_dir={tmp_path}"]))
        for key in ("evaluate_as", "attention.evaluate_as")
    ]
    assert [job.folder for job in jobs[0]] == [job.folder for job in jobs[1]]
    assert "evaluate_as=argmax" in jobs[0][1].folder.name


def test_an_experiment_file_may_name_it_where_it_lay_and_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nattention:\n  evaluate_as: marginal\n"
    (tmp_path / "experiment" / "mixed.yaml").write_text(text, encoding="utf-8")
    own = [*search_path([tmp_path]), "experiment=mixed"]
    assert compose(own).tree["evaluate_as"] == "marginal"
    assert compose([*own, "attention.evaluate_as=soft"]).tree["evaluate_as"] == "soft"


def test_a_factory_that_still_takes_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "attention").mkdir()
    (tmp_path / "takes_rule.py").write_text("def mine(*, evaluate_as: str): ...\n", encoding="utf-8")
    settings = "_target_: takes_rule.mine\nevaluate_as: same\n"
    (tmp_path / "attention" / "mine.yaml").write_text(settings, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="takes evaluate_as, which is a setting of the run"):
        compose([*search_path([tmp_path]), "attention=mine"])


def test_topk_is_no_rule_where_nothing_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*TOY, "evaluate_as=topk", f"runs_dir={tmp_path / 'runs'}"], None) == 2
    assert "evaluate_as=soft" in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it was stored when the setting was one of attention, in a folder of today's name."""
    place = tmp_path_factory.mktemp("runs")
    command = [*TOY, "evaluate_as=marginal", f"runs_dir={place}", "stop_at=null"]
    composition = compose(command)
    assert train(command, None) == 0
    folder = folders.folder_of(composition)
    tree = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    tree["attention"]["evaluate_as"] = tree.pop("evaluate_as")
    del tree["metrics"], tree["stop_at"], tree["evaluate_lengths"]
    (folder / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    before = folder.with_name("evaluate_as=marginal-00000000")
    return folder.rename(before)


def test_a_run_that_was_stored_with_it_is_found_and_measured(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*TOY, "evaluate_as=marginal", f"runs_dir={stored.parents[2]}"], None) == 0
    assert "done already" in " ".join(capsys.readouterr().out.split())
    assert evaluate([str(stored)], None) == 0
    first = capsys.readouterr().out.partition("\nrun ")[0]
    assert evaluate([str(stored), "attention.evaluate_as=argmax"], None) == 0
    assert capsys.readouterr().out.partition("\nrun ")[0] != first


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("task.longest=5", 0),
        ("attention.beta=1", 0),  # as it is, in a loop over several
        ("attention.beta=2", 0),
        ("task.steps_per_epoch=7", 2),
        ("attention.k=2", 2),
        ("optimizer.lr=1", 2),
    ],
)
def test_the_objects_say_whether_a_setting_matters_to_a_measurement(
    stored: Path, typed: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([str(stored), typed], None) == code


def test_files_that_others_take_over_are_no_choices() -> None:
    assert all("=_" not in job[0] for job in expanded(["attention=glob(*)"]))
    with pytest.raises(ConfigurationError, match="attention=_beta does not exist"):
        compose(["attention=_beta"])
