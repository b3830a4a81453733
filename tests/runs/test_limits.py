"""What a machine, a precision and the data do not allow is refused in a sentence, before a folder is made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.building import assemble, make_task
from attnlab.cli.train import train
from attnlab.config.composing import ConfigurationError, composer
from attnlab.config.trust import EVERYTHING
from attnlab.runs import limits
from attnlab.runs.sweeps import plan

compose = composer()
SMALL = ["model.hidden_size=4", "model.embedding_size=3", "model.readout_size=5", "batch_size=4"]


@pytest.mark.parametrize(
    "wrong, told",
    [
        (["trainer.limit_test_batches=0.2"], "limit_test_batches=0.2 of 4 batches leaves none"),
        (["trainer.limit_train_batches=0.001"], "limit_train_batches=0.001 of 100 batches leaves none"),
        (["trainer.val_check_interval=200"], "is more than the 100 batches of an epoch"),
        (
            ["trainer.val_check_interval=0.03", "trainer.accumulate_grad_batches=4"],
            "validates after every 3 of 100 batches",
        ),
        (
            ["trainer.val_check_interval=50", "trainer.limit_train_batches=0.4"],
            "is more than the 40 batches of an epoch",
        ),
        (["attention.beta=1e39"], "beta must lie between 1.18e-38 and 3.4e\\+38"),
        (["attention.beta=1e-300"], "beta must lie between"),
        (["trainer.precision=16-true", "attention.beta=70000"], "computes in float16, got 70000"),
        (["model.hidden_size=65536"], "needs at least .* GiB of memory .* for parameters"),
        (["batch_size=1000000", "task.longest=10000"], "GiB for a batch of training|for a batch of training"),
        (["attention=vimco", "attention.samples=65536", "batch_size=4096"], "for a batch of training"),
        (["task.validation_examples=1000000000000"], "for the examples of validation and test"),
    ],
)
def test_what_cannot_be_here_is_refused_before_it_is_tried(wrong: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        limits.prepare(compose([*SMALL, *wrong]).tree)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        "threads=100000",
        "batch_size=1000000000000",
        "model.layers=100000",
        "model.hidden_size=100000000000000000000",
        "task.longest=1000000",
        "task.validation_examples=100000000000000000000",
        "task.validation_examples=1e20",
        "attention.samples=100000000000000000000",
        "seed=9223372036854775808",
    ],
)
def test_a_number_that_no_machine_has_is_against_its_rule(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="must be") as caught:
        compose(["attention=hard_reinforce", setting])
    assert str(caught.value).startswith(setting.partition("=")[0]) and "\n" not in str(caught.value)


def test_the_numbers_that_are_refused_are_those_that_would_be_allocated() -> None:
    tree = compose(["model.hidden_size=37", "attention=hard_reinforce", "attention.baseline=learned"]).tree
    built = assemble(tree, EVERYTHING)
    counted = sum(value.numel() for value in built.training.parameters())
    assert limits._parameters(tree, make_task(tree)) == counted > 0


def test_no_job_of_a_sweep_starts_that_cannot_be_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    wrong = ["trainer.val_check_interval=1.0,200", "seed=0,1", f"runs_dir={place}"]
    assert train(["-m", *SMALL, *wrong], None) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("more than the 100 batches") == 1 and told.count("val_check_interval=200 seed=") == 2
    assert not place.exists()


def test_jobs_of_other_machines_are_not_held_against_this_one() -> None:
    heavy = [*SMALL, "trainer.accelerator=gpu", "seed=0,1"]
    assert len(plan([*heavy, "hydra/launcher=ray"])) == 2


@pytest.mark.slow
def test_a_precision_that_a_processor_lacks_is_refused_by_name(tmp_path: Path) -> None:
    """oneDNN is told to be a processor without bfloat16, which only a process of its own can."""
    program = (
        "import sys; from attnlab.config.composing import compose; from attnlab.runs import limits\n"
        "for model in ('gru', 'lstm'):\n"
        "    tree = compose([f'model={model}', 'trainer.precision=bf16-mixed', 'batch_size=4']).tree\n"
        "    try: limits.prepare(tree); print(model, 'can')\n"
        "    except ValueError as error: print(model, error)\n"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    first, *rest = result.stdout.splitlines()
    assert first == "gru can" and rest[0].startswith("lstm trainer.precision=bf16-mixed: this processor"), (
        result
    )
