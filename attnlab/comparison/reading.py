"""Runs read back from disk, whatever became of them. Neither torch nor scipy nor matplotlib is
imported."""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from attnlab.comparison.metrics import note
from attnlab.files import regular
from attnlab.runs import folders, stored
from attnlab.runs.history import History, column, header_of, last_step
from attnlab.runs.identity import effective, identity

_SET_ASIDE = re.compile(r"\.until-\d{8}-\d{6}")


@dataclass(frozen=True, eq=False)
class Run:
    """One run: `.config`, `.results` and `.history(tag)`; `.problem` says why there are no results, and is ""
    if there are."""

    folder: Path
    config: dict[str, Any]  # nested, as in config.yaml; {} where it cannot be read
    status: dict[str, Any]  # as in status.json
    results: dict[str, float]  # by tag; {} unless the run is done
    state: str  # done, failed, running, interrupted or unreadable
    problem: str

    @property
    def name(self) -> str:
        """<task>/<attention>/<settings and hash>, the last three parts of the folder."""
        return "/".join(self.folder.absolute().parts[-3:])

    @property
    def seed(self) -> int | None:
        """Of the initial parameters, the data and the draws; None where config.yaml names none."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def parameters(self) -> int | None:
        """Trained parameters; None where training did not note them."""
        return self.status.get("parameters")

    @property
    def diverged(self) -> bool:
        """Whether the loss exploded on the way, though training came to its end."""
        return str(self.status.get("caution")).startswith("diverged")

    @cached_property
    def sources(self) -> dict[str, Any]:
        """What it was made from: `identity`, and digests of `data` and `code`; {} of an earlier version."""
        return folders.read_sources(self.folder)

    @property
    def identity(self) -> str:
        """The hash over its configuration and data; of an earlier version, which kept none, the configuration
        and the hash in its name."""
        named = re.search(r"-([0-9a-f]{8})(\.until-|$)", self.folder.name)
        digest = named[1] if named else str(self.folder.resolve())
        if "data" in self.sources and "own" not in self.sources:  # a hash over paths of modules
            return identity(self.config, self.sources["data"])
        return self.sources.get("identity") or f"{digest} {sorted(effective(self.config).items())}"

    @cached_property
    def tags(self) -> list[str]:
        """What metrics.csv has a history of."""
        try:
            with regular(self.folder / "metrics.csv").open("rb") as file:
                return header_of(file.readline())[1:]
        except (OSError, ValueError):
            return []

    @cached_property
    def steps(self) -> int | None:
        """The last logged step; None before the first."""
        try:
            return last_step(regular(self.folder / "metrics.csv"))
        except (OSError, ValueError):
            return None

    @cached_property
    def seconds(self) -> float | None:
        """Seconds by the clock from start to end; None for a run that was interrupted, unless training added
        them up."""
        if "seconds" in self.status:
            return None if self.status["seconds"] is None else float(self.status["seconds"])
        try:
            if self.state != "done" or "going on from" in regular(self.folder / "train.log").read_text(
                encoding="utf-8"
            ):
                return None
            start, end = (datetime.fromisoformat(self.status[key]) for key in ("start", "end"))
        except (OSError, KeyError, TypeError, ValueError):
            return None
        return (end - start).total_seconds()

    def figure(self, tag: str) -> float | None:
        """A final figure: that of the best checkpoint; of a gradient norm the mean over the logged steps of
        training, also where results.json is of a time when it held the last one.

        None where there is none. Raises ValueError where metrics.csv is damaged.
        """
        if tag.startswith("grad_norm/") and not any(
            key.startswith("grad_norm_last/") for key in self.results
        ):
            return float(self.history(tag).values.mean()) if self.results and tag in self.tags else None
        return self.results.get(tag)

    def history(self, tag: str) -> History:
        """Every logged value of a figure. Raises ValueError where there is none, or where metrics.csv is
        damaged."""
        if tag not in self.tags:
            raise ValueError(
                f"{self.name} has no history of {tag}; metrics.csv has {', '.join(self.tags) or 'no figures'}"
            )
        try:
            return column(regular(self.folder / "metrics.csv").read_bytes(), tag)
        except ValueError as error:
            raise ValueError(f"{self.folder / 'metrics.csv'} is damaged: {error}") from None


def load_runs(*paths: str | Path) -> list[Run]:
    """The runs in the given folders: run folders, folders above runs, or globs; each once, sorted by folder.

    Unfinished and failed runs are among them, without results. Raises ValueError for a place that holds no
    run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        places = (
            [Path(path)]
            if Path(path).exists()
            else [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        )
        if not places:
            raise ValueError(f"there is no folder {path}")
        runs = [folder for place in places for folder in search(place, len(places) == 1)]
        if not runs:
            raise ValueError(f"there is no run in {path}: a run is a folder with config.yaml and status.json")
        found |= {folder.resolve(): folder for folder in runs}
    return [_read(folder) for folder in sorted(found.values(), key=lambda folder: natural(str(folder)))]


def search(place: Path, named: bool = False) -> Iterator[Path]:
    """Folders of runs at or below a place. What fresh=true moved aside is a run only where it is named
    itself."""
    for folder, below, files in os.walk(place, followlinks=True):
        if "config.yaml" in files and "status.json" in files:
            below.clear()
            if not _SET_ASIDE.search(Path(folder).name) or (named and Path(folder) == place):
                yield Path(folder)


def natural(text: str) -> list[tuple[str, float]]:
    """A key that sorts beta=2 before beta=10, and beta=0.2 before both."""
    pieces = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(word, float(number or 0)) for word, number in zip(pieces[::2], [*pieces[1::2], ""], strict=True)]


def _read(folder: Path) -> Run:
    status, results = folders.read_status(folder), folders.read_results(folder) or {}
    damage = stored.damage(folder)
    config = {} if "config.yaml" in damage else folders.read_config(folder)
    run = Run(folder, config, status, results, "done", "")
    note(run.sources.get("metrics", {}))
    state, problem = ("unreadable", next(iter(damage.values()))) if damage else _standing(run)
    return Run(folder, config, status, results, state, problem)


def _standing(run: Run) -> tuple[str, str]:
    """The state of a run and, unless it is done, what a person wants to know about it."""
    reached = f"at step {run.steps}" if run.steps else "before its first logged step"
    state = run.status.get("state")
    if run.config and not isinstance(run.seed, int):
        return "unreadable", "config.yaml names no seed"
    if not run.config or state not in ("running", "done", "failed"):
        return "unreadable", f"{'status.json' if run.config else 'config.yaml'} cannot be read"
    if state == "failed":
        return "failed", f"failed {reached}: {_first_line(run.status.get('error'))}"
    if state == "running" and folders.is_held(run.folder):
        return "running", f"still running, {reached}"
    if state == "running":
        return "interrupted", f"interrupted {reached}; its command goes on from the last checkpoint"
    return ("done", "") if run.results else ("unreadable", "done, but results.json cannot be read")


def _first_line(text: object) -> str:
    return next(iter(str(text).splitlines()), "without a reason")
