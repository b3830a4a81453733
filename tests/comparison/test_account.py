"""Advice held to account: what the microscope said early, against what runs came to."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from attnlab.cli.microscope import microscope
from attnlab.cli.train import train
from attnlab.comparison.account import Account, accounts, correlation
from attnlab.comparison.reading import load_runs

ERROR = ("squared_error", "weights")


def made(task: str, slope: float, names: str, seeds: int, noise: float) -> list[Account]:
    """Runs whose accuracy falls with their error, or rises, and with noise."""
    draw = np.random.default_rng(len(task))
    return [
        Account(task, name, 100, {ERROR: float(number)}, slope * number + noise * float(draw.normal()))
        for number, name in enumerate(names)
        for _ in range(seeds)
    ]


def test_a_correlation_is_that_of_ranks_on_each_task_and_its_interval_covers_it() -> None:
    found = [*made("up", 0.1, "abcdefg", 3, 0.2), *made("down", -0.1, "abcdefg", 3, 0.2)]
    seen = correlation(found, *ERROR)
    for task in ("up", "down"):
        pairs = [(one.figures[ERROR], one.accuracy) for one in found if one.task == task]
        ranks = np.array([stats.rankdata(column) for column in zip(*pairs, strict=True)])
        assert seen.tasks[task] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert seen.tasks["up"] > 0.5 and seen.tasks["down"] < -0.5
    assert seen.mean == pytest.approx(sum(seen.tasks.values()) / 2) and seen.lower < seen.mean < seen.upper


def test_an_interval_excludes_0_where_errors_decide_and_covers_it_where_they_do_not() -> None:
    decided = correlation(made("t", -1.0, "abcdefgh", 2, 0.3), *ERROR)
    assert decided.upper < -0.5
    idle = correlation(made("t", 0.0, "abcdefgh", 2, 1.0), *ERROR)
    assert idle.lower < 0 < idle.upper


def test_two_mechanisms_are_too_few() -> None:
    with pytest.raises(ValueError, match="three mechanisms"):
        correlation(made("t", 1.0, "ab", 5, 0.1), *ERROR)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three mechanisms, looked at twice."""
    place = tmp_path_factory.mktemp("runs")
    sizes = "model.hidden_size=5 model.embedding_size=4 model.readout_size=5 task.longest=5 batch_size=4"
    few = "trainer.max_steps=4 task.steps_per_epoch=2 task.validation_examples=7 task.test_examples=5"
    names = "soft,hard_exact,hard_reinforce"
    looks = ["callbacks=microscope", "callbacks.microscope.every=2", "callbacks.microscope.examples=2"]
    looks += ["callbacks.microscope.draws=8", f"callbacks.microscope.mechanisms=[{names}]"]
    command = ["-m", *sizes.split(), *few.split(), *looks, f"attention={names}", f"runs_dir={place}"]
    assert train(command, None) == 0
    return place


def test_a_run_counts_with_its_own_mechanism_at_the_first_look(runs: Path) -> None:
    found = {one.mechanism: one for one in accounts(load_runs(runs))}
    assert set(found) == {"soft", "hard_exact", "hard_reinforce"}
    assert all(one.step == 2 and one.task == "reverse" for one in found.values())
    assert found["hard_exact"].figures[ERROR] == 0 < found["hard_reinforce"].figures[ERROR]


def test_the_command_prints_a_table_and_refuses_a_folder_without_looks(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert microscope([f"runs={runs}", "--account"], None) == 0
    said = capsys.readouterr().out
    assert "3 runs of 3 mechanisms" in " ".join(said.split()) and "squared_error" in said
    assert microscope([f"runs={runs}", "--account", "--markdown"], None) == 0
    assert "| `squared_error` | weights |" in capsys.readouterr().out
    assert microscope([f"runs={tmp_path}", "--account"], None) == 2
    assert "Traceback" not in capsys.readouterr().err
