"""Measure a finished run again, as it was trained or under other settings."""

import sys

from attnlab.cli import evaluate

if __name__ == "__main__":
    sys.exit(evaluate.evaluate(sys.argv[1:], evaluate.__doc__))
