"""Examples of an exam as a person reads them: source, target, what the model says, and where it looks."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.building import Built
from attnlab.core.evaluation import rule_named
from attnlab.models.decoding import greedy
from attnlab.models.model import Model
from attnlab.tasks.batch import PAD, Batch
from attnlab.tasks.lines import Lines, lines_of
from attnlab.training.answers import predictions


class Map(NamedTuple):
    """Where one head of one site looks."""

    name: str
    weights: Float[Tensor, "T S"]  # the distribution over the source that the rule reads, from 0 to 1


class Example(NamedTuple):
    """An example of an exam, and what a model makes of it."""

    source: Sequence[str]
    target: Sequence[str]  # its end last, as <eos>
    prediction: list[str]  # free-running, without its end
    right: bool
    looked: list[int]  # of each symbol of the prediction the position that it looked at most, from 1
    maps: list[Map]  # with the right symbols before each: rows are those of the target
    gold: Bool[Tensor, "T S"]  # right positions, where the task knows them
    rule: str


@torch.no_grad()
def examples(built: Built, number: int) -> list[Example]:
    """So many examples of the validation, or all where there are fewer: those in the middle of equal parts of
    it, the same for every run of a task."""
    batches, lines = list(built.task.validation()), lines_of(built.task, built.config["task"])
    total, training = sum(len(batch.source) for batch in batches), built.model.training
    number = min(number, total)
    built.model.eval()
    chosen = [_alone(batches, (2 * part + 1) * total // (2 * number)) for part in range(number)]
    found = [_example(built, batch, lines) for batch in chosen]
    built.model.train(training)
    return found


def _alone(batches: Iterable[Batch], index: int) -> Batch:
    """A row of some batches by its number, without padding."""
    for batch in batches:
        if index < len(batch.source):
            source, target, gold = (side[index : index + 1] for side in batch)
            positions, steps = int((source != PAD).sum()), int((target != PAD).sum())
            return Batch(source[:, :positions], target[:, :steps], gold[:, :steps, :positions])
        index -= len(batch.source)
    raise IndexError(index)


def _example(built: Built, batch: Batch, lines: Lines) -> Example:
    model, rule = built.model, built.training.rule
    batch = batch.to(next(model.parameters()).device)
    output = greedy(model, batch, rule, 2 * built.task.longest_target)
    said = predictions(model, batch._replace(target=output), rule).probs[:, 0]  # N T S
    prediction = lines.target(output[0].tolist())
    looked = said.mean(0).argmax(-1)[: len(prediction)] if len(said) else said.new_empty(0)
    maps = zip(_heads(model), predictions(model, batch, rule).probs[:, 0].cpu(), strict=True)
    return Example(
        [lines.source_names[int(symbol)] for symbol in batch.source[0]],
        [lines.target_names[int(symbol)] for symbol in batch.target[0]],
        prediction,
        torch.equal(output, batch.target),
        [1 + int(position) for position in looked],
        [Map(name, weights) for name, weights in maps],
        batch.gold[0].expand(batch.target.size(1), -1).cpu(),
        rule_named(built.mechanism, built.config["evaluate_as"]),
    )


def _heads(model: Model) -> list[str]:
    """Names of the heads between source and target, in the order of predictions."""
    sites = [(name, place.heads) for name, place in model.sites.items() if place.aligned]
    return [f"{name}, head {n + 1}" if heads > 1 else name for name, heads in sites for n in range(heads)]


def told(example: Example) -> dict[str, str]:
    """An example in words, as a run keeps it: source, target and prediction, whether it is right, and from
    which positions its symbols came, counted from 1."""
    sides = {"source": example.source, "target": example.target[:-1], "prediction": example.prediction}
    said = {name: " ".join(symbols) for name, symbols in sides.items()}
    looked = " ".join(map(str, example.looked))
    return said | {"verdict": "right" if example.right else "wrong", "looked_at": looked}
