"""What a run's folder is called: what tells it from others first, every value whole, safe in any file system.

Nothing here imports torch.
"""

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from attnlab.config.checking import data_files
from attnlab.config.choice_files import settings_in
from attnlab.config.composing import Composition
from attnlab.config.overrides import key_of
from attnlab.config.places import CONFIGS
from attnlab.runs.identity import effective

_LONGEST_VALUE, _LONGEST, MOST = 60, 80, 180  # bytes: of a value, of a name, of what a sweep varies
_IN_THE_PATH = ("attention", "task")  # a run lies in runs/<task>/<attention>/


def varied_keys(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The keys and groups that the jobs of a command line, each given by its overrides, do not have alike."""
    common = Counter(text for overrides in jobs for text in overrides)
    return list(dict.fromkeys(key_of(text) for text in common if common[text] < len(jobs)))


def names(jobs: Sequence[tuple[Composition, Sequence[str]]], varied: Sequence[str] = ()) -> list[str]:
    """A name for each job of a command line: (its configuration, the overrides that describe it).

    The settings that the jobs vary stand first, also where they have their default; then what else differs
    from the defaults. What does not fit is counted: `beta=1.0,seed=0,lr=0.01,+2_more`. "default" where
    nothing differs. No two jobs in one place have the same name.
    """
    paths = _short_paths(data_files(composition.tree) for composition, _ in jobs)
    found, taken = [], Counter[tuple[str, ...]]()
    for composition, overrides in jobs:
        typed = {key_of(text): text.partition("=")[2] for text in overrides}
        first = _varied(composition, {key: typed[key] for key in varied if key in typed})
        name = _joined(first, _differing(composition, set(first)), paths)
        place = (*(composition.choices[group] for group in _IN_THE_PATH), name)
        taken[place] += 1
        found.append(name if taken[place] == 1 else f"{name},no={taken[place]}")
    return found


def _varied(composition: Composition, typed: Mapping[str, str]) -> dict[str, Any]:
    """Key -> value of what a sweep varies; of a group, and of an experiment, the choice."""
    flat = effective(composition.tree)
    return {
        key: flat.get(key, composition.choices.get(key, value))
        for key, value in typed.items()
        if key not in _IN_THE_PATH
    }


def _differing(composition: Composition, said: set[str]) -> dict[str, Any]:
    """Key -> value of what differs from the defaults; 1 and 1.0 differ where both may be typed."""
    before, differing = effective(composition.defaults) | _of_choices(composition), {}
    for key, value in effective(composition.tree).items():
        group = key.removesuffix("._target_")
        if group not in said and (key not in before or _exact(before[key]) != _exact(value)):
            differing[group] = value if group == key else composition.choices.get(group, _last(value))
    return differing


def _of_choices(composition: Composition) -> dict[str, Any]:
    """The defaults of what was chosen in place of a default choice, less the choice itself."""
    found: dict[str, Any] = {}
    for group, choice in composition.choices.items():
        path = CONFIGS / group / f"{choice}.yaml"
        if composition.tree[group]["_target_"] != composition.defaults[group]["_target_"] and path.is_file():
            found |= {
                f"{group}.{key}": value for key, value in settings_in(path).items() if key != "_target_"
            }
    return found


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _joined(first: Mapping[str, Any], then: Mapping[str, Any], paths: Mapping[str, str]) -> str:
    """key=value,key=value with a key's last part where that is enough: whole pairs, and how many more."""
    lasts = Counter(key.rpartition(".")[2] for key in (*first, *then))
    pairs, left_out = [], 0
    for limit, settings in ((MOST, first), (_LONGEST, then)):
        for key, value in settings.items():
            last = key.rpartition(".")[2]
            shown = paths.get(value, value) if isinstance(value, str) else value
            pair = f"{last if lasts[last] == 1 else key}={safe(shown)}"
            if len(",".join([*pairs, pair]).encode()) <= limit:
                pairs.append(pair)
            else:
                left_out += 1
    return ",".join([*pairs, *([f"+{left_out}_more"] if left_out else [])]) or "default"


def safe(value: Any) -> str:
    """A value as a part of a file's name: letters and digits of any script; a hash for what is too long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str).replace(" ", "")
    if len(text.encode()) > _LONGEST_VALUE:
        return "~" + hashlib.sha256(text.encode()).hexdigest()[:6]
    kept = "".join(sign if _issafe(sign) else " " for sign in text)
    named = (unicodedata.name(sign, f"{ord(sign):x}").lower() for sign in text)
    return "_".join(kept.split()) or "_".join(named).replace(" ", "-") or "empty"


def _issafe(sign: str) -> bool:
    return sign in "._+-" or unicodedata.category(sign)[0] in "LMN"  # letters, their marks, numbers


def _short_paths(files: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Each path of data by its last part, or by what lies below the folder that all share where two files of
    other folders have the same one."""
    paths = {path for named in files for path in named.values()}
    lasts = Counter(PurePath(path).name for path in paths)
    whole = {path: os.path.abspath(path) for path in paths if lasts[PurePath(path).name] > 1}
    above = os.path.commonpath(whole.values()) if whole else ""
    return {
        path: os.path.relpath(whole[path], above) if path in whole else PurePath(path).name for path in paths
    }
