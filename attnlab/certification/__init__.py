"""Anyone's gradient estimator held against exact gradients: a verdict with its evidence."""

from attnlab.certification.certificate import Certificate
from attnlab.certification.certifying import certify
from attnlab.certification.problems import answers

__all__ = ["Certificate", "answers", "certify"]
