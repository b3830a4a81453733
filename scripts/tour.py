"""A tour of argmax, hardmax, softmax, softargmax and beta, in ten minutes."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import tour

    sys.exit(tour.tour(sys.argv[1:], tour.__doc__))
