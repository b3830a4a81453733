"""Compare runs over seeds: tables, statistics, plots, a report, TensorBoard."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import compare

    sys.exit(compare.compare(sys.argv[1:], compare.__doc__))
