"""The microscope on a model while it trains: bias and variance of every mechanism on its own weights."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from attnlab.building import make_part
from attnlab.config.composing import choices
from attnlab.config.single import chosen
from attnlab.core.interfaces import Mechanism
from attnlab.core.schedules import move_all
from attnlab.mechanisms.variational import Informed
from attnlab.microscope.advice import advice
from attnlab.microscope.chart import chart
from attnlab.microscope.files import keep, markdown
from attnlab.microscope.live import PASSES, WEIGHTS, Found, Probe, survey
from attnlab.microscope.moments import BUDGET
from attnlab.models.model import Model
from attnlab.randomness import derive
from attnlab.settings import Count
from attnlab.tasks.batch import Batch
from attnlab.training.callbacks.maps import add_words
from attnlab.training.lightning_module import Training


class Microscope(Callback):
    """Every `every` steps, or at the end of a run that has fewer, on a fixed batch of the validation and the
    weights as they are: microscope.csv in the run's folder, a row a mechanism and place; in TensorBoard
    microscope/<mechanism>/{relative_bias,expected_bias,cosine,relative_variance,signal_to_noise,
    squared_error,cost,milliseconds} at all weights, the image microscope/bias_against_variance, and the text
    microscope/what_to_use.

    mechanisms: names, each with settings behind it where they are not the defaults, "hard_reinforce
    baseline=none samples=1"; null for all that the model allows. It draws from a stream of its own and works
    on copies: the run is the same with it and without it, bit for bit.
    """

    def __init__(self, *, every: Count, examples: Count, draws: Count, mechanisms: list[str] | None):
        if draws < PASSES:
            raise ValueError(f"draws must be at least {PASSES}, to tell bias from noise, got {draws}")
        self.every, self.examples, self.draws = every, examples, draws
        self.mechanisms = mechanisms
        for words in mechanisms or ():
            settings_of(words)  # refused now where there are none
        self.batch: Batch | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: Training, outputs: Any, *args: Any) -> None:
        step = trainer.global_step
        if outputs["step"] != step and step % self.every == 0:
            self._look(trainer, pl_module, step)

    def on_train_end(self, trainer: Trainer, pl_module: Training) -> None:
        if 0 < trainer.global_step < self.every:  # or a short run would show nothing
            self._look(trainer, pl_module, trainer.global_step)

    @torch.random.fork_rng(devices=[])
    @torch.inference_mode(False)
    def _look(self, trainer: Trainer, training: Training, step: int) -> None:
        if self.batch is None:
            self.batch = probe_batch(training, self.examples)
        probe = Probe(training.model, self.batch.to(training.device))
        mechanisms = dict(applicable(training.model, self.mechanisms, training.mechanism, step))
        found = dict(survey(probe, mechanisms, self.draws, derive(training.seed, "microscope", step)))
        board = next((one for one in trainer.loggers if isinstance(one, TensorBoardLogger)), None)
        if board is None or not found:
            return
        keep(Path(board.log_dir) / "microscope.csv", step, found)
        for name, one in found.items():
            for figure, value in figures(one).items():
                board.experiment.add_scalar(f"microscope/{name}/{figure}", value, step)
        says = advice(found, _TARGET)
        words = f"{says}\n\n{_LEGEND}\n\n{markdown(found)}"
        add_words(board.experiment, "microscope/what_to_use", words, step)
        image = chart(found, step)
        board.experiment.add_image("microscope/bias_against_variance", image, step, dataformats="HWC")


_TARGET = 0.1
"""Relative error for which advice is given."""
_LEGEND = (
    "Relative to the length of the exact gradient, at all weights. bias: against the mechanism's own "
    "objective, <x where none is told; expected: likewise against the expected loss; variance: of one "
    "estimate; cost: evaluations of the loss; error: root mean squared distance from the gradient of the "
    f"expected loss at {BUDGET} evaluations."
)


def probe_batch(training: Training, examples: int) -> Batch:
    """The first examples of the validation, without padding that all of them share."""
    return Batch(*(part[:examples] for part in next(iter(training.task.validation())))).trimmed()


def applicable(
    model: Model, names: Sequence[str] | None, own: Mechanism | None, step: int
) -> Iterator[tuple[str, Mechanism]]:
    """Mechanisms by their names, as they are at a step, in double precision; the run's own with what its
    baseline has learned. Raises ConfigurationError and ValueError for what is none."""
    for words in names or choices("attention"):
        mechanism: Mechanism = make_part("attention", settings_of(words))
        mechanism.estimator.prepare(model.sites)
        if own is not None and " " not in words and _alike(own, mechanism):
            distribution, selector, estimator = copy.deepcopy(own[:3])
            mechanism = Mechanism(distribution, selector, estimator, own.facts)
        elif names is None and isinstance(mechanism.selector, Informed):
            continue  # without an inference network it is hard_reinforce
        for part in mechanism[:3]:
            part.double()
            move_all(part, step)
        yield words, mechanism


def settings_of(words: str) -> dict[str, Any]:
    """The settings of a mechanism from its name and those of its settings that are not the defaults,
    "hard_reinforce samples=1". Raises ConfigurationError."""
    name, *settings = words.split() or [""]
    return chosen("attention", [f"attention={name}", *(f"attention.{setting}" for setting in settings)])


def _alike(one: Mechanism, other: Mechanism) -> bool:
    """Whether two mechanisms are of one factory, as far as their parts tell."""
    alike = (type(x) is type(y) for x, y in zip(one[:3], other[:3], strict=True))
    return one.facts == other.facts and all(alike)


def figures(found: Found) -> dict[str, float]:
    """What TensorBoard shows of a mechanism: its figures at all weights."""
    own, expected = found.own[WEIGHTS], found.expected[WEIGHTS]
    return {
        "relative_bias": own.relative_bias,
        "expected_bias": expected.relative_bias,
        "cosine": own.cosine,
        "relative_variance": own.relative_variance,
        "signal_to_noise": own.signal_to_noise,
        "squared_error": own.squared_error(found.cost),
        "cost": found.cost,
        "milliseconds": found.milliseconds,
    }
