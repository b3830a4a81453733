"""Which settings a measurement depends on: asked of the objects that they make, not of a list."""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.building import assemble
from attnlab.models.model import predict, taken_by
from attnlab.randomness import Randomness
from attnlab.training.metrics import alignment
from attnlab.training.resuming import read


def without_effect(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    keys: Iterable[str],
    checkpoint: Path,
    trusted: Collection[str],
    vocabulary: Sequence[Any] = (),
) -> list[str]:
    """Those of the changed keys that may be put back without a difference to what the trained model says of a
    batch of the validation, or to what it attends to. A key without which the others cannot be is none."""
    keys = list(keys)
    found, seen = [], _seen(after, checkpoint, trusted, vocabulary) if keys else ()
    for key in keys:
        group, _, name = key.partition(".")
        back: Any = copy.deepcopy(dict(after))
        back[group][name] = before[group][name]
        try:
            same = all(map(torch.equal, seen, _seen(back, checkpoint, trusted, vocabulary)))
        except (ValueError, RuntimeError):  # settings that do not go together, or sizes that do not fit
            same = False
        found += [key] if same else []
    return found


@torch.no_grad()
def _seen(
    tree: Mapping[str, Any], checkpoint: Path, trusted: Collection[str], vocabulary: Sequence[Any]
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the symbols of one batch, and the attention behind them."""
    training, kept = assemble(tree, trusted, kept=vocabulary).training, read(checkpoint)
    parameters = {name: value for name, value in kept["state_dict"].items() if name.startswith("model.")}
    training.load_state_dict(parameters, strict=False)
    training.move(kept["global_step"])
    training.eval()
    batch = next(iter(training.task.validation()))
    taken = taken_by(training.model, batch, training.rule, Randomness(torch.Generator()))
    return predict(taken.logits, taken.mass), alignment(training.model, taken)
