"""What a run is on disk: its identity, where it lies and in which state it is. Nothing here imports torch."""

import contextlib
import functools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml
from filelock import FileLock, Timeout

from attnlab.config.checking import ConfigurationError
from attnlab.config.choices import named, own
from attnlab.config.composing import Composition
from attnlab.config.moved import NEWEST
from attnlab.config.signatures import stated_by
from attnlab.files import read_object, regular, write
from attnlab.metric import Metric
from attnlab.runs import stored
from attnlab.runs.codebase import Code, gone_on
from attnlab.runs.identity import effective, identity
from attnlab.runs.naming import names

_CHOSEN = ("attention", "task", "score", "model")
"""Groups whose choice is always shown."""


_TODAY = re.compile(rf"^{NEWEST}:", re.MULTILINE)
"""What stands in a configuration that was stored as it is today."""


class RunBusy(RuntimeError):
    """Another process is training this run."""


class Shown(NamedTuple):
    """How TensorBoard tells a run from others in its tab HParams."""

    settings: Mapping[str, Any] = MappingProxyType({})  # all that are set
    columns: Sequence[
        str
    ] = ()  # those that are shown; a screen holds five columns, those of figures included


def shown(composition: Composition, varied: Sequence[str] = ()) -> Shown:
    """What was chosen, the seed, the numbers of the mechanism, what differs from the defaults, and what a
    sweep varies; nothing that is not set. Columns are what the sweep varies, or else what a person chose."""
    tree, before = effective(composition.tree), effective(composition.defaults)
    named = {key: key.removesuffix("._target_") for key in tree}
    differing = [named[key] for key, value in tree.items() if before.get(key) != value]
    told = {*_CHOSEN, "seed", *varied, *differing}
    settings = {
        named[key]: composition.choices.get(named[key], value)
        for key, value in tree.items()
        if named[key] in told or key.startswith("attention.") and type(value) in (int, float)
    }
    known = {key: value for key, value in settings.items() if value is not None}
    return Shown(known, tuple(dict.fromkeys(varied or ("attention", "task", "seed", *differing))))


def folder_of(composition: Composition, data: Mapping[str, str] | None = None, name: str = "") -> Path:
    """runs/<task>/<attention>/<what differs from the defaults>-<hash>; an existing run is found by its hash,
    whatever its name, a finished one first.

    data: the digests of its data files, where they have been read before. name: what stands before the hash,
    where a sweep has given it one.
    """
    tree, choices = composition.tree, composition.choices
    place = Path(tree["runs_dir"]) / choices["task"] / choices["attention"]
    digest = identity(tree, data)
    same = [*place.glob(f"*-{digest}"), *_earlier(place, _changed(place)).get(digest, ())]
    existing = sorted(same, key=lambda folder: (read_results(folder) is None, folder))
    return existing[0] if existing else place / f"{name or names([(composition, ())])[0]}-{digest}"


@functools.cache
def _earlier(place: Path, changed: int) -> dict[str, list[Path]]:
    """Runs of a folder whose configuration is stored as earlier versions did, by the identity they would have
    now; read once as long as the folder does not change."""
    found: dict[str, list[Path]] = {}
    for path in sorted(place.glob("*/config.yaml")):
        with contextlib.suppress(OSError, ValueError, ConfigurationError):
            if path.parent.name[-9:-8] == "-" and not _TODAY.search(
                regular(path).read_text(encoding="utf-8")
            ):
                tree, data = read_config(path.parent), read_sources(path.parent).get("data")
                found.setdefault(identity(tree, data), []).append(path.parent)
    return found


def _changed(place: Path) -> int:
    return place.stat().st_mtime_ns if place.is_dir() else 0


def read_status(folder: Path) -> dict[str, Any]:
    """The contents of status.json; {} where there is none that can be read."""
    try:
        return stored.read_status(folder / "status.json")
    except stored.Damaged:
        return {}


def write_status(folder: Path, **changes: Any) -> None:
    """Change entries of status.json."""
    write(folder / "status.json", json.dumps(read_status(folder) | changes, indent=2) + "\n")


def read_results(folder: Path) -> dict[str, float] | None:
    """The figures of results.json by their tags; None unless the run is done and they can be read."""
    try:
        figures = stored.read_figures(folder / "results.json")
    except stored.Damaged:
        return None
    return (figures or None) if read_status(folder).get("state") == "done" else None


def write_results(folder: Path, results: Mapping[str, float]) -> None:
    """Figures by their tags as results.json."""
    write(folder / "results.json", json.dumps(results, indent=2) + "\n")


def read_sources(folder: Path) -> dict[str, Any]:
    """What a run was made from: its `identity`, the digests of its `data` by dotted key, and those of its
    `code` by file. {} where none are kept, as in a run of an earlier version."""
    try:
        return stored.read_sources(folder / "sources.json")
    except stored.Damaged:
        return {}


def write_sources(folder: Path, tree: Mapping[str, Any], data: Mapping[str, str], code: Code) -> None:
    """Keep what a run is made from as sources.json; a run that goes on keeps the code it was begun with."""
    begun = read_sources(folder).get("code") if can_go_on(folder) else None
    sources = {"identity": identity(tree, data), "data": dict(data)}
    sources["code"] = gone_on(begun, code) if begun else dict(code)
    sources["own"] = own(tree)
    stated = {path.rpartition(".")[2]: stated_by(path, Metric) for path in tree["metrics"]}
    sources["metrics"] = {name: said.model_dump() for name, said in stated.items() if said}
    write(folder / "sources.json", json.dumps(sources, indent=2) + "\n")


def can_go_on(folder: Path) -> bool:
    """Whether an interrupted run has kept a checkpoint; before the first there is nothing to go on from."""
    return any((folder / "checkpoints").glob("*.ckpt"))


def read_vocabulary(folder: Path) -> dict[str, Any] | None:
    """What a run keeps of its training data, so that it can be measured without them; None where it keeps
    nothing. Raises ConfigurationError for a file that is damaged."""
    path = folder / "vocabulary.json"
    if not os.path.lexists(path):
        return None
    if found := read_object(path):
        return found
    raise ConfigurationError(
        f"{path} is damaged: expected an object of JSON; the run cannot be read without it"
    )


def write_vocabulary(folder: Path, vocabulary: Mapping[str, Any]) -> None:
    """Keep what the numbers of a run's symbols depend on as vocabulary.json."""
    write(folder / "vocabulary.json", json.dumps(vocabulary, ensure_ascii=False, indent=1) + "\n")


def note_failure(folder: Path, reason: str) -> None:
    """Mark a run that another process is not working on, and that did not end by itself, as failed."""
    if read_status(folder).get("state") not in ("done", "failed") and not is_held(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_status(folder, state="failed", end=now(), error=reason)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's lock: it is alive as long as somebody does. Raises RunBusy where another process holds
    it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunBusy(f"another process is training this run: {folder}") from None
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether some process holds a run's lock."""
    if not (folder / ".lock").exists():
        return False
    try:
        with held(folder):
            return False
    except RunBusy:
        return True
    except OSError:  # a folder that may only be read: nobody trains there
        return False


def move_aside(folder: Path) -> Path | None:
    """Make room for a fresh run; the old one is kept under a name that says when. None where there was
    none."""
    if not folder.exists():
        return None
    with held(folder):
        aside = folder.with_name(
            f"{folder.name}.until-{datetime.now():%Y%m%d-%H%M%S}-{time.time_ns() % 1000:03d}"
        )
        folder.rename(aside)
    return aside


def write_config(folder: Path, tree: Mapping[str, Any]) -> None:
    """The resolved configuration, with choices by name, as config.yaml."""
    write(folder / "config.yaml", as_yaml(named(tree)))


class _Plain(yaml.SafeDumper):
    """Writes what is there twice twice: a stored configuration has no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(tree: Mapping[str, Any]) -> str:
    """A configuration as config.yaml shows it."""
    return yaml.dump(dict(tree), Dumper=_Plain, sort_keys=False, allow_unicode=True)


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved configuration of a run. Raises ConfigurationError for a file that cannot be read."""
    return stored.read_configuration(folder / "config.yaml")


def now() -> str:
    """The time as status.json writes it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
