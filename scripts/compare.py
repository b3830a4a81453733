"""Compare runs over seeds: tables, statistics, plots, a report, and group runs for TensorBoard.

  python scripts/compare.py runs
  python scripts/compare.py runs/reverse/soft runs/reverse/hard_*
  python scripts/compare.py runs --metric test/nll
  python scripts/compare.py runs --by attention attention.beta --out comparison/beta

Runs that differ only in the seed form a group, and groups are compared over the seeds they share. Failed and unfinished
runs are named, never dropped in silence.
"""

import sys

from attnlab.comparison.command import compare

if __name__ == "__main__":
    sys.exit(compare(sys.argv[1:], __doc__))
