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
from torch.utils._pytree import tree_leaves

from attnlab.files import flush, replacing

_NEEDED: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "loops": dict,
    "callbacks": dict,
    "figures": dict,
    "global_step": int,
}
"""What every checkpoint holds, and of which type."""
_RESUMED: dict[str, type] = {
    "lr_schedulers": list,
    "epoch": int,
    "pytorch-lightning_version": str,
    "stopped": bool,
    "waiting": int,
    "run": str,
}
"""What training takes up beside."""


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
    _refuse_other_types(kept, _NEEDED)
    if kept["global_step"] < 0 or not all(map(_is_plain, kept["state_dict"].values())):
        raise DamagedCheckpoint("is damaged: its steps or parameters are none")
    return kept


def _is_plain(value: Any) -> bool:
    """Whether something is a tensor of numbers as a parameter or a buffer is."""
    strided = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    return strided and not value.is_complex()


def _refuse_other_types(kept: Mapping[str, Any], types: Mapping[str, type], inside: str = "") -> None:
    """Raises DamagedCheckpoint for a part of another type; True is no number."""
    for name, kind in types.items():
        if name in kept and (not isinstance(kept[name], kind) or kept[name] is True and kind is not bool):
            raise DamagedCheckpoint(f"is damaged: {inside}{name} is {type(kept[name]).__name__}")


def _usable(path: Path, parameters: Mapping[str, Tensor], run: str) -> dict[str, Any]:
    kept = read(path)
    _refuse_other_types(kept, _RESUMED)
    kinds = {name: (value.shape, value.dtype) for name, value in kept["state_dict"].items()}
    if kinds != {name: (value.shape, value.dtype) for name, value in parameters.items()}:
        raise DamagedCheckpoint("is of another model")
    if missing := [name for name in _RESUMED if name not in kept]:
        raise DamagedCheckpoint(f"is damaged: it lacks {', '.join(missing)}")
    _refuse_other_state(kept, parameters)
    if kept.get("run", run) != run:
        raise DamagedCheckpoint(f"is of another run, {kept['run']}")
    if kept.get("waiting"):
        raise DamagedCheckpoint("was written between the batches of one step")
    return kept


def _refuse_other_state(kept: Mapping[str, Any], parameters: Mapping[str, Tensor]) -> None:
    """Raises DamagedCheckpoint where what training goes on with, beside parameters, is of another kind."""
    state = kept["callbacks"].get("Checkpoints")
    if not isinstance(state, dict) or not {"reached", "validation_step"} <= state.keys():
        raise DamagedCheckpoint("is damaged: it does not say what was the best")
    _refuse_other_types(state, {"reached": list, "validation_step": int, "finished": bool}, "callbacks.")
    figures = [*kept["figures"].values(), *state["reached"]]
    if not all(isinstance(figure, int | float) for figure in figures) or len(state["reached"]) != 2:
        raise DamagedCheckpoint("is damaged: it holds figures that are none")
    if not all(isinstance(value, dict) for value in kept["callbacks"].values()):
        raise DamagedCheckpoint("is damaged: a callback has no state")
    loop: Any = kept["loops"].get("fit_loop")
    if not isinstance(loop, dict) or not _WITHIN_LOOP <= loop.keys() or not _is_counted(list(loop.values())):
        raise DamagedCheckpoint("is damaged: it does not say how far the loops were")
    if not all(isinstance(schedule, dict) for schedule in kept["lr_schedulers"]):
        raise DamagedCheckpoint("is damaged: it holds no state of a schedule")
    sizes = {value.shape for value in parameters.values()}
    if not kept["optimizer_states"] or not all(_is_optimizer(state) for state in kept["optimizer_states"]):
        raise DamagedCheckpoint("is damaged: it holds no state of an optimizer")
    moments = [value for state in kept["optimizer_states"] for value in tree_leaves(state["state"])]
    if any(isinstance(value, Tensor) and value.dim() and value.shape not in sizes for value in moments):
        raise DamagedCheckpoint("is damaged: its optimizer is that of another model")
    if any(isinstance(value, str) for value in moments):
        raise DamagedCheckpoint("is damaged: it holds no state of an optimizer")


def _is_optimizer(state: Any) -> bool:
    """Whether something may be what torch keeps of an optimizer."""
    kinds = {"state": dict, "param_groups": list}
    whole = isinstance(state, dict) and all(isinstance(state.get(name), kinds[name]) for name in kinds)
    return whole and all(
        isinstance(part, dict) for part in [*state["state"].values(), *state["param_groups"]]
    )


_WITHIN_LOOP = {"epoch_progress", "epoch_loop.batch_progress", "epoch_loop.scheduler_progress"}


def _is_counted(parts: list[Any]) -> bool:
    """Whether all that is counted in the parts of a loop's state are numbers."""
    leaves = tree_leaves(parts)
    return all(isinstance(part, dict) for part in parts) and not any(isinstance(leaf, str) for leaf in leaves)
