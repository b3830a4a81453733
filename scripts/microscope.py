"""Measure the gradient of every mechanism: bias, variance, cosine and cost."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import microscope

    sys.exit(microscope.microscope(sys.argv[1:], microscope.__doc__))
