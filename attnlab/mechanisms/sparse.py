"""Sparse attention: distributions with exact zeros, as weights of a mixture or as the law of a hard
choice."""

from typing import Unpack

from attnlab import functional
from attnlab.attention.distributions import Sparse
from attnlab.attention.interfaces import Mechanism
from attnlab.attention.schedules import scheduled
from attnlab.mechanisms.enumeration import expected
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta, EvaluateAs


def sparsemax(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = argmin_p |p - beta * scores|^2 on the simplex; the loss at the averaged value.

    Paper: Martins & Astudillo 2016 (1602.02068).
    Bias: none for its own objective.
    Cost: 1 evaluation of the loss.
    """
    return averaged(Sparse(functional.sparsemax, scheduled("beta", beta)), evaluate_as)


def entmax15(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = argmax_p p . (beta * scores) + H(p) with the Tsallis entropy of alpha 1.5; the loss at the
    averaged value.

    Paper: Peters et al. 2019 (1905.05702).
    Bias: none for its own objective.
    Cost: 1 evaluation of the loss.
    """
    return averaged(Sparse(functional.entmax15, scheduled("beta", beta)), evaluate_as)


def sparsemax_expected(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = sparsemax(beta * scores): the expected loss, enumerated; only the support
    counts.

    Paper: Correia et al. 2020 (2007.01919).
    Bias: none for the expected loss under sparsemax.
    Cost: S evaluations of the loss.
    """
    return expected(Sparse(functional.sparsemax, scheduled("beta", beta)), evaluate_as)


def entmax15_expected(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = entmax15(beta * scores): the expected loss, enumerated; only the support
    counts.

    Paper: Correia et al. 2020 (2007.01919); Peters et al. 2019 (1905.05702).
    Bias: none for the expected loss under entmax15.
    Cost: S evaluations of the loss.
    """
    return expected(Sparse(functional.entmax15, scheduled("beta", beta)), evaluate_as)
