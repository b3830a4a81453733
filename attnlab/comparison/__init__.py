"""Runs read back and compared over seeds: `load_runs("runs")` in a notebook, `scripts/compare.py` at the
command line.

Reading order: history, reading, grouping, statistics, records, comparing; then what is made of it: tables,
plots, tensorboard, report.
"""

from attnlab.comparison.reading import Run, load_runs
from attnlab.runs.history import History

__all__ = ["History", "Run", "load_runs"]
