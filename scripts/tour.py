"""A tour of argmax, hardmax, softmax, softargmax and beta, in ten minutes."""

import sys

from attnlab.cli import tour

if __name__ == "__main__":
    sys.exit(tour.tour(sys.argv[1:], tour.__doc__))
