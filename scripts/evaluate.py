"""Measure a finished run again, as it was trained or under other settings."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import evaluate

    sys.exit(evaluate.evaluate(sys.argv[1:], evaluate.__doc__))
