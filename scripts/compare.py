"""Compare runs over seeds: tables, statistics, plots, a report, TensorBoard.

  python scripts/compare.py runs
  python scripts/compare.py runs/reverse/soft runs/copy --metric test/nll
  python scripts/compare.py runs --by attention attention.beta
  python scripts/compare.py runs --against attention.samples

Runs that differ only in the seed form a group, and groups are compared over the
seeds they share, with intervals and p-values that are corrected for many pairs.
The first lines say in words what was found, and how certain that is.
Failed and unfinished runs are named, never dropped in silence. Everything is
printed, and written: report.html shows it all on one page, runs.csv, groups.csv
and pairs.csv have every digit, tensorboard/ holds mean and band of each group.
"""

import sys

from attnlab.cli.compare import compare

if __name__ == "__main__":
    sys.exit(compare(sys.argv[1:], __doc__))
