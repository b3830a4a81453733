"""Measure the gradient of every mechanism: bias, variance, cosine and cost.

  python scripts/microscope.py
  python scripts/microscope.py attention=gumbel_rao attention.samples=1,4,16
  python scripts/microscope.py attention=rebar,hard_reinforce --draws 1000000

Each mechanism estimates the gradient of a loss over eight positions many times,
and is held against the exact gradient of its own objective, by enumeration. The
losses are linear, quadratic and exponential in the weights. Without overrides,
every mechanism is measured, with each of its baselines, in half a minute.

bias      length of (mean estimate - exact gradient) / length of the exact one
cosine    of the mean estimate with the exact gradient
variance  mean squared distance of one estimate from their mean / length^2
cost      evaluations of the loss for one estimate
"""

import sys

from attnlab.cli.microscope import microscope

if __name__ == "__main__":
    sys.exit(microscope(sys.argv[1:], __doc__))
