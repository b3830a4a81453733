"""By what a run was made, and what of that is another today. Nothing here imports torch."""

import contextlib
import functools
import glob
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from attnlab.config.checking import ConfigurationError
from attnlab.runs.codebase import code_of, differing, listed
from attnlab.runs.folders import read_config, read_sources, read_status
from attnlab.runs.identity import effective


def other_code(folder: Path, tree: Mapping[str, Any]) -> str:
    """What differs between the code on disk now and that by which a run was made; "" where nothing does, or
    no run is there."""
    kept, status = read_sources(folder).get("code"), read_status(folder)
    if not status:
        return ""
    before, today = status.get("versions") or {}, versions()
    words = [
        f"{name} was {before[name]} and is {today.get(name)}"
        for name in before
        if before[name] != today.get(name)
    ]
    if kept:
        if files := differing(kept, code_of(tree)):
            words.append(
                f"{listed(files)} {'differs' if len(files) == 1 else 'differ'} from what it was made by"
            )
    elif (then := status.get("revision")) != (now := code_revision()):
        words.append(f"its code was revision {then}, today's is {now}")
    elif then is not None and then.endswith("+"):
        words.append(f"its code was revision {then}, with changes of which nothing was kept")
    return "; ".join(words)


def other_data(folder: Path, tree: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """Which data a run that is to be begun has other than a run of the same settings beside it; "" where
    there is none."""
    if folder.exists():
        return ""
    for beside in sorted(folder.parent.glob(f"{glob.escape(folder.name[:-8])}*")):
        kept = read_sources(beside).get("data") or {}
        changed = [key for key in data if kept.get(key, data[key]) != data[key]]
        with contextlib.suppress(ConfigurationError):
            if changed and effective(read_config(beside)) == effective(tree):
                return f"the contents of {' and '.join(changed)} changed since {beside.name} was made"
    return ""


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what decides the numbers of a run."""
    found = {}
    for name in ("attnlab", "torch", "pytorch-lightning", "hydra-core", "tensorboard"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@functools.cache
def code_revision() -> str:
    """The git revision of the code, with + where files are changed; "unknown" outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
