"""Attention as it sharpens: maps, predictions and histograms of a few examples at every validation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard.summary import text
from torch.utils.tensorboard.writer import SummaryWriter

from attnlab import functional
from attnlab.settings import Count
from attnlab.tasks.batch import PAD, Batch
from attnlab.tasks.names import Names, names_of
from attnlab.tasks.task import Task
from attnlab.training.answers import read
from attnlab.training.lightning_module import Training
from attnlab.training.pictures import picture
from attnlab.training.showing import Answer, alone, answer, maps, read_as

_COUNTED = 64
"""Examples of which the weights are counted."""
_BINS = 30
_HEADING = "| source | target | prediction | right | looked at |\n|---|---|---|---|---|"


class AttentionMaps(Callback):
    """At every validation, of a few fixed examples of it, in TensorBoard: the image attention/<site> with
    what each target symbol reads, the right prefix given; the text predictions; and histograms of the entropy
    of the weights and of the largest of them, attention/entropy and attention/largest_weight.

    It draws nothing at random and moves no number of a run.
    """

    def __init__(self, *, number: Count):
        self.wanted = number
        self.examples: list[Batch] = []
        self.counted: list[Batch] = []

    def on_validation_end(self, trainer: Trainer, pl_module: Training) -> None:
        boards = [one.experiment for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
        if trainer.sanity_checking or trainer.state.fn != "fit" or not boards:
            return
        if not self.examples:
            self._choose(pl_module.task)
        names, step = names_of(pl_module.task), trainer.global_step
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            images, rows = self._shown(pl_module, names)
            histograms = _histograms(pl_module, self.counted[0].to(pl_module.device))
        for board in boards:
            for site, image in images.items():
                board.add_image(f"attention/{site}", image, step, dataformats="HWC")
            add_words(board, "predictions", "\n".join([_HEADING, *rows]), step)
            for name, counted in histograms.items():
                board.add_histogram_raw(f"attention/{name}", **counted, global_step=step)

    def _choose(self, task: Task) -> None:
        """Examples from all over the validation, the same at every one."""
        batches = list(task.validation())
        self.counted = [Batch(*(part[:_COUNTED] for part in batches[0]))]
        places = [(batch, row) for batch in batches for row in range(len(batch.source))]
        wanted = np.linspace(0, len(places) - 1, min(self.wanted, len(places))).astype(int)
        self.examples = [alone(*places[index]) for index in wanted]

    def _shown(self, training: Training, names: Names) -> tuple[dict[str, Any], list[str]]:
        """The picture of each site, and the rows of the table."""
        pictures: dict[str, list[Any]] = {}
        rows, model, rule = [], training.model, training.rule
        for number, example in enumerate(self.examples, 1):
            batch = example.to(training.device)
            for site, map_ in maps(model.sites, read(model, batch, rule), batch, names):
                title = f"{number}: {site}, {read_as(rule)}"
                pictures.setdefault(site, []).append(picture(map_, title))
            rows.append(_row(answer(model, batch, rule, 2 * training.task.longest_target, names)))
        return {site: _stacked(parts) for site, parts in pictures.items()}, rows


def add_words(board: SummaryWriter, tag: str, words: str, step: int) -> None:
    """Markdown for the tab of texts, under a tag as it is: torch adds an ending."""
    told = text(tag, words)
    told.value[0].tag = tag
    board._get_file_writer().add_summary(told, step)


def _row(shown: Answer) -> str:
    parts = [_words(part) for part in (shown.source, shown.target, shown.said)]
    return f"| {' | '.join([*parts, 'yes' if shown.right else 'no', ' '.join(map(str, shown.looked_at))])} |"


def _words(symbols: Sequence[str]) -> str:
    """As they stand in a table of Markdown: code, in which only its own marks must be kept apart."""
    told = " ".join(symbols).replace("|", "\N{FULLWIDTH VERTICAL LINE}")
    return f"`` {told} ``" if told else ""


def _stacked(pictures: Sequence[Any]) -> Any:
    """Below one another, on white."""
    widest = max(image.shape[1] for image in pictures)
    each = [
        np.pad(image, ((0, 10), (0, widest - image.shape[1]), (0, 0)), constant_values=255)
        for image in pictures
    ]
    return np.concatenate(each)


def _histograms(training: Training, batch: Batch) -> dict[str, dict[str, Any]]:
    """Of all sites and heads between source and target, counted over equal bins: `add_histogram` would sort
    all values, and costs ten times as much."""
    taken, valid = read(training.model, batch, training.rule), batch.target != PAD
    entropies, largest = [], []
    for name, place in training.model.sites.items():
        if place.aligned:
            probs = taken.sites[name].selection.probs[0].double()
            counts = valid.view(len(valid), *(1,) * (probs.ndim - 3), -1).expand(probs.shape[:-1])
            entropies.append(functional.entropy(probs)[counts])
            largest.append(probs.amax(-1)[counts])
    if not entropies:
        return {}
    highest = max(math.log(batch.source.size(1)), 1e-3)
    return {
        "entropy": _counted(torch.cat(entropies), highest),
        "largest_weight": _counted(torch.cat(largest), 1.0),
    }


def _counted(values: Tensor, highest: float) -> dict[str, Any]:
    """The arguments of `add_histogram_raw`."""
    return {
        "min": values.min().item(),
        "max": values.max().item(),
        "num": len(values),
        "sum": values.sum().item(),
        "sum_squares": values.square().sum().item(),
        "bucket_limits": np.linspace(0, highest, _BINS + 1)[1:].tolist(),
        "bucket_counts": values.clamp(0, highest).histc(_BINS, 0, highest).tolist(),
    }
