"""The figures of a checkpoint, at the end of a training or whenever a finished run is measured again."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from attnlab.building import Built
from attnlab.core.evaluation import alike
from attnlab.runs.limits import (
    make_trainer,
    refuse_batches,
    refuse_length,
    refuse_numbers,
    refuse_precision,
)
from attnlab.settings import EvaluateAs
from attnlab.tasks.task import Collected, Synthetic, Task
from attnlab.training.resuming import DamagedCheckpoint, read

_TERMINATION = "SIGTERM"
"""What a KeyboardInterrupt carries that was asked for by this signal."""
log = logging.getLogger("attnlab")
_SOFT_AND_HARD: tuple[EvaluateAs, EvaluateAs] = ("soft", "argmax")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lightning answers Ctrl-C with sys.exit and ignores the next one; here it stays a KeyboardInterrupt."""
    try:
        yield
    except SystemExit as asked:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt(*[_TERMINATION] * isinstance(asked, SIGTERMException)) from None


def restore(built: Built, trainer: pl.Trainer, checkpoint: Path) -> int:
    """Give a model the parameters of a checkpoint, in the trainer's precision, and its schedules the step,
    which is returned.

    Raises ValueError for a checkpoint of other parameters.
    """
    training = built.training
    trainer.precision_plugin.convert_module(training)  # else parameters are rounded to float32
    try:
        kept = read(checkpoint)
    except DamagedCheckpoint as error:
        raise ValueError(f"{checkpoint} {error}") from None
    parameters = {
        name.removeprefix("model."): value
        for name, value in kept["state_dict"].items()
        if name.startswith("model.")
    }
    if not all(bool(value.isfinite().all()) for value in parameters.values()):
        raise ValueError(f"{checkpoint} holds parameters that are infinite or not a number")
    for name, value in training.model.state_dict().items():
        if name in parameters and parameters[name].is_floating_point() != value.is_floating_point():
            raise ValueError(f"{checkpoint} is damaged: {name} holds {parameters[name].dtype}")
    try:
        training.model.load_state_dict(parameters)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(
            f"{checkpoint} does not fit the settings of the model, of config.yaml, or the symbols, of "
            f"vocabulary.json: {reason}"
        ) from None
    training.move(kept["global_step"])
    return kept["global_step"]


def validated(checkpoint: Path) -> dict[str, float]:
    """The val/* figures of the validation by which training kept a checkpoint; {} where it holds none."""
    with contextlib.suppress(DamagedCheckpoint):
        figures = read(checkpoint).get("figures", {})
        return {tag: value for tag, value in figures.items() if tag.startswith("val/")}
    return {}


@interruptible()
@torch.random.fork_rng(devices=[])  # which training and evaluation seed
def measure(
    built: Built,
    checkpoint: Path,
    told: Callable[[str], None] = log.info,
    known: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """val/* and test/* figures of a checkpoint under the configuration's evaluation rule, data and precision;
    `told` what is being measured. known: its val/* figures, where these were taken under just these and are
    not taken again.

    `val/soft_argmax_gap` is the sequence accuracy of the same validation with averaged values less that with
    the most probable position; there is none where a choice depends on the step before.

    Raises ValueError for a checkpoint of other parameters.
    """
    training, trainer = built.training, make_trainer(built.config)
    restore(built, trainer, checkpoint)
    untrained = {"limit_train_batches": 1.0, "val_check_interval": 1.0}
    refuse_batches(built.config["trainer"] | untrained, built.task)
    refuse_length(built)
    refuse_numbers(built)
    refuse_precision(built, trainer)
    training.figures = dict(known)
    if not known:
        told("measuring the best checkpoint on validation data")
        trainer.validate(training, verbose=False)
    told("measuring it on test data")
    trainer.test(training, verbose=False)
    results, own = training.figures, training.rule
    gap = {}
    if built.mechanism.distribution.apart:
        told("measuring what hardening its attention costs")
        accuracy = {}
        for rule in _SOFT_AND_HARD:
            training.evaluate_as, training.figures = rule, {}
            if alike(training.rule, own):
                training.figures = results
            else:
                trainer.validate(training, verbose=False)
            accuracy[rule] = training.figures["val/sequence_accuracy"]
        gap = {"val/soft_argmax_gap": accuracy["soft"] - accuracy["argmax"]}
    training.evaluate_as, training.figures = built.config["evaluate_as"], results
    counts = built.task.counts if isinstance(built.task, Collected) else {}
    return results | gap | dict(counts) | regrets(built.task, results)


def regrets(task: Task, results: Mapping[str, float]) -> dict[str, float]:
    """Bayes-optimal accuracy less sequence accuracy, and the former, of each exam of which it is known."""
    known = task.bayes_accuracy() if isinstance(task, Synthetic) else {}
    exams = {tag: tag.partition("/")[0] for tag in known}
    return known | {
        f"{exam}/regret": known[tag] - results[f"{exam}/sequence_accuracy"] for tag, exam in exams.items()
    }
