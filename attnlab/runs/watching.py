"""How far a sweep is, by what its runs' folders say: whichever process or machine trains a run."""

import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from attnlab.config.composing import Composition
from attnlab.progress import SELDOM, bar, left, reached, spoken, tell
from attnlab.runs import folders
from attnlab.runs.history import column, last_step
from attnlab.text import WIDTH

_OFTEN = 0.5  # seconds between two looks
ACCURACY = "val/sequence_accuracy"


@runtime_checkable
class _Watched(Protocol):
    """A run of a sweep: where it lies, what it is called there, and how long it is."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...

    @property
    def name(self) -> str:
        """What it is called among the others."""
        ...

    @property
    def composition(self) -> Composition:
        """What it was composed to be; says how long it is."""
        ...


@contextmanager
def watching(jobs: Sequence[_Watched]) -> Iterator[None]:
    """While jobs run: a line on stderr whenever one ends, with the time left; between them one bar over the
    steps of all on a terminal, elsewhere a line when one was validated."""
    over, view = threading.Event(), _View(jobs)

    def watch() -> None:
        while not over.wait(_OFTEN):
            view.look()
        view.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class _View:
    """What is known of the jobs, and when it was last told."""

    def __init__(self, jobs: Sequence[_Watched]):
        self.jobs = jobs
        self.before = {job.folder: folders.read_status(job.folder) for job in jobs}
        self.started = self.told = time.monotonic()
        self.first = sum(map(_step, jobs))
        self.ended: dict[Path, str] = {}
        self.validated: dict[Path, int] = {}  # the last validation that was told
        self.draws = sys.stderr.isatty()

    def look(self) -> None:
        """Read the folders of jobs that have not ended, and tell what is new."""
        running = []
        for job in self.jobs:
            status = folders.read_status(job.folder) if job.folder not in self.ended else {}
            if status.get("state") in ("done", "failed") and self._is_new(job, status, "end"):
                self.ended[job.folder] = status["state"]
                self._tell_end(job)
            elif status.get("state") == "running" and self._is_new(job, status, "start"):
                running.append(job)
        if running and (self.draws or time.monotonic() - self.told > SELDOM):
            self._tell_running(running)

    def _is_new(self, job: _Watched, status: dict[str, Any], key: str) -> bool:
        return status.get(key) != self.before[job.folder].get(key)

    def _tell_end(self, job: _Watched) -> None:
        number, failed = len(self.jobs) - len(self.ended), list(self.ended.values()).count("failed")
        pace = (time.monotonic() - self.started) / len(self.ended)
        counts = f"{len(self.ended) - failed} done, {failed} failed, {number} left"
        clear = f"\r{'':{WIDTH - 1}}\r" if self.draws else ""
        print(clear, end="", file=sys.stderr)
        tell(f"{counts}, about {spoken(pace * number)}; {self.ended[job.folder]}: {job.name}")
        self.told = time.monotonic()

    def _tell_running(self, running: Sequence[_Watched]) -> None:
        step, total = sum(map(self._reached, self.jobs)), sum(map(_length, self.jobs))
        remaining = left(step, total, self.first, time.monotonic() - self.started)
        if self.draws:
            print(f"\r{bar(step, total, remaining, {})}", end="", file=sys.stderr, flush=True)
            return
        for job in running:
            validated, accuracy = _validation(job)
            if validated > self.validated.get(job.folder, 0):
                self.validated[job.folder], self.told = validated, time.monotonic()
                now = f"{reached(validated, _length(job))}, accuracy {accuracy:.4f}"
                tell(
                    f"{', '.join(filter(None, [now, f'{remaining} for all' * bool(remaining)]))}: {job.name}"
                )

    def _reached(self, job: _Watched) -> int:
        return int(_length(job)) if job.folder in self.ended and _length(job) < math.inf else _step(job)


def _length(job: _Watched) -> int | float:
    steps = job.composition.tree["trainer"]["max_steps"]
    return float(steps) if steps > 0 else math.inf


def _step(job: _Watched) -> int:
    """The last logged step; 0 before the first."""
    try:
        return last_step(job.folder / "metrics.csv")
    except (OSError, ValueError):
        return 0


def _validation(job: _Watched) -> tuple[int, float]:
    """Step and accuracy of the last validation; step 0 before the first."""
    try:
        history = column((job.folder / "metrics.csv").read_bytes(), ACCURACY)
    except (OSError, ValueError):
        return 0, math.nan
    return (int(history.steps[-1]), float(history.values[-1])) if len(history.steps) else (0, math.nan)
