"""Sweeps: all jobs are checked before the first starts, one that crashes stops no other, and only what is
missing is run.

Hydra expands the command line and its launchers carry the jobs out; what became of them is read from the run
folders, so it does not matter which process, or which machine on a shared file system, trained a run.
"""

import base64
import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from attnlab.config import doors
from attnlab.config.checking import ConfigurationError, check
from attnlab.config.combinations import expanded
from attnlab.config.composing import Composition, composer, hydra_at, may_stop, to_the_end
from attnlab.config.engine import is_engine
from attnlab.config.overrides import first_lines, key_of, quoted
from attnlab.config.places import CONFIGS
from attnlab.config.trust import EVERYTHING
from attnlab.runs import folders
from attnlab.runs import identity as provenance
from attnlab.runs.naming import names, varied_keys
from attnlab.runs.watching import watching

_LAUNCHED = ("hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null")
"""Runs write their own configuration and log."""
HERE = ("basic", "joblib")  # launchers of jobs on this machine


class Job(NamedTuple):
    """One run of a sweep."""

    composition: Composition
    folder: Path
    data: dict[str, str]  # digests of its data files, by dotted key
    shown: folders.Shown

    @property
    def name(self) -> str:
        """What distinguishes it, without the folder it shares with the others."""
        return str(self.folder.relative_to(self.composition.tree["runs_dir"]))


class Outcome(NamedTuple):
    """What became of a job: done, failed, interrupted or elsewhere (held by another process), and why."""

    state: str
    reason: str


def plan(overrides: list[str]) -> list[Job]:
    """The jobs of a command line, each checked. Raises ConfigurationError with the list of those that cannot
    be."""
    settings, hydra = _separated(overrides)
    path = [text for text in hydra if text.startswith("hydra.searchpath")]  # of --config-dir
    composed = composer()
    composed(hydra)  # refuses a launcher that does not exist
    found: dict[str, tuple[Composition, list[str], dict[str, str]]] = {}  # by identity, each once
    problems: dict[str, list[str]] = {}
    known: dict[str, Any] = {}
    here = all(text.partition("=")[2] in HERE for text in hydra if key_of(text) == "hydra/launcher")
    combinations = expanded(settings)
    varied = varied_keys(combinations)
    for chosen in combinations:
        try:
            composition = composed([*chosen, *path])
            if may_stop(composition, chosen):
                composition = to_the_end(composition)  # equal work
                check(composition.tree, composition.choices)
            _refuse_unbuildable(composition.tree, here, known)
            data = provenance.data_digests(composition.tree)
            found.setdefault(provenance.identity(composition.tree, data), (composition, chosen, data))
        except ValueError as error:
            problems.setdefault(str(error), []).append(" ".join(chosen))
    if problems:
        lines = [
            f"{reason}\n" + "\n".join(f"  in {job}" for job in where) for reason, where in problems.items()
        ]
        raise ConfigurationError("nothing was started, since some jobs cannot be:\n" + "\n".join(lines))
    called = names([(composition, chosen) for composition, chosen, _ in found.values()], varied)
    return [
        Job(composition, folders.folder_of(composition, data, name), data, folders.shown(composition, varied))
        for name, (composition, _, data) in zip(called, found.values(), strict=True)
    ]


def outcome_of(job: Job) -> Outcome:
    """What a run's folder says of a job that is not being worked on by this sweep."""
    status = folders.read_status(job.folder)
    state = status.get("state", "not started")
    if state == "running":
        state = "elsewhere" if folders.is_held(job.folder) else "interrupted"
    return Outcome(state, status.get("error") or "")


def launch(jobs: list[Job], overrides: list[str]) -> None:
    """Carry jobs out with the launcher of the command line; progress goes to stderr. Raises
    ConfigurationError."""
    from attnlab.building import make

    _, hydra = _separated(overrides)
    try:
        with hydra_at(CONFIGS), watching(jobs):
            # other processes start in other folders
            place = Path(jobs[0].composition.tree["runs_dir"]).absolute()
            sweep = [f"hydra.sweep.dir={quoted(str(place))}", *_LAUNCHED]
            reasons = doors.launch(make, _carry_out, [*hydra, *sweep], [*map(_job_overrides, jobs)])
    except (HydraException, OmegaConfBaseException, ImportError) as error:
        raise ConfigurationError(first_lines(error)) from None
    for job, reason in zip(jobs, reasons, strict=False):
        if reason is not None:
            folders.note_failure(job.folder, reason)


def _carry_out(config: Any) -> str:
    """One job, in whatever process the launcher runs it: exactly what was planned, whatever was edited since.
    What goes wrong is in the run's status, and stops no other job."""
    from attnlab.runs import run as runs

    planned = json.loads(zlib.decompress(base64.b64decode(config.planned)))
    with contextlib.suppress(OSError):  # paths of data are those of where the sweep was typed
        os.chdir(planned["place"])
    return runs.attempt(
        planned["tree"], Path(planned["folder"]), planned["data"], folders.Shown(*planned["shown"])
    )


def _job_overrides(job: Job) -> list[str]:
    """What a launcher carries: the job itself, and nothing that would be composed once more."""
    tree = job.composition.tree
    tree = tree | {"trainer": tree["trainer"] | {"enable_progress_bar": False}}
    place = {"folder": str(job.folder.absolute()), "place": os.getcwd()}
    planned = {"tree": tree, "data": job.data, "shown": job.shown, **place}
    packed = base64.b64encode(zlib.compress(json.dumps(planned).encode())).decode()
    return [f"+planned='{packed}'", f"hydra.sweep.subdir={quoted(job.name)}"]


def _separated(overrides: list[str]) -> tuple[list[str], list[str]]:
    """A run's settings, and Hydra's own (its launcher)."""
    hydra = list(filter(is_engine, overrides))
    return [text for text in overrides if text not in hydra], hydra


def _refuse_unbuildable(tree: dict[str, Any], here: bool, known: dict[str, Any]) -> None:
    """Settings that do not go together, and damaged data, are known to the constructors alone; what this
    machine cannot do matters to jobs that run `here`.

    `known` keeps tasks, and what was said: many jobs share them. Raises ValueError.
    """
    from attnlab.building import assemble, make_task
    from attnlab.runs.limits import prepare

    data = json.dumps([tree["task"], tree["batch_size"]])
    rest = json.dumps({key: value for key, value in tree.items() if key not in ("seed", "runs_dir", "fresh")})

    def tried() -> None:
        prepare(tree, known[data]) if here else assemble(tree, EVERYTHING, known[data])

    for key, step in ((data, lambda: make_task(tree)), (rest, tried)):
        if key not in known:
            try:
                known[key] = step()
            except ValueError as error:
                known[key] = error
        if isinstance(known[key], ValueError):
            raise known[key]
