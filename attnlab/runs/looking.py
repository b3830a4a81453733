"""The microscope on a run that is there: its model at a checkpoint, or as it was before training."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch as torch

from attnlab.building import Built, assemble
from attnlab.config.checking import ConfigurationError
from attnlab.core.interfaces import Mechanism
from attnlab.microscope.callback import applicable, probe_batch
from attnlab.microscope.chart import Over
from attnlab.microscope.live import PASSES, Found, Probe, survey
from attnlab.runs.limits import make_trainer, quiet
from attnlab.runs.measuring import restore
from attnlab.runs.opening import Opened
from attnlab.tasks.batch import PAD, Batch
from attnlab.tasks.task import Task

BETAS = (0.25, 0.5, 1.0, 2.0, 4.0)
LENGTHS = 6
"""Of sources, at most."""


class Look(NamedTuple):
    """A model on which mechanisms are looked at, and how."""

    built: Built
    mechanisms: dict[str, Mechanism]
    examples: int  # of the validation
    draws: int  # estimates of each
    seed: int

    def survey(self) -> Iterator[tuple[str, Found]]:
        """Mechanisms by their names, as they are measured."""
        batch = probe_batch(self.built.training, self.examples)
        yield from survey(Probe(self.built.model, batch), self.mechanisms, self.draws, self.seed)

    def over(self, what: Over) -> Iterator[tuple[float, dict[str, Found]]]:
        """The same at each beta, or on examples of each length, with a quarter of the estimates."""
        model, same = self.built.model, probe_batch(self.built.training, self.examples)
        if what == "beta":
            probes = {beta: Probe(model, same, beta) for beta in BETAS}
        else:
            batches = _by_length(self.built.task, self.examples)
            probes = {float(length): Probe(model, batch) for length, batch in batches.items()}
        for at, probe in probes.items():
            yield at, dict(survey(probe, self.mechanisms, max(PASSES, self.draws // 4), self.seed))


def look(
    run: Opened,
    trusted: Collection[str],
    checkpoint: str,
    mechanisms: Sequence[str] | None,
    examples: int,
    draws: int,
    seed: int,
    told: Callable[[str], None],
) -> Look:
    """The weights of an opened run, and the mechanisms of these names there, or all.

    checkpoint: best, last, fresh (the model before training), or the path of a file. Raises
    ConfigurationError and ValueError for what there is not.
    """
    quiet()
    built = assemble(run.tree, trusted, None, run.vocabulary)
    trainer = make_trainer(run.tree)
    step = 0
    built.training.move(step)
    if checkpoint != "fresh":
        named = {"best": run.checkpoint, "last": run.checkpoint.with_name("last.ckpt")}
        path = named.get(checkpoint, Path(checkpoint))
        if not path.is_file():
            raise ConfigurationError(f"checkpoint must be best, last, fresh or a file, got {checkpoint}")
        step = restore(built, trainer, path)
    told(f"step {step}: {examples} examples of the validation, {draws} estimates of each mechanism")
    own = built.mechanism if checkpoint != "fresh" else None
    return Look(built, dict(applicable(built.model, mechanisms, own, step)), examples, draws, seed)


def _by_length(task: Task, examples: int) -> dict[int, Batch]:
    """Examples of the validation with sources of one length, for lengths from the shortest to the longest;
    those of which a batch has less than half as many as of others are left out."""
    found: dict[int, Batch] = {}
    for batch in task.validation():
        lengths = (batch.source != PAD).sum(1)
        for length in lengths.unique().tolist():
            some = Batch(*(part[lengths == length][:examples] for part in batch)).trimmed()
            if length not in found or len(found[length].source) < len(some.source):
                found[length] = some
    most = max(len(batch.source) for batch in found.values())
    enough = sorted(length for length, batch in found.items() if len(batch.source) >= most / 2)
    last = len(enough) - 1
    chosen = {enough[round(last * n / max(1, LENGTHS - 1))] for n in range(LENGTHS)}
    return {length: found[length] for length in sorted(chosen)}
