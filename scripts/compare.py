"""Compare runs over seeds: tables, statistics, plots, a report, TensorBoard."""

import sys

from attnlab.cli import compare

if __name__ == "__main__":
    sys.exit(compare.compare(sys.argv[1:], compare.__doc__))
