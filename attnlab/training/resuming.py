"""Where an interrupted run goes on: the furthest of its checkpoints that is whole, readable and its own."""

import math
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnlab.files import flush, replacing

_NEEDED = ("state_dict", "optimizer_states", "loops", "callbacks", "figures", "global_step")


class DamagedCheckpoint(ValueError):
    """A checkpoint from which nothing can go on; the message says why."""


class Start(NamedTuple):
    """A checkpoint to go on from, its contents, and what is wrong with those that it was preferred to; no
    path and nothing in it where there is none."""

    path: Path | None
    kept: Mapping[str, Any]
    problems: Sequence[str]

    @property
    def step(self) -> int:
        """Training steps that need not be taken again."""
        return self.kept.get("global_step", 0)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return bool(self.kept.get("callbacks", {}).get("Checkpoints", {}).get("finished"))


def load(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's contents, read without running any code that it might carry."""
    return torch.load(checkpoint, map_location="cpu", weights_only=True)


def starting_point(candidates: Sequence[Path], parameters: Mapping[str, Tensor], run: str) -> Start:
    """The first of some checkpoints that a run of this name, with such parameters and buffers, can go on
    from.

    Those before it, and no others, are moved aside. Raises DamagedCheckpoint where there are some and none of
    them will do.
    """
    problems: dict[Path, str] = {}
    for path in filter(Path.exists, candidates):
        try:
            kept = _usable(path, parameters, run)
        except DamagedCheckpoint as error:
            problems[path] = str(error)
        else:
            for damaged in problems:
                _set_aside(damaged)
            return Start(path, kept, [f"{other.name} {reason}" for other, reason in problems.items()])
    if problems:
        told = "; ".join(f"{path} {reason}" for path, reason in problems.items())
        raise DamagedCheckpoint(
            f"this run cannot go on: {told}; the same command with fresh=true moves the run aside and starts "
            "over"
        )
    return Start(None, {}, [])


def _set_aside(damaged: Path) -> None:
    damaged.rename(damaged.with_name(f"{damaged.name}.damaged-{time.time_ns()}"))


def mend_best(best: Path, start: Start) -> str:
    """Make the best checkpoint of a run that goes on anew where it is damaged or missing and the one to go on
    from holds the same parameters. Returns a sentence about it; "" where nothing is wrong.

    Raises DamagedCheckpoint where no validation to come could stand for what is lost.
    """
    state = start.kept.get("callbacks", {}).get("Checkpoints", {})
    reached = state.get("reached", [])
    if start.path is None or not reached or not all(map(math.isfinite, reached)):
        return ""
    try:
        read(best)
        return ""
    except DamagedCheckpoint as error:
        reason = f"{best.name} {error}"
    figures = start.kept["figures"]
    now = [figures.get("val/sequence_accuracy"), -figures.get("val/nll", math.nan)]
    if state["validation_step"] != start.step or now != list(reached):
        raise DamagedCheckpoint(
            f"this run cannot go on: {reason}, and {start.path.name} does not hold the parameters of the "
            "best validation so far, from which its results would be taken; the same command with fresh=true "
            "moves the run aside and starts over"
        )
    if best.exists():
        _set_aside(best)
    with replacing(best) as written:
        shutil.copyfile(start.path, written)
        flush(written)
    return f"{reason}: {start.path.name} holds the same parameters and takes its place"


def read(checkpoint: Path) -> dict[str, Any]:
    """`load` of a file that may be anything. Raises DamagedCheckpoint."""
    if not checkpoint.is_file():
        raise DamagedCheckpoint("is no file")
    try:
        with zipfile.ZipFile(checkpoint) as archive:  # torch does not look at the checksums
            sound = archive.testzip() is None
        kept = load(checkpoint) if sound else None
    except Exception as error:  # what the bytes of a damaged file raise is anybody's guess
        size, kind = checkpoint.stat().st_size, type(error).__name__
        raise DamagedCheckpoint(f"is damaged: {size} bytes that cannot be read ({kind})") from None
    if not sound:
        raise DamagedCheckpoint("is damaged: its contents do not have their checksum")
    if not isinstance(kept, dict) or not all(part in kept for part in _NEEDED):
        raise DamagedCheckpoint("is no checkpoint of a run")
    return kept


def _usable(path: Path, parameters: Mapping[str, Tensor], run: str) -> dict[str, Any]:
    kept = read(path)
    shapes = {name: value.shape for name, value in kept["state_dict"].items()}
    if shapes != {name: value.shape for name, value in parameters.items()}:
        raise DamagedCheckpoint("is of another model")
    if kept.get("run", run) != run:
        raise DamagedCheckpoint(f"is of another run, {kept['run']}")
    if kept.get("waiting"):
        raise DamagedCheckpoint("was written between the batches of one step")
    return kept
