"""What a machine, a precision and the data allow, known before a folder is made or a parameter is drawn.

Memory is an estimate from below: parameters with what an optimizer keeps of them, one batch of training with
the weights and logits of all its alternatives, and the exams, which are held throughout. What passes may
still be too much.
"""

import copy
import logging
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.accelerators import CPUAccelerator

from attnlab.building import Built, assemble, make, make_task
from attnlab.config.checking import data_files
from attnlab.config.trust import EVERYTHING
from attnlab.core.schedules import Scheduled
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness, generator_for
from attnlab.runs.lengths import refuse_lengths
from attnlab.tasks.batch import Batch
from attnlab.tasks.task import Task

_DTYPES = {"64-true": torch.float64, "16-true": torch.float16, "bf16-true": torch.bfloat16}
_GIB = 2**30


def prepare(tree: Mapping[str, Any], task: Task | None = None) -> Built:
    """The objects of a checked configuration that is to be trained on this machine. task: as in `assemble`.

    Raises ValueError for what cannot be.
    """
    quiet()
    trainer = make_trainer(tree)
    task = task or make_task(tree)
    _refuse_memory(tree, task, trainer)
    refuse_batches(tree["trainer"], task)
    built = assemble(tree, EVERYTHING, task)
    refuse_length(built)
    refuse_lengths(built, tree["evaluate_lengths"])
    refuse_numbers(built)
    refuse_precision(built, trainer)
    if tree["trainer"]["max_steps"] == tree["trainer"]["max_epochs"] == -1:
        # refuses a schedule that needs an end
        built.training.configure(built.training.parameters(), float("inf"), 1)
    return built


def quiet() -> None:
    """Silence what libraries say about ways of working that are not ours."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch.utils.tensorboard")


def make_trainer(
    tree: Mapping[str, Any], logger: Any = False, callbacks: list[pl.Callback] | None = None
) -> pl.Trainer:
    """Lightning's Trainer by the configuration. Raises ValueError for what Lightning refuses."""
    node = tree["trainer"] | {"enable_progress_bar": False}  # Lightning's; see Progress
    try:
        return make(
            {"enable_model_summary": False}
            | node
            | {"logger": logger, "callbacks": callbacks, "enable_checkpointing": bool(callbacks)}
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ValueError(f"trainer: {error}") from error


def refuse_batches(trainer: Mapping[str, Any], task: Task) -> None:
    """Raises ValueError for a limit that leaves no batch, for validations that an epoch never reaches, and
    for several of them to one optimizer step."""
    for name, count in (("val", lambda: _number(task.validation())), ("test", lambda: _number(task.test()))):
        _refuse_none(trainer, name, count() if _is_part(trainer[f"limit_{name}_batches"]) else 1)
    epoch, limit = task.steps_per_epoch, trainer["limit_train_batches"]
    _refuse_none(trainer, "train", epoch)
    epoch = int(epoch * limit) if isinstance(limit, float) else min(epoch, limit)
    interval = trainer["val_check_interval"]
    if isinstance(interval, int) and interval > epoch and trainer["check_val_every_n_epoch"] is not None:
        raise ValueError(
            f"trainer.val_check_interval={interval} is more than the {epoch} batches of an epoch; with "
            "trainer.check_val_every_n_epoch=null they are counted across epochs"
        )
    between = interval if isinstance(interval, int) else int(epoch * interval)
    if between < min(trainer["accumulate_grad_batches"], epoch):
        raise ValueError(
            f"trainer.val_check_interval={interval} validates after every {max(1, between)} of "
            f"{epoch} batches, and trainer.accumulate_grad_batches={trainer['accumulate_grad_batches']} "
            "takes more than that for one step: the same parameters would be validated and judged again"
        )


def _is_part(limit: int | float) -> bool:
    return isinstance(limit, float) and limit < 1


def _number(batches: Iterable[Batch]) -> int:
    return sum(1 for _ in batches)


def _refuse_none(trainer: Mapping[str, Any], name: str, batches: int) -> None:
    limit = trainer[f"limit_{name}_batches"]
    if isinstance(limit, float) and int(batches * limit) == 0:
        raise ValueError(
            f"trainer.limit_{name}_batches={limit} of {batches} batches leaves none; a whole number, such "
            "as 1, is a number of batches"
        )


def refuse_length(built: Built) -> None:
    """Raises ValueError for data that a model with a limit cannot read, or whose outputs it cannot say."""
    most, task = built.model.longest, built.task
    if most is None:
        return
    batches = [*task.validation(), *task.test(), task.train(0)]
    needed = max(2 * task.longest_target, *(batch.source.size(1) for batch in batches))
    if needed > most:
        raise ValueError(
            f"model.longest must be at least {needed} for these data, the longest source or twice the "
            f"longest target, got {most}"
        )


def refuse_numbers(built: Built) -> None:
    """Raises ValueError for a beta or temperature that is no number of the precision computed in."""
    precision = built.config["trainer"]["precision"]
    range_ = torch.finfo(_DTYPES.get(precision, torch.float32))
    for path, part in built.training.named_modules():
        for number in (part.start, part.end) if isinstance(part, Scheduled) else ():
            if not range_.tiny <= number <= range_.max:
                raise ValueError(
                    f"{path.rpartition('.')[2]} must lie between {range_.tiny:.3g} and {range_.max:.3g}, as "
                    f"trainer.precision={precision} computes in {range_.dtype}, got {number}"
                )


def refuse_precision(built: Built, trainer: pl.Trainer) -> None:
    """Raises ValueError where this processor cannot compute the model in the precision asked for: two
    examples are tried."""
    precision = built.config["trainer"]["precision"]
    if precision in ("32-true", "64-true") or not isinstance(trainer.accelerator, CPUAccelerator):
        return
    examples = Batch(*(tensor[:2] for tensor in built.task.train(0)))
    try:
        model: Any = trainer.precision_plugin.convert_module(copy.deepcopy(built.model))
        with trainer.precision_plugin.forward_context():
            randomness = Randomness(generator_for(0, "trial"))
            taken = taken_by(model, examples, built.mechanism.selector, randomness)
            token_losses(taken.readout, examples.target).sum().backward()
    except RuntimeError as error:
        raise ValueError(
            f"trainer.precision={precision}: this processor cannot compute this model in it "
            f"({str(error).splitlines()[0]}); 32-true always works, and another model may"
        ) from None


def _refuse_memory(tree: Mapping[str, Any], task: Task, trainer: pl.Trainer) -> None:
    """Raises ValueError for a run that needs more memory than there is, by an estimate from below."""
    wide = {"64-true": 8, "16-true": 2, "bf16-true": 2}.get(tree["trainer"]["precision"], 4)
    made = not any(key.startswith("task.") for key in data_files(tree))
    one = make_task(dict(tree) | {"batch_size": 1}).train(0) if made else task.train(0)
    source, target = one.source.size(1), one.target.size(1)
    batch = tree["batch_size"] if made else len(one.source)
    draws = tree["attention"].get("samples", 1)
    exams = sum(tree["task"].get(f"{name}_examples", 0) for name in ("validation", "test"))
    example = 8 * (source + target) + target * source
    needed = {
        "parameters": 3 * wide * _parameters(tree, task),
        "a batch of training": batch * (example + draws * target * (source + task.target_symbols) * wide),
        "the examples of validation and test": exams * example,
    }
    there = _memory(trainer)
    if sum(needed.values()) > there:
        parts = ", ".join(f"{size / _GIB:,.1f} for {part}" for part, size in needed.items())
        raise ValueError(
            f"this run needs at least {sum(needed.values()) / _GIB:,.1f} GiB of memory ({parts}), and there "
            f"are {there / _GIB:,.1f} here"
        )


def _parameters(tree: Mapping[str, Any], task: Task) -> int:
    """How many parameters a model has, without making one; 0 for a model that cannot be outlined."""
    try:
        with torch.device("meta"):
            return sum(value.numel() for value in assemble(tree, EVERYTHING, task).training.parameters())
    except ValueError as error:
        if isinstance(error.__cause__, (NotImplementedError, RuntimeError)):
            return 0
        raise


def _memory(trainer: pl.Trainer) -> int:
    """Bytes of the GPU, or of this machine, or of the part of it that a container may use."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.is_file() else ""
    return min(whole, int(text)) if text.isdecimal() else whole
