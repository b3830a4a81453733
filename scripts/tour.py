"""A tour of argmax, hardmax, softmax, softargmax and beta, in ten minutes.

  python scripts/tour.py
  python scripts/tour.py --out notes/tour
  python scripts/tour.py | less

It prints a worked example and writes one page with figures and sliders
(tour.html, which opens without a network, on a phone too), the figures as PNG,
and a TensorBoard run with them.
"""

import sys

from attnlab.cli.tour import tour

if __name__ == "__main__":
    sys.exit(tour(sys.argv[1:], __doc__))
