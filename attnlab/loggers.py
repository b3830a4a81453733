"""metrics.csv: one row for every logged step, complete on disk at any moment."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from attnlab.files import write

Row = dict[str, int | float]
"""A step, under "step", and its figures by their tags."""


class MetricsFile(Logger):
    """Writes figures to a CSV file with a column `step` and one a tag; figures of one step share a row.

    Rows already in the file, from before an interruption, are kept up to and including `step`.
    """

    def __init__(self, path: Path, step: int):
        super().__init__()
        self.path = path
        kept = [row for row in read_metrics(path) if row["step"] <= step] if path.exists() else []
        self.columns = ["step", *dict.fromkeys(tag for row in kept for tag in row if tag != "step")]
        self.row: Row = kept.pop() if kept else {}
        self.last = 0  # where the last row starts
        self._rewrite(kept)

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyperparameters are in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, int | float], step: int | None = None) -> None:
        """Add figures to the row of a step, or start the next row."""
        if self.row and self.row["step"] != step:
            self.last, self.row = self.path.stat().st_size, {}
        self.row |= {"step": step or 0, **metrics}
        fresh = [tag for tag in self.row if tag not in self.columns]
        if fresh:
            earlier = [row for row in read_metrics(self.path) if row["step"] != self.row["step"]]
            self.columns += fresh
            self._rewrite(earlier)
        else:
            with self.path.open("r+", encoding="utf-8", newline="") as file:
                file.seek(self.last)
                file.write(self._line(self.row))
                file.truncate()

    def _rewrite(self, rows: list[Row]) -> None:
        """The whole file again: header, earlier rows, and the one being filled."""
        text = ",".join(self.columns) + "\n" + "".join(map(self._line, rows))
        self.last = len(text.encode())
        write(self.path, text + (self._line(self.row) if self.row else ""))

    def _line(self, row: Row) -> str:
        line = io.StringIO()
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(row)
        return line.getvalue()


def read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics.csv, each with `step` and the figures it has. A row cut off by a crash is left
    out."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    rows = csv.DictReader(lines)
    return [
        {tag: int(value) if tag == "step" else float(value) for tag, value in row.items() if value}
        for row in rows
    ]
