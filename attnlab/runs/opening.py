"""A finished run, opened safely: its configuration is data until every name in it is trusted. Nothing here
imports torch."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from attnlab.config import trust
from attnlab.config.checking import ConfigurationError, check, data_files
from attnlab.config.trainer import measuring_conflicts
from attnlab.runs import folders, kept, stored

PAIRS = "attnlab.tasks.pairs.pairs"
"""The task whose sources are read with the vocabulary alone: no file of data has to be there."""


class Opened(NamedTuple):
    """What is read of a run before any of its code is looked up."""

    tree: dict[str, Any]  # its configuration
    state: str
    checkpoint: Path  # the best
    vocabulary: tuple[dict[str, Any], ...]  # as `kept_by` has it

    @property
    def unread(self) -> list[str]:
        """Keys of data files that asking the model needs not."""
        alone = self.vocabulary and self.tree["task"]["_target_"] == PAIRS
        return list(data_files({**self.tree, "callbacks": {}})) if alone else []

    def check(self) -> None:
        """Hold the configuration against its rules once more, when settings of it have been changed."""
        check(self.tree, conflicts=measuring_conflicts, unread=self.unread)


def opened(folder: Path, trusted: Collection[str]) -> Opened:
    """A run by its folder; `trusted` are packages whose code may run beside attnlab's own.

    Raises ConfigurationError for what is no run, is damaged, has no checkpoint, or names code that is not
    trusted.
    """
    best = folder / "checkpoints" / "best.ckpt"
    for problem in stored.damage(folder).values():
        raise ConfigurationError(problem)
    state = folders.read_status(folder).get("state")
    if missing := [name for name in ("config.yaml", "status.json") if not (folder / name).is_file()]:
        raise ConfigurationError(f"{folder} is not the folder of a run: it has no {' and no '.join(missing)}")
    if state is None:
        raise ConfigurationError(f"{folder / 'status.json'} names no state of a run")
    if not best.is_file():
        raise ConfigurationError(
            f"{best} is {'no file' if os.path.lexists(best) else 'missing'}, and the run is {state}; "
            "the command that trained it goes on"
        )
    tree = folders.read_config(folder)
    trust.refuse_untrusted(tree, trusted)
    return Opened(tree, state, best, kept.kept_by(folder).vocabulary)
