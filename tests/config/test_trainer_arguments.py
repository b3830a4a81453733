"""Every argument of Lightning's Trainer that a run offers changes a training; every other one is refused."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from running import folder_in, metrics, results

from attnlab.cli.train import train
from attnlab.config.trainer import OFFERED, OWNED
from attnlab.training.lightning_module import Training

SMALL = "model.hidden_size=4 model.embedding_size=3 model.readout_size=4 batch_size=4 trainer.max_steps=8"
EXAMS = "task.steps_per_epoch=4 task.validation_examples=9 task.test_examples=9 trainer.log_every_n_steps=2"
COMMAND: list[str] = [*f"attention=soft {SMALL} {EXAMS} task.shortest=2 task.longest=4".split()]
STOP = "+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping +callbacks.stop.monitor=val/nll"
ENDS_EARLY = [*STOP.split(), "+callbacks.stop.patience=1", "+callbacks.stop.mode=max", "trainer.max_steps=20"]
SLOW = "trainer.max_steps=100000"
MANY = ["task.validation_examples=300", "task.test_examples=300"]  # batches of an exam have 250

CHANGES: dict[str, tuple[list[str], list[str]]] = {
    "max_steps": ([], ["trainer.max_steps=4"]),
    "max_epochs": ([], ["trainer.max_epochs=1"]),
    "min_steps": (ENDS_EARLY, [*ENDS_EARLY, "trainer.min_steps=15"]),
    "min_epochs": (ENDS_EARLY, [*ENDS_EARLY, "trainer.min_epochs=4"]),
    "max_time": ([], [SLOW, "trainer.max_time=00:00:00:01"]),
    "precision": ([], ["trainer.precision=64-true"]),
    "gradient_clip_val": ([], ["trainer.gradient_clip_val=0.001"]),
    "gradient_clip_algorithm": (
        ["trainer.gradient_clip_val=0.001"],
        ["trainer.gradient_clip_val=0.001", "trainer.gradient_clip_algorithm=value"],
    ),
    "accumulate_grad_batches": ([], ["trainer.accumulate_grad_batches=2"]),
    "log_every_n_steps": ([], ["trainer.log_every_n_steps=1"]),
    "check_val_every_n_epoch": ([], ["trainer.check_val_every_n_epoch=2"]),
    "val_check_interval": ([], ["trainer.val_check_interval=2"]),
    "limit_train_batches": ([], ["trainer.limit_train_batches=2"]),
    "limit_val_batches": (MANY, [*MANY, "trainer.limit_val_batches=1"]),
    "limit_test_batches": (MANY, [*MANY, "trainer.limit_test_batches=1"]),
    "num_sanity_val_steps": ([], ["trainer.num_sanity_val_steps=1"]),
    "enable_progress_bar": ([], ["trainer.enable_progress_bar=false"]),
    "deterministic": ([], ["trainer.deterministic=true"]),
    "inference_mode": ([], ["trainer.inference_mode=false"]),
    "detect_anomaly": ([], ["trainer.detect_anomaly=true"]),
}
"""Argument -> the settings of two trainings that differ in it alone, and must not come out alike."""
OF_OTHER_MACHINES = {"accelerator": "gpu", "devices": "[7]"}
"""What a machine without such a device refuses."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, ...]]:
    """How torch computes in each step and each validation of the runs to come."""
    found: list[tuple[bool, ...]] = []

    def watching(original: Callable[..., Any]) -> Callable[..., Any]:
        def watched(self: Training, *given: Any) -> Any:
            found.append(
                (
                    torch.are_deterministic_algorithms_enabled(),
                    torch.is_anomaly_enabled(),
                    torch.is_inference_mode_enabled(),
                    bool(self.trainer.sanity_checking),
                )
            )
            return original(self, *given)

        return watched

    for step in ("training_step", "validation_step"):
        monkeypatch.setattr(Training, step, watching(getattr(Training, step)))
    return found


def test_every_argument_is_tried_or_owned() -> None:
    known = {*CHANGES, *OF_OTHER_MACHINES, *OWNED}
    missing = [
        name for name in inspect.signature(Trainer.__init__).parameters if name not in {*known, "self"}
    ]
    assert missing == [], (
        f"say in CHANGES how a training shows trainer.{missing[0]}, or own it" if missing else ""
    )
    assert {*CHANGES, *OF_OTHER_MACHINES} == set(OFFERED)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_an_argument_that_is_offered_changes_a_training(
    name: str,
    seen: list[tuple[bool, ...]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = []
    for number, changes in enumerate(CHANGES[name]):
        place = tmp_path / str(number)
        del seen[:]
        with torch.random.fork_rng(devices=[]):
            code = train([*COMMAND, *changes, f"runs_dir={place}"], None)
        torch.use_deterministic_algorithms(False)
        said = capsys.readouterr()
        assert code == 0, said.err
        rows = metrics(folder_in(place))
        outcomes.append((rows, results(folder_in(place)), list(seen), bool(said.err.strip())))
    assert outcomes[0] != outcomes[1]


@pytest.mark.parametrize("name", OF_OTHER_MACHINES)
def test_a_device_that_is_not_there_is_refused_before_anything_is_made(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    typed = f"trainer.{name}={OF_OTHER_MACHINES[name]}"
    assert train([*COMMAND, typed, f"runs_dir={tmp_path / 'runs'}"], None) == 2
    error = capsys.readouterr().err
    assert "trainer" in error and "Traceback" not in error and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", OWNED)
def test_an_argument_that_a_run_decides_for_itself_is_refused_with_what_to_use(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*COMMAND, f"+trainer.{name}=7", f"runs_dir={tmp_path / 'runs'}"], None) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"trainer.{name} is not offered: {OWNED[name][1]}" in error and not (tmp_path / "runs").exists()
