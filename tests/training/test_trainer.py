"""Arguments of Lightning's Trainer: each one that is taken does something, and the others are refused."""

import pytest

from attnlab.config.checking import check
from attnlab.config.composing import ConfigurationError, composer
from attnlab.config.trainer import OWNED, measuring_conflicts

compose = composer()

REFUSED = {
    "max_steps=0": "trainer.max_steps: must be a whole number >= 1, or -1 for no limit, got 0",
    "max_steps=100000000000000000000": "trainer.max_steps: must be a whole number >= 1",
    "max_epochs=null": "trainer.max_epochs: must be a whole number >= 1",
    "max_time=5": "trainer.max_time: must be days:hours:minutes:seconds above zero",
    "max_time={hours: 1}": "trainer.max_time: must be days:hours:minutes:seconds above zero",
    "max_time=[1]": "trainer.max_time: must be days:hours:minutes:seconds above zero",
    "max_time=00:00:00:00": "trainer.max_time: must be days:hours:minutes:seconds above zero",
    "max_time=true": "trainer.max_time: must be days:hours:minutes:seconds above zero",
    "accelerator=tpu": "trainer.accelerator: must be 'cpu', 'gpu', 'cuda', 'mps' or 'auto', got 'tpu'",
    "devices=2": "trainer.devices: a run trains on one device",
    "devices=true": "trainer.devices: a run trains on one device",
    "devices=1000000000000000000000": "trainer.devices: a run trains on one device",
    "precision=transformer-engine": "trainer.precision: must be '32-true'",
    "precision=16": "trainer.precision=16-mixed needs a GPU",
    "gradient_clip_algorithm=both": "trainer.gradient_clip_algorithm: must be 'norm' or 'value'",
    "num_sanity_val_steps=-5": "trainer.num_sanity_val_steps: must be a whole number of batches >= 0",
    "deterministic=nope": "trainer.deterministic: must be true, false or 'warn', got 'nope'",
    "val_check_interval=1.5": "trainer.val_check_interval: must be a fraction of an epoch in (0, 1]",
    "val_check_interval=true": "trainer.val_check_interval: must be a fraction",
    "limit_test_batches=0": "trainer.limit_test_batches: must be a fraction in (0, 1]",
    "limit_train_batches=nan": "trainer.limit_train_batches: must be a fraction in (0, 1]",
    "check_val_every_n_epoch=null": "trainer.check_val_every_n_epoch=null needs trainer.val_check_interval",
    "min_steps=10": "trainer.min_steps=10 keeps a run from ending early, and nothing ends this one early",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_value_that_cannot_be_is_refused_with_the_rule(setting: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose([f"trainer.{setting}", "stop_at=null"])
    told = str(caught.value)
    assert told.startswith(REFUSED[setting]) and "\n" not in told


@pytest.mark.parametrize(
    "settings, told",
    [
        (["min_steps=9", "max_steps=8"], "trainer.min_steps must not exceed trainer.max_steps, got 9 and 8"),
        (["gradient_clip_val=null", "gradient_clip_algorithm=value"], "clips nothing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: list[str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        compose([f"trainer.{setting}" for setting in settings])


@pytest.mark.parametrize("name", OWNED)
@pytest.mark.parametrize("sign", ["", "+"])
def test_what_a_run_decides_for_itself_is_refused_with_the_reason(name: str, sign: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose([f"{sign}trainer.{name}=3"])
    assert str(caught.value) == f"trainer.{name} is not offered: {OWNED[name][1]}"


def test_a_run_that_stored_what_was_offered_once_is_still_read() -> None:
    tree = compose([]).tree
    stored = {name: neutral[0] for name, (neutral, _) in OWNED.items() if neutral}
    tree["trainer"] = tree["trainer"] | stored | {"deterministic": None}
    check(tree)
    assert tree["trainer"]["deterministic"] is False
    tree["trainer"]["profiler"] = "simple"
    with pytest.raises(ConfigurationError, match="trainer.profiler is not offered"):
        check(tree)


def test_names_of_one_precision_are_one_setting() -> None:
    trees = [compose([f"trainer.precision={name}"]).tree for name in ("32", "32-true")]
    assert trees[0] == trees[1] and trees[0]["trainer"]["precision"] == "32-true"


def test_a_finished_run_may_be_measured_in_a_precision_that_its_optimizer_could_not_train_in() -> None:
    tree = compose(["trainer.accelerator=gpu"]).tree
    tree["trainer"]["precision"] = "16-mixed"
    with pytest.raises(ConfigurationError, match="optimizer.fused"):
        check(tree)
    check(tree, conflicts=measuring_conflicts)
