"""What a run is made from: its configuration, its data by their contents, and the one hash over both.

Nothing here imports torch.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attnlab.config.checking import ConfigurationError, data_files
from attnlab.config.choices import CHOICE, TARGET, named
from attnlab.config.trainer import OWNED

_WITHOUT_EFFECT = ("runs_dir", "fresh", "trainer.enable_progress_bar", *(f"trainer.{name}" for name in OWNED))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


_CAME_LATER = ("stop_at", "evaluate_lengths")
_LOOKS_ON = ("AttentionMaps",)
"""Callbacks of attnlab that show what is there and write no figure."""


def effective(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that can change a number, by its dotted key; those that came later only where they do
    something, so that a run made before is the same."""
    looking = tuple(
        f"callbacks.{name}."
        for name, node in (tree.get("callbacks") or {}).items()
        if str(node.get(CHOICE, node.get(TARGET))).rpartition(".")[2] in _LOOKS_ON
    )
    without = {*_WITHOUT_EFFECT, *(key for key in _CAME_LATER if not tree.get(key))}
    return {
        key: value
        for key, value in flatten(tree).items()
        if key not in without and not key.startswith(looking)
    }


def data_digests(tree: Mapping[str, Any], unread: Collection[str] = ()) -> dict[str, str]:
    """SHA-256 of the contents of every data file that a configuration names, by dotted key: `task.train`;
    those of the keys `unread` are left alone.

    Raises ConfigurationError for a file that cannot be read.
    """
    return {key: _contents(key, path) for key, path in data_files(tree).items() if key not in unread}


def identity(tree: Mapping[str, Any], data: Mapping[str, str] | None = None) -> str:
    """8 hex digits over every setting that can change a number, with choices by name and data files by their
    contents.

    data: the digests of these files, where they have been read before.
    """
    flat = effective(named(tree)) | dict(data_digests(tree) if data is None else data)
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:8]


def refuse_other_data(tree: Mapping[str, Any], data: Mapping[str, str]) -> None:
    """Raises ConfigurationError where a data file holds anything else than it did when `data` was taken."""
    today, paths = data_digests(tree), data_files(tree)
    if changed := [f"{key} ({paths[key]})" for key in data if today.get(key) != data[key]]:
        raise ConfigurationError(
            f"{' and '.join(changed)} changed after this run was planned, and a run is known by the "
            "contents of its data; the same command typed again trains a run of the new data"
        )


def _contents(key: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{key}: {path} cannot be read: {error.strerror}") from None
