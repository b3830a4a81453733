"""A verdict on anyone's gradient estimator, with its evidence."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import certify

    sys.exit(certify.certify(sys.argv[1:], certify.__doc__))
