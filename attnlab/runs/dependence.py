"""Which settings a measurement depends on: asked of the objects that they make, not of a list."""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.building import assemble
from attnlab.config.checking import data_files
from attnlab.runs.kept import ASKED
from attnlab.training.answers import predictions
from attnlab.training.resuming import read


def without_effect(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    checkpoint: Path,
    trusted: Collection[str],
    vocabulary: Sequence[Any] = (),
) -> list[str]:
    """Those of the changed settings that may be put back without a difference to the examples of the exams,
    to what the trained model says of a batch of them, or to what it attends to.

    A setting without which the others cannot be is none, and neither is the name of a file of data.
    """
    keys = [key for key in _changed(before, after) if ".".join(key) not in data_files(after)]
    found, seen = [], _seen(after, checkpoint, trusted, vocabulary) if keys else []
    for group, name in keys:
        back: Any = copy.deepcopy(dict(after))
        back[group][name] = before[group][name]
        try:
            same = _equal(seen, _seen(back, checkpoint, trusted, vocabulary))
        except (ValueError, RuntimeError):  # settings that do not go together, or sizes that do not fit
            same = False
        found += [f"{group}.{name}"] if same else []
    return found


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for group in ASKED:
        for name, value in after[group].items():
            if before[group].get(name, value) != value:
                yield group, name


def _equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@torch.no_grad()
def _seen(
    tree: Mapping[str, Any], checkpoint: Path, trusted: Collection[str], vocabulary: Sequence[Any]
) -> list[Tensor]:
    """Log-probabilities of the symbols of one batch, the attention behind them, and every example of the
    exams."""
    training, kept = assemble(tree, trusted, kept=vocabulary).training, read(checkpoint)
    parameters = {name: value for name, value in kept["state_dict"].items() if name.startswith("model.")}
    training.load_state_dict(parameters, strict=False)
    training.move(kept["global_step"])
    training.eval()
    batches = [*training.task.validation(), *training.task.test()]
    seen = predictions(training.model, batches[0], training.rule)
    examples = [part for batch in batches for part in batch]
    return [seen.log_probs, seen.probs, *examples]
