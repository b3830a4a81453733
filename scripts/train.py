"""Train one model, or with -m several, and measure each on held-out data."""

import sys

from attnlab.cli import train

if __name__ == "__main__":
    sys.exit(train.train(sys.argv[1:], train.__doc__))
