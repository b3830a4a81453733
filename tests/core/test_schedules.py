"""beta and temperatures that move with the training step."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from enumeration import choose, names
from seldom import seldom
from torch import Tensor

from attnlab.building import assemble, make_part
from attnlab.cli.evaluate import evaluate
from attnlab.config.checking import ConfigurationError
from attnlab.config.composing import compose
from attnlab.config.trust import EVERYTHING
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise
from attnlab.core.interfaces import AttentionInput, Categorical, Distribution, Mechanism, Surrogate
from attnlab.core.schedules import Scheduled, move_all, scheduled_in
from attnlab.core.selectors import Mixture
from attnlab.runs import folders
from attnlab.runs.measuring import measure
from attnlab.runs.run import load, train
from attnlab.settings import EvaluateAs
from attnlab.training.lightning_module import Training

SMALL = [
    "model.hidden_size=6",
    "model.embedding_size=5",
    "batch_size=4",
    "task.steps_per_epoch=5",
    "trainer.max_steps=10",
]
SMALL += ["task.validation_examples=8", "task.test_examples=8", "trainer.log_every_n_steps=1"]
SMALL += ["task.shortest=2", "task.longest=4"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [2.0, 2.75, 3.5, 4.25, 5.0, 5.0]),
        ("exponential", [2 * 2.5 ** (step / 4) for step in range(5)] + [5.0]),
    ],
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
    settings = [
        "attention=gumbel_rao",
        "attention.beta_schedule=linear",
        "attention.beta_end=3",
        "attention.beta_steps=10",
    ]
    more = [
        "attention.temperature_schedule=exponential",
        "attention.temperature_end=0.25",
        "attention.temperature_steps=4",
    ]
    mechanism = assemble(compose([*settings, *more]).tree).mechanism
    move_all(mechanism.selector, 2)
    found = {name: part.value.item() for name, part in scheduled_in(mechanism.selector).items()}
    assert found == pytest.approx({"beta": 1.4, "temperature": 0.5})
    scores = torch.tensor([[[[1.0, 0.0]]]])
    from attnlab.core.interfaces import AttentionInput

    mask = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    probs = mechanism.distribution(AttentionInput(scores, mask, mask)).probs
    assert probs[0, 0, 0, 0].item() == pytest.approx(1 / (1 + 2.718281828459045**-1.4))


WRONG = {
    "an end that nothing moves to": (
        ["attention.beta_end=5"],
        "beta_schedule=constant leaves beta where it is",
    ),
    "no end": (["attention.beta_schedule=linear", "attention.beta_steps=5"], "needs both, got beta_end=None"),
    "no steps": (["attention.beta_schedule=exponential", "attention.beta_end=5"], "beta_steps=None"),
    "temperature": (
        ["attention=rebar", "attention.temperature_steps=5"],
        "temperature_schedule=constant leaves temperature",
    ),
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
    beta = [
        "attention.beta=1",
        "attention.beta_schedule=linear",
        "attention.beta_end=2",
        "attention.beta_steps=5",
    ]
    temperature = [
        "attention.temperature_schedule=exponential",
        "attention.temperature_end=0.5",
        "attention.temperature_steps=5",
    ]
    rows = [
        row
        for row in trained(tmp_path, "attention=gumbel_softmax", *beta, *temperature)
        if row["schedule/beta"]
    ]
    steps = [int(row["step"]) for row in rows]
    assert steps == list(range(1, 11))
    before = [min(step - 1, 5) / 5 for step in steps]  # the value that the step was taken with
    assert [float(row["schedule/beta"]) for row in rows] == pytest.approx([1 + share for share in before])
    assert [float(row["schedule/temperature"]) for row in rows] == pytest.approx(
        [0.5**share for share in before]
    )


def test_evaluation_uses_the_beta_that_the_best_checkpoint_was_validated_with(tmp_path: Path):
    """And the end of a schedule is reached: after the last step of it."""
    beta = ["attention.beta_schedule=linear", "attention.beta_end=6", "attention.beta_steps=10"]
    composition = compose([*SMALL, "attention=soft", *beta, f"runs_dir={tmp_path}"])
    place = folders.folder_of(composition)
    results = train(composition.tree, place)
    built = assemble(composition.tree)
    again = measure(built, place / "checkpoints" / "best.ckpt")
    assert again == {tag: value for tag, value in results.items() if not tag.startswith("grad_norm")}
    step = load(place / "checkpoints" / "best.ckpt")["global_step"]
    (beta,) = (part for part in built.attention.modules() if isinstance(part, Scheduled))
    assert beta().item() == pytest.approx(1 + 5 * step / 10)


def test_evaluation_takes_another_beta_and_refuses_one_that_would_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    beta = ["attention.beta_schedule=linear", "attention.beta_end=6", "attention.beta_steps=3"]
    for extra in ([], beta):
        composition = compose([*SMALL, "attention=soft", *extra, f"runs_dir={tmp_path}"])
        train(composition.tree, place := folders.folder_of(composition))
        constant = (
            ["attention.beta_schedule=constant", "attention.beta_end=null", "attention.beta_steps=null"]
            if extra
            else []
        )
        assert evaluate([str(place)], None) == 0
        before = capsys.readouterr().out
        assert evaluate([str(place), "attention.beta=500", *constant], None) == 0
        after = capsys.readouterr().out
        entropy = [float(re.search(r"attention_entropy +(\S+)", text)[1]) for text in (before, after)]  # pyright: ignore
        assert entropy[1] < 0.99 * entropy[0]
    assert evaluate([str(place), "attention.beta=50"], None) == 2
    assert "needs with it attention.beta_schedule=constant" in " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is only read."""
    composition = compose([*SMALL, "attention=hard_reinforce", f"runs_dir={tmp_path_factory.mktemp('runs')}"])
    train(composition.tree, place := folders.folder_of(composition))
    return place


@pytest.mark.parametrize(
    "override", ["optimizer.lr=1", "attention.samples=2", "seed=3", "model.dropout=0.5", "score.x=1"]
)
def test_evaluation_refuses_what_only_decided_the_training(
    override: str, finished: Path, capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()
    assert evaluate([str(finished), override], None) == 2
    assert re.search(
        "changes nothing that is measured|not a setting", " ".join(capsys.readouterr().err.split())
    )


@pytest.mark.parametrize("name", seldom(names("attention"), "topk", "hard_marginal"))
def test_what_is_trained_is_read_by_every_rule_and_as_topk_where_it_truncates(name: str, tmp_path: Path):
    little = ["trainer.max_steps=2", "task.validation_examples=3", "task.test_examples=3"]
    composition = compose([*SMALL, *choose("attention", name), *little, f"runs_dir={tmp_path}"])
    train(composition.tree, place := folders.folder_of(composition))
    refused = set()
    for rule in get_args(EvaluateAs):
        try:
            built = assemble({**composition.tree, "evaluate_as": rule}, EVERYTHING)
        except ValueError as error:
            assert "keeps all of them" in str(error)
            refused.add(rule)
        else:
            assert measure(built, place / "checkpoints" / "best.ckpt")["val/nll"] > 0
    assert refused == (set() if name == "topk" else {"topk"})


def test_a_constant_beta_is_logged_as_it_is_and_a_control_has_none(tmp_path: Path):
    rows = trained(tmp_path, "attention=soft", "attention.beta=3")
    assert {row["schedule/beta"] for row in rows if row["schedule/lr"]} == {"3.0"}
    assert "schedule/beta" not in trained(tmp_path, "attention=uniform")[0]


class Twice(Distribution):
    """Two scheduled numbers of one name, one in a part."""

    def __init__(self, beta: float):
        super().__init__()
        self.beta = Scheduled(beta, "linear", 2 * beta, 4)
        self.inner = Softmax(Scheduled(1.0, "linear", 3.0, 4))

    def forward(self, inputs: AttentionInput) -> Categorical:
        return self.inner(inputs._replace(scores=self.beta() * inputs.scores))


class Weighed(Pathwise):
    """An estimator with a number that moves."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Scheduled(1.0, "linear", 5.0, 4)

    def forward(self, losses: Tensor, *rest: Any) -> Surrogate:
        surrogate = super().forward(losses, *rest)
        return surrogate._replace(loss=self.weight() * surrogate.loss)


def test_numbers_of_one_name_move_apart_and_an_estimators_moves_too(tmp_path: Path) -> None:
    built = assemble(compose([*SMALL, f"runs_dir={tmp_path}"]).tree)
    chooses, tells = Twice(1.0), Twice(10.0)  # what is drawn from and what is read may be two objects
    mechanism = Mechanism(tells, Mixture(chooses), Weighed())
    built.attention.selector = mechanism.selector
    training = Training(
        built.model, mechanism, built.task, make_part("optimizer", built.config["optimizer"]), 0
    )
    training.move(2)
    found = {name: number.value.item() for name, number in training.scheduled.items()}
    assert sorted(found.values()) == [1.5, 2.0, 2.0, 3.0, 15.0]
    assert found["weight"] == 3.0 and len(found) == 5
    assert all(name.endswith("beta") for name in found if name != "weight")


def test_names_of_scheduled_numbers_are_as_short_as_they_may_be() -> None:
    module = torch.nn.ModuleDict({"one": Twice(1.0), "other": Scheduled(2.0)})
    assert set(scheduled_in(module)) == {"one.beta", "inner.beta", "other"}
