"""Measure the gradient of every mechanism: bias, variance, cosine and cost."""

import sys

from attnlab.cli import microscope

if __name__ == "__main__":
    sys.exit(microscope.microscope(sys.argv[1:], microscope.__doc__))
