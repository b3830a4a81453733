"""beta and temperatures that move with the training step."""

from pathlib import Path

import pytest
import torch

from attnlab import folders
from attnlab.building import assemble
from attnlab.checking import ConfigurationError
from attnlab.config import compose
from attnlab.runs import train
from attnlab.schedules import Scheduled, move_all

SMALL = ["model.hidden_size=6", "model.embedding_size=5", "batch_size=4", "task.steps_per_epoch=5", "trainer.max_steps=10"]
SMALL += ["task.validation_examples=8", "task.test_examples=8", "trainer.log_every_n_steps=1"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [2.0, 2.75, 3.5, 4.25, 5.0, 5.0]), ("exponential", [2 * 2.5 ** (step / 4) for step in range(5)] + [5.0])],
)
def test_a_number_moves_to_its_end_and_stays(schedule: str, expected: list[float]):
    number = Scheduled(2.0, schedule, 5.0, 4)  # pyright: ignore[reportArgumentType]
    assert [number.at(step) for step in range(6)] == pytest.approx(expected)
    for step, value in enumerate(expected):
        number.move(step)
        assert number().item() == pytest.approx(value)


def test_it_may_fall_too_and_constant_stays():
    assert Scheduled(4.0, "exponential", 1.0, 2).at(1) == pytest.approx(2.0)
    assert [Scheduled(3.0).at(step) for step in (0, 5, 1000)] == [3.0] * 3


def test_everything_scheduled_in_a_mechanism_moves_under_its_own_name():
    settings = ["attention=gumbel_rao", "attention.beta_schedule=linear", "attention.beta_end=3", "attention.beta_steps=10"]
    more = ["attention.temperature_schedule=exponential", "attention.temperature_end=0.25", "attention.temperature_steps=4"]
    mechanism = assemble(compose([*settings, *more]).tree).mechanism
    assert move_all(mechanism.selector, 2) == pytest.approx({"beta": 1.4, "temperature": 0.5})
    scores = torch.tensor([[[1.0, 0.0]]])
    from attnlab.base import AttentionInput

    mask = torch.ones(1, 1, 2, dtype=torch.bool)
    probs = mechanism.distribution(AttentionInput(scores, mask, mask)).probs
    assert probs[0, 0, 0].item() == pytest.approx(1 / (1 + 2.718281828459045**-1.4))


WRONG = {
    "an end that nothing moves to": (["attention.beta_end=5"], "beta_schedule=constant leaves beta where it is"),
    "no end": (["attention.beta_schedule=linear", "attention.beta_steps=5"], "needs both, got beta_end=None"),
    "no steps": (["attention.beta_schedule=exponential", "attention.beta_end=5"], "beta_steps=None"),
    "temperature": (["attention=rebar", "attention.temperature_steps=5"], "temperature_schedule=constant leaves temperature"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_schedule_without_effect_is_refused(kind: str):
    overrides, told = WRONG[kind]
    with pytest.raises(ValueError, match=told):
        assemble(compose(overrides).tree)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("attention.beta_end=0", "attention.beta_end: must be greater than 0"),
        ("attention.beta_schedule=cosine", "must be 'constant', 'linear' or 'exponential'"),
        ("attention.beta_steps=0", "attention.beta_steps: must be greater than or equal to 1"),
    ],
)
def test_settings_of_a_schedule_have_rules(override: str, told: str):
    with pytest.raises(ConfigurationError, match=told):
        compose([override])


def trained(folder: Path, *overrides: str) -> list[dict[str, str]]:
    import csv

    composition = compose([*SMALL, *overrides, f"runs_dir={folder}"])
    place = folders.folder_of(composition)
    train(composition.tree, place)
    with (place / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_training_moves_and_logs_beta_and_temperature(tmp_path: Path):
    beta = ["attention.beta=1", "attention.beta_schedule=linear", "attention.beta_end=2", "attention.beta_steps=5"]
    temperature = [
        "attention.temperature_schedule=exponential",
        "attention.temperature_end=0.5",
        "attention.temperature_steps=5",
    ]
    rows = [row for row in trained(tmp_path, "attention=gumbel_softmax", *beta, *temperature) if row["schedule/beta"]]
    steps = [int(row["step"]) for row in rows]
    assert steps == list(range(1, 11))
    before = [min(step - 1, 5) / 5 for step in steps]  # the value that the step was taken with
    assert [float(row["schedule/beta"]) for row in rows] == pytest.approx([1 + share for share in before])
    assert [float(row["schedule/temperature"]) for row in rows] == pytest.approx([0.5**share for share in before])


def test_a_constant_beta_is_logged_as_it_is_and_a_control_has_none(tmp_path: Path):
    rows = trained(tmp_path, "attention=soft", "attention.beta=3")
    assert {row["schedule/beta"] for row in rows if row["schedule/lr"]} == {"3.0"}
    assert "schedule/beta" not in trained(tmp_path, "attention=uniform")[0]
