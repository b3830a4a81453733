"""The microscope on a run that is there: its model at a checkpoint, or as it was before training."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import torch as torch

from attnlab.building import assemble
from attnlab.config.checking import ConfigurationError
from attnlab.microscope.callback import applicable, probe_batch
from attnlab.microscope.live import Found, Probe, survey
from attnlab.runs.limits import make_trainer, quiet
from attnlab.runs.measuring import restore
from attnlab.runs.opening import Opened


def looked(
    run: Opened,
    trusted: Collection[str],
    checkpoint: str,
    mechanisms: Sequence[str] | None,
    examples: int,
    draws: int,
    seed: int,
    told: Callable[[str], None],
) -> Iterator[tuple[str, Found]]:
    """Mechanisms by their names as they are measured on the weights of an opened run.

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
    probe = Probe(built.model, probe_batch(built.training, examples))
    own = built.mechanism if checkpoint != "fresh" else None
    yield from survey(probe, dict(applicable(built.model, mechanisms, own, step)), draws, seed)
