"""What a run's folder holds, read back whoever wrote it: data and never code.

Where a file is damaged, one sentence names it and says why.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from attnlab.config.checking import GROUPS, ConfigurationError
from attnlab.config.choices import TARGET, resolved
from attnlab.config.moved import move
from attnlab.files import regular
from attnlab.metric import Metric

_SHARES = ("_accuracy", "_mass")  # figures between 0 and 1, by the end of their tags
_ROUNDING = 1e-3
_LARGEST = 2**24  # bytes
DEEPEST = 20  # levels of a configuration
_STATUS: dict[str, type | tuple[type, ...]] = {
    "state": str,
    "start": (str, type(None)),
    "end": (str, type(None)),
    "error": (str, type(None)),
    "versions": dict,
    "revision": str,
    "parameters": int,
}
"""What entries of status.json are, where they are there."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Damaged(ConfigurationError):
    """A file of a run that cannot be read; the message names it and says why."""


def read_configuration(path: Path) -> dict[str, Any]:
    """The tree of plain values that a config.yaml holds, every group with its factory. Raises Damaged."""
    with _told(path):
        text = _text(path)
        _refuse_unusual(text)
        tree = yaml.load(text, _Loader)
        if not isinstance(tree, dict):
            raise ValueError("it is empty" if tree is None else f"it holds {_kind(tree)} and no settings")
        _refuse_other_keys(tree)
        tree = resolved(tree, _own(path.with_name("sources.json")))
        move(tree)
        callbacks = tree.setdefault("callbacks", {})
        if not isinstance(callbacks, dict) or not all(isinstance(node, dict) for node in callbacks.values()):
            raise ValueError(f"its callbacks are {_kind(callbacks)}")
        for group in GROUPS:
            node = tree.get(group)
            if not isinstance(node, dict) or not isinstance(node.get(TARGET), str):
                raise ValueError(f"it names no {group}, as the half of a file would")
        return tree


def _own(sources: Path) -> dict[str, str]:
    """Where choices lie that are not attnlab's; {} where that is not known."""
    with contextlib.suppress(Damaged):
        return read_sources(sources).get("own", {})
    return {}


def read_status(path: Path) -> dict[str, Any]:
    """What a status.json holds; {} where there is none. Raises Damaged."""
    with _told(path):
        status = _json(path)
        for key, kinds in _STATUS.items():
            if key in status and (not isinstance(status[key], kinds) or status[key] is True):
                raise ValueError(f"{key} is {_kind(status[key])}")
        if not 0 <= status.get("parameters", 0) < 2**63:
            raise ValueError("parameters are more or less than a model can have")
        if not all(isinstance(version, str) for version in status.get("versions", {}).values()):
            raise ValueError("versions hold something else than words")
        return status


def read_figures(path: Path) -> dict[str, float]:
    """Figures by their tags, as a results.json holds them; {} where there is none. Raises Damaged."""
    with _told(path):
        figures = _json(path)
        for tag, value in figures.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
                raise ValueError(f"{tag} is {_kind(value)} and no figure")
            if tag.endswith(_SHARES) and not 0 <= value <= 1 + _ROUNDING or math.isinf(value):
                raise ValueError(f"{tag} is {_kind(value)}, which it cannot be")
        return {tag: float(value) for tag, value in figures.items()}


def read_sources(path: Path) -> dict[str, Any]:
    """What a sources.json holds, its digests as texts; {} where there is none. Raises Damaged."""
    with _told(path):
        sources = _json(path)
        for name, kind in {"identity": str, "data": dict, "code": dict, "own": dict}.items():
            part = sources.get(name, kind())
            digests = part.values() if isinstance(part, dict) else [part]
            if not isinstance(part, kind) or not all(isinstance(digest, str) for digest in digests):
                raise ValueError(f"{name} is {_kind(part)} and no digests")
        if not isinstance(stated := sources.get("metrics", {}), dict):
            raise ValueError(f"metrics are {_kind(stated)}")
        for said in stated.values():
            Metric(**(said if isinstance(said, dict) else {"said": said}))  # refused where it cannot be
        return sources


def damage(folder: Path) -> dict[str, str]:
    """File -> what is wrong with it, for those files of a run that are there and cannot be read."""
    found = {}
    readers = {"config.yaml": read_configuration, "status.json": read_status, "results.json": read_figures}
    readers |= {"sources.json": read_sources}
    for name, read in readers.items():
        try:
            if os.path.lexists(folder / name):
                read(folder / name)
        except Damaged as error:
            found[name] = str(error)
    return found


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file, in one sentence that names it."""
    try:
        yield
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f"line {line + 1}: "
        reason = f"{where}{getattr(error, 'problem', None) or 'characters that no text has'}"
    except RecursionError:
        reason = "it is nested too deep"
    except UnicodeDecodeError:
        reason = "it is no UTF-8"
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
    else:
        return
    raise Damaged(f"{path} cannot be read: {reason}")


def _text(path: Path) -> str:
    if regular(path).stat().st_size > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST >> 20} MB")
    return path.read_bytes().decode("utf-8")


def _json(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        return {}
    text = _text(path)
    found = json.loads(text) if text.strip() else None
    if not isinstance(found, dict):
        raise ValueError("it is empty" if found is None else f"it holds {_kind(found)} and no entries")
    return found


def _refuse_unusual(text: str) -> None:
    """What no run writes, and a reader would have to build: tags, aliases, depth, a second document."""
    depth, documents = 0, 0
    for event in yaml.parse(text, _Loader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise ValueError("it holds more than one document")
        if depth > DEEPEST:
            raise ValueError("it is nested too deep")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {event.start_mark.line + 1}: an alias, which no run writes")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"line {event.start_mark.line + 1}: a tag, which no run writes")


def _refuse_other_keys(tree: dict[Any, Any]) -> None:
    for key, value in tree.items():
        if not isinstance(key, str):
            raise ValueError(f"{key!r} is the name of a setting and no word")
        if isinstance(value, dict):
            _refuse_other_keys(value)


def _kind(value: Any) -> str:
    """What something is, in a few words."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return repr(value)[:40]
