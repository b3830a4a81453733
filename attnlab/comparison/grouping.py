"""Which runs belong together: those that differ in nothing but the seed, or those that agree in the keys one
names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from attnlab.comparison.labels import ABSENT, labels, telling, text_of
from attnlab.comparison.reading import Run, natural
from attnlab.config.trainer import TELLS_ONE_FROM_ALL
from attnlab.runs.identity import effective


class Group(NamedTuple):
    """Runs that are compared as one, whatever became of them."""

    label: str  # what tells it from the other groups
    telling: dict[str, str]  # the same by dotted key
    settings: dict[str, str]  # the settings that its runs share, by dotted key, as text
    merged: dict[str, list[str]]  # the settings, other than the seed, in which its runs differ nevertheless
    runs: list[Run]


def group_runs(runs: Sequence[Run], by: Sequence[str] = (), without: Sequence[str] = ()) -> list[Group]:
    """Groups in the order of their labels. Settings in `without` are passed over like the seed.

    Raises ValueError for a key in `by` that no run has.
    """
    settings = {run: settings_of(run) for run in runs if run.config}
    keys = resolve(by, list(settings.values()))
    together: dict[tuple[str, ...], list[Run]] = {}
    for run, found in settings.items():
        kept = [f"{key}={found.get(key, ABSENT)}" for key in keys or sorted(found) if key not in without]
        together.setdefault(tuple(kept), []).append(run)
    shared, merged, named = [], [], _named(settings)
    settings = {
        run: {key: named.get(value, value) for key, value in found.items()} for run, found in settings.items()
    }
    for members in together.values():
        names = dict.fromkeys(key for run in members for key in settings[run] if key not in without)
        values = {
            key: sorted({settings[run].get(key, ABSENT) for run in members}, key=natural) for key in names
        }
        shared.append({key: found[0] for key, found in values.items() if len(found) == 1})
        merged.append({key: found for key, found in values.items() if len(found) > 1})
    shown = telling(shared, keys)
    parts = zip(labels(shared, shown), shown, shared, merged, together.values(), strict=True)
    groups = [Group(*group) for group in parts]
    return sorted(groups, key=lambda group: natural(group.label))


def settings_of(run: Run) -> dict[str, str]:
    """Every setting that can change a number, other than the seed, by its dotted key; data files by their
    contents, and by their paths in a run that has kept no digests."""
    flat = effective(run.config) | run.sources.get("data", {})
    return {key: text_of(value, key in TELLS_ONE_FROM_ALL) for key, value in flat.items() if key != "seed"}


def _named(settings: Mapping[Run, dict[str, str]]) -> dict[str, str]:
    """Digest of contents -> the name of a file that has them, with the digest where two files share it."""
    paths: dict[str, str] = {}
    for run in settings:
        flat = effective(run.config)
        paths |= {found: str(flat[key]) for key, found in run.sources.get("data", {}).items() if key in flat}
    several = Counter(paths.values())
    return {found: path if several[path] == 1 else f"{path} ({found[:8]})" for found, path in paths.items()}


def resolve(by: Sequence[str], settings: Sequence[dict[str, str]], option: str = "--by") -> list[str]:
    """Names of groups as the keys of their factories, dotted keys as they are. Raises ValueError for an
    unknown one."""
    known = dict.fromkeys(key for found in settings for key in found)
    keys = []
    for name in by:
        key = f"{name}._target_" if f"{name}._target_" in known else name
        if key not in known:
            choices = [key.removesuffix("._target_") for key in known]
            close = get_close_matches(name, choices, 3, 0.6) or [
                key for key in choices if key.endswith("." + name)
            ]
            meant = f"; did you mean {' or '.join(close[:3])}?" if close else ""
            raise ValueError(f"{option} {name}: no run has that setting{meant}")
        keys.append(key)
    return keys
