"""metrics.csv: one row for every logged step, whole on disk at any moment."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from attnlab.files import write

Row = dict[str, int | float]
"""A step, under "step", and its figures by their tags."""


class MetricsFile(Logger):
    """Writes figures to a CSV file with a column `step` and one a tag; figures of one step share a row.

    Rows already in the file, from before an interruption, are kept up to and including `step`. They were
    whole up to step `reached`; `dropped` lines behind it were not. A row is written by `save`, in one piece.
    """

    def __init__(self, path: Path, step: int):
        super().__init__()
        self.path = path
        rows, self.dropped = _sound_rows(path) if path.is_file() else ([], 0)
        self.reached = int(rows[-1]["step"]) if rows else 0
        self.pending: dict[int, Row] = {}
        self._rewrite([row for row in rows if row["step"] <= step])

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyperparameters are in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, int | float], step: int | None = None) -> None:
        """Add figures to the row of a step, which is written when it is saved."""
        self.pending.setdefault(step or 0, {"step": step or 0}).update(metrics)

    def save(self) -> None:
        """Write what was logged since the last time: rows at the end of the file, in one piece, where they
        are later steps and have its columns; otherwise the file anew."""
        new = [self.pending[step] for step in sorted(self.pending)]
        if not new:
            return
        if new[0]["step"] > self.last and not any(tag not in self.columns for row in new for tag in row):
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(file, "".join(map(self._line, new)).encode())
            finally:
                os.close(file)
            self.last = int(new[-1]["step"])
        else:
            rows = {row["step"]: row for row in _read_metrics(self.path)}
            for row in new:
                rows[row["step"]] = rows.get(row["step"], {}) | row
            self._rewrite([rows[step] for step in sorted(rows)])
        self.pending = {}

    def finalize(self, status: str) -> None:
        """Lightning ends with this, also where training failed."""
        self.save()

    def _rewrite(self, rows: list[Row]) -> None:
        """The whole file again: header and rows."""
        self.columns = ["step", *dict.fromkeys(tag for row in rows for tag in row if tag != "step")]
        self.last = int(rows[-1]["step"]) if rows else -1
        write(self.path, ",".join(self.columns) + "\n" + "".join(map(self._line, rows)))

    def _line(self, row: Row) -> str:
        line = io.StringIO()
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(row)
        return line.getvalue()


def _read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics.csv, each with `step` and the figures it has, up to the first that is damaged."""
    return _sound_rows(path)[0]


def _sound_rows(path: Path) -> tuple[list[Row], int]:
    """The rows of a metrics.csv up to the first that is damaged, and how many lines there are from that one
    on. A row cut off at the end is left out, and counts as one."""
    *lines, rest = path.read_bytes().split(b"\n")
    rows: list[Row] = []
    try:
        header = _cells(lines[0]) if lines else []
        for line in lines[1:]:
            rows.append(_row(header, line))
    except (ValueError, KeyError, csv.Error):
        pass
    return rows, max(0, len(lines) - 1 - len(rows)) + bool(rest)


def _row(header: list[str], line: bytes) -> Row:
    cells = dict(zip(header, _cells(line), strict=True))
    figures = {tag: float(cell) for tag, cell in cells.items() if cell and tag != "step"}
    return {"step": int(cells["step"]), **figures}


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode()]), [])
