"""Words that name given runs and no others: folders of nothing else, and globs."""

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from attnlab.comparison.reading import natural, search


def names(runs: Iterable[Path], above: Path) -> list[str]:
    """The folders and globs that name these runs below a folder, as compare.py takes them; none for fewer
    than two that are there."""
    every = sorted(search(above), key=lambda run: natural(str(run)))
    chosen = set(runs).intersection(every)
    return _names(above, every, chosen) if len(chosen) > 1 else []


def _names(place: Path, every: Sequence[Path], chosen: set[Path]) -> list[str]:
    """Folders and globs that name the chosen ones of all runs below a place: itself where it has no
    others."""
    if chosen.issuperset(every):
        return [str(place)]
    depth = len(place.parts)
    below: dict[Path, list[Path]] = {}
    for run in every:
        below.setdefault(Path(*run.parts[: depth + 1]), []).append(run)
    leaves = [run for run in below if below[run] == [run]]
    found = _globs(place, [run.name for run in leaves], [run.name for run in leaves if run in chosen])
    for folder, runs in below.items():
        inside = chosen.intersection(runs)
        if inside and folder not in leaves:
            found += _names(folder, runs, inside)
    return found


def _globs(place: Path, every: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Names of some folders in a place: a glob where one matches them alone, else each."""
    if len(chosen) > 1:
        for pattern in (_by_keys(chosen), _by_ends(chosen)):
            if [name for name in every if fnmatchcase(name, pattern)] == list(chosen):
                return [escape(str(place) + os.sep) + pattern]
    return [str(place / name) for name in chosen]


def _by_keys(names: Sequence[str]) -> str:
    """`beta=*,seed=*,max_steps=300-*`: what stands at one place in all names is kept."""
    columns = list(zip(*(name.rpartition("-")[0].split(",") for name in names), strict=False))
    parts = [
        escape(column[0]) if len(set(column)) == 1 else f"{escape(os.path.commonprefix(column))}*"
        for column in columns
    ]
    return ",".join(parts) + "-*"


def _by_ends(names: Sequence[str]) -> str:
    end = os.path.commonprefix([name[::-1] for name in names])[::-1]
    return f"{escape(os.path.commonprefix(list(names)))}*{escape(end)}"
