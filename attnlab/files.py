"""Files that appear whole or not at all, and files that may be missing or damaged."""

import contextlib
import csv
import io
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


def is_file(name: str) -> bool:
    """Whether a name is that of a file; one that no system takes, too long or with a NUL, is not."""
    return os.path.isfile(name)  # unlike Path.is_file, it raises nothing


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place to write to; once written, it takes the path's place. A crash before that leaves the old
    file; a folder in its place is moved beside it."""
    partial = path.with_name(path.name + ".partial")
    yield partial
    if path.is_dir() and not path.is_symlink():  # which nobody can know to be worth nothing
        path.rename(path.with_name(f"{path.name}.folder-{time.time_ns()}"))
    os.replace(partial, path)


def flush(path: Path) -> None:
    """Wait until a file's contents are on the disk, where a loss of power leaves them."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all; lines end as they do in `text`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of cells as CSV, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write(path, text.getvalue())


def regular(path: Path) -> Path:
    """The path itself, where it is that of a file with an end: no folder, no device, no pipe. Raises
    ValueError and OSError."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    return path


def read_object(path: Path) -> dict[str, Any]:
    """An object of JSON; {} where there is none that can be read."""
    try:
        found = json.loads(regular(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
