"""Examples of an exam as a person reads them: source, target, what the model says, and where it looks."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from attnlab.building import Built
from attnlab.tasks.batch import Batch
from attnlab.tasks.names import names_of
from attnlab.training.answers import read
from attnlab.training.pictures import Map
from attnlab.training.showing import Answer, alone, answer, maps, read_as


class Example(NamedTuple):
    """An example of an exam, and what a model makes of it."""

    answer: Answer
    maps: dict[str, Map]  # by site, the right symbols before each step given
    read_as: str  # how the weights are read


@torch.no_grad()
def examples(built: Built, number: int) -> list[Example]:
    """So many examples of the validation, or all where there are fewer: those in the middle of equal parts of
    it, the same for every run of a task."""
    batches, names, model = list(built.task.validation()), names_of(built.task), built.model
    rule, limit = built.training.rule, 2 * built.task.longest_target
    total, device, training = sum(len(batch.source) for batch in batches), _device(built), model.training
    number, found = min(number, total), []
    model.eval()
    for part in range(number):
        batch = _at(batches, (2 * part + 1) * total // (2 * number)).to(device)
        seen = dict(maps(model.sites, read(model, batch, rule), batch, names))
        found.append(Example(answer(model, batch, rule, limit, names), seen, read_as(rule)))
    model.train(training)
    return found


def _device(built: Built) -> torch.device:
    return next(built.model.parameters()).device


def _at(batches: Iterable[Batch], index: int) -> Batch:
    """A row of some batches by its number."""
    for batch in batches:
        if index < len(batch.source):
            return alone(batch, index)
        index -= len(batch.source)
    raise IndexError(index)


def told(example: Example) -> dict[str, str]:
    """An example in words, as a run keeps it: source, target and prediction, whether it is right, and from
    which positions its symbols came, counted from 1."""
    seen = example.answer
    sides = {"source": seen.source, "target": seen.target, "prediction": seen.said}
    said = {name: " ".join(symbols) for name, symbols in sides.items()}
    looked = " ".join(map(str, seen.looked_at))
    return said | {"verdict": "right" if seen.right else "wrong", "looked_at": looked}
