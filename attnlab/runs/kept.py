"""What a finished run is measured on: its own vocabulary, and data that are said where they are not those it
saw. Nothing here imports torch."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attnlab.config.checking import ConfigurationError, data_files
from attnlab.runs import folders
from attnlab.runs.identity import data_digests

TRAINING = "task.train"  # what a vocabulary is made from, and stands for afterwards
_EXAMS = ("task.val", "task.test")
ASKED = ("attention", "score", "model", "task")
"""Groups whose objects are asked whether a setting matters to a measurement."""
_READING = ("task.source_separator", "task.target_separator", "task.features_column")


class _Kept(NamedTuple):
    """What a run keeps of its data."""

    vocabulary: tuple[dict[str, Any], ...]  # to be handed to the task; empty where it keeps none
    digests: Mapping[str, str]  # of the data files it was made from, by dotted key; empty in old runs

    @property
    def unread(self) -> tuple[str, ...]:
        """Keys of data files that are not read again."""
        return (TRAINING,) if self.vocabulary else ()


def kept_by(folder: Path) -> _Kept:
    """What a run's folder holds of its data. Raises ConfigurationError where that is damaged."""
    vocabulary = folders.read_vocabulary(folder)
    digests = folders.read_sources(folder).get("data")
    return _Kept(() if vocabulary is None else (vocabulary,), digests if isinstance(digests, dict) else {})


def remarks(kept: _Kept, tree: Mapping[str, Any], changed: Collection[str]) -> Iterator[str]:
    """Sentences about data that are not those of the run; `changed` are the keys of a configuration that were
    named for this measurement.

    Raises ConfigurationError where symbols would have to be made from another training file than the run's.
    """
    if TRAINING in changed and kept.vocabulary:
        raise ConfigurationError(
            f"{TRAINING} changes nothing that is measured: a run is read with its own vocabulary.json; other "
            "data to measure on are named by task.val and task.test"
        )
    paths = data_files({**tree, "callbacks": {}})
    today = data_digests({**tree, "callbacks": {}}, kept.unread)
    for key, path in paths.items():
        if key in kept.unread:
            continue
        other = key in kept.digests and today[key] != kept.digests[key]
        if other and not kept.vocabulary and key not in _EXAMS:
            raise ConfigurationError(
                f"{key}={path} is not the file this run was made from: its contents differ, and the numbers "
                "of symbols may depend on them"
            )
        if other and key not in changed:
            yield f"{key}={path} is not the file this run was measured on: its contents differ"
    if TRAINING in paths and not kept.vocabulary and TRAINING not in kept.digests:
        yield (
            "this run keeps no vocabulary, as runs of earlier versions do not: its symbols are made anew "
            f"from {TRAINING}={paths[TRAINING]}, and are its own only if that is still the file it was "
            "trained on"
        )
    for key in set(_READING) & set(changed):
        yield f"{key} is another than in training: the lines are split in this way, the symbols are the run's"
