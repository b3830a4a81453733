"""Train one model, or with -m several, and measure each on held-out data."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import train

    sys.exit(train.train(sys.argv[1:], train.__doc__))
