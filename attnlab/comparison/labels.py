"""What tells groups apart, and nothing else: settings that all share are not repeated, nor are a choice's
own where they do not vary."""

import json
from collections.abc import Sequence
from functools import cache
from math import isfinite
from pathlib import PurePath
from typing import Any

from attnlab.config.choice_files import settings_in
from attnlab.config.places import CONFIGS

ABSENT = "-"
CHOICE = "._target_"
MECHANISM = "attention" + CHOICE

Settings = dict[str, str]
"""Values as text by dotted keys."""


def text_of(value: Any, exact: bool = False) -> str:
    """A value as text, alike for 1 and 1.0 unless `exact`."""
    if isinstance(value, float) and isfinite(value) and not exact:
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value)


def telling(groups: Sequence[Settings], keys: Sequence[str] = ()) -> list[Settings]:
    """For each group the settings that tell it from others: choices that vary, then settings that vary
    among the groups of its choice, or that differ between choices and are not the choice's default.

    Of `keys`, where they are given, only those.
    """
    every = list(keys) or list(dict.fromkeys(key for settings in groups for key in settings))
    every.sort(key=lambda key: (key != MECHANISM, not key.endswith(CHOICE)) if not keys else (False, False))
    every = [key for key in every if len({settings.get(key, ABSENT) for settings in groups}) > 1]
    found: list[Settings] = [{} for _ in groups]
    for key in every:
        owner = key.partition(".")[0] + CHOICE if "." in key and not key.endswith(CHOICE) else ""
        values: dict[str, set[str]] = {}
        for settings in groups:
            values.setdefault(settings.get(owner, ""), set()).add(settings.get(key, ABSENT))
        known = {value for kept in values.values() for value in kept} - {ABSENT}
        for place, settings in enumerate(groups):
            choice = settings.get(owner, "")
            varies = len(values[choice]) > 1
            odd = len(known) > 1 and settings.get(key) not in (_defaults(choice).get(key), None)
            if key in settings and (varies or (odd and bool(_defaults(choice)))):
                found[place][key] = settings[key]
    return found


def labels(groups: Sequence[Settings], shown: Sequence[Settings]) -> list[str]:
    """One for each group; the mechanism's name, or `all`, for a group that nothing tells from others."""
    keys = dict.fromkeys(key for settings in shown for key in settings)
    names = _short({key: _name(key) for key in keys})
    values: dict[str, set[str]] = {key: {one[key] for one in shown if key in one} for key in keys}
    paths = {key: _short({value: PurePath(value).name for value in values[key]}) for key in keys}
    found = []
    for settings, one in zip(groups, shown, strict=True):
        words = [_word(key, names[key], paths[key][value]) for key, value in one.items()]
        mechanism = settings.get(MECHANISM, "all").rpartition(".")[2]
        found.append(" ".join(words) or mechanism)
    for label in {label for label in found if found.count(label) > 1}:
        places = [place for place, other in enumerate(found) if other == label]
        for number, place in enumerate(places[1:], 2):
            found[place] = f"{label} ({number})"
    return found


def number(value: str) -> float | None:
    """The number that a setting's text is; None for another text."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if isfinite(found) else None


def _name(key: str) -> str:
    return key.removesuffix(CHOICE) if key.endswith(CHOICE) else key.rpartition(".")[2]


def _word(key: str, name: str, value: str) -> str:
    value = value.rpartition(".")[2] if key.endswith(CHOICE) else value
    return value if key == MECHANISM else f"{name}={value}"


def _short(names: dict[str, str]) -> dict[str, str]:
    """Short names where no two are alike, the whole ones where they are."""
    short = list(names.values())
    return {whole: name if name and short.count(name) == 1 else whole for whole, name in names.items()}


@cache
def _defaults(choice: str) -> Settings:
    """The settings of a choice that comes with the package, by dotted keys; {} for others."""
    name = choice.rpartition(".")[2]
    for path in sorted(CONFIGS.glob(f"*/{name}.yaml")) if choice.startswith("attnlab.") else []:
        settings = settings_in(path)
        if settings.get("_target_") == choice:
            return {f"{path.parent.name}.{key}": text_of(value) for key, value in settings.items()}
    return {}
