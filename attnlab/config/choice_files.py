"""What the yaml file of a choice holds, with what it takes over from the files that its `defaults` name.

Read as Hydra composes them, and without it: pages of help and names of runs are made in no time.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from attnlab.config.places import CONFIGS

_KEY = re.compile(r"""(\w+): +("[^"]*"|'[^']*'|[^\s#]+) *(?:# *(.*))?""")
_OF_HYDRA = ("_target_", "defaults")


class Key(NamedTuple):
    """A setting as a yaml file states it."""

    name: str
    default: str
    meaning: str  # "" where there is no comment


def _files_of(path: Path, places: Iterable[Path] = (CONFIGS,)) -> Iterator[Path]:
    """The files whose settings a choice has, those that win last: itself, and what its `defaults` name beside
    it, `_beta`, or anywhere, `/attention/_beta@_here_`."""
    roots = [path.parents[1], *places]
    defaults = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults") or []
    before, after = _split([entry for entry in defaults if isinstance(entry, str)])
    for entry in (*before, "_self_", *after):
        if entry == "_self_":
            yield path
            continue
        name, _, package = entry.partition("@")
        if package != ("_here_" if name[0] == "/" else ""):
            continue  # its settings stand under other keys
        name = f"{path.parent.name}/{name}" if name[0] != "/" else name[1:]
        found = (root / f"{name}.yaml" for root in roots)
        if (other := next(filter(Path.is_file, found), None)) not in (None, path):
            assert other is not None
            yield from _files_of(other, places)


def _split(entries: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and behind the file itself, which is last unless it says where."""
    at = entries.index("_self_") if "_self_" in entries else len(entries)
    return entries[:at], entries[at + 1 :]


def keys_of(path: Path, places: Iterable[Path] = (CONFIGS,)) -> list[Key]:
    """The settings at the top of a choice's files, each with the comment behind it; the factory's name is
    none."""
    found: dict[str, Key] = {}
    for file in _files_of(path, places):
        for line in file.read_text(encoding="utf-8").splitlines():
            if (match := _KEY.fullmatch(line)) and match[1] not in _OF_HYDRA:
                said = match[3] or getattr(found.get(match[1]), "meaning", "")
                found[match[1]] = Key(match[1], match[2], said)
    return list(found.values())


def settings_in(path: Path) -> dict[str, Any]:
    """The values of a choice, the factory's name included."""
    merged: dict[str, Any] = {}
    for file in _files_of(path):
        merged |= yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return {key: value for key, value in merged.items() if key != "defaults"}
