"""Small runs for tests: their folders and figures, what they knew before each step, and deaths at a step."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.training.lightning_module import Training

SMALL = [
    "model.hidden_size=6",
    "model.embedding_size=5",
    "model.readout_size=7",
    "batch_size=8",
    "trainer.log_every_n_steps=5",
]
LITTLE = [*SMALL, "task.validation_examples=10", "task.test_examples=10", "batch_size=3"]
LITTLE += ["task.shortest=2", "task.longest=4"]  # an untrained model decodes twice the longest target


def folder_in(place: Path) -> Path:
    """The only run below a folder."""
    (status,) = place.rglob("status.json")
    return status.parent


def metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without clock times."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [
            {tag: value for tag, value in row.items() if not tag.startswith("speed/")}
            for row in csv.DictReader(file)
        ]


def results(folder: Path) -> dict[str, float]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def same(one: Any, other: Any) -> bool:
    """Equal bit for bit, all the way down."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def captured(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Tensor]]:
    """What runs from now on know before each step: parameters, and the state of a baseline."""
    states: dict[int, dict[str, Tensor]] = {}
    original = Training.training_step

    def watching(self: Training, batch: Any, batch_idx: int) -> Any:
        states[self.trainer.global_step] = {name: value.clone() for name, value in self.state_dict().items()}
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", watching)
    return states


class Killed(BaseException):
    """Stands for kill -9: nothing of the program sees it."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training die when it begins a step."""
    original = Training.training_step

    def dying(self: Training, batch: Any, batch_idx: int) -> Any:
        if self.trainer.global_step == step:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", dying)
