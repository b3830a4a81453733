"""Sparse attention: distributions with exact zeros, as weights of a mixture or as the law of a hard choice."""

from collections.abc import Callable
from typing import Unpack

from torch import Tensor

from attnlab import functional
from attnlab.base import Mechanism
from attnlab.distributions import Sparse
from attnlab.estimators import Pathwise
from attnlab.mechanisms.enumeration import Enumeration
from attnlab.mechanisms.soft import Mixture
from attnlab.rules import Beta, EvaluateAs
from attnlab.schedules import scheduled


def sparsemax(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = argmin_p |p - beta * scores|^2 on the simplex; the loss at the averaged value.

    Paper: Martins & Astudillo 2016 (1602.02068).
    Bias: none for its own objective.
    Cost: 1 evaluation of the loss.
    """
    return _weights(functional.sparsemax, beta, evaluate_as)


def entmax15(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = argmax_p p . (beta * scores) + H(p) with the Tsallis entropy of alpha 1.5; the loss at the averaged value.

    Paper: Peters et al. 2019 (1905.05702).
    Bias: none for its own objective.
    Cost: 1 evaluation of the loss.
    """
    return _weights(functional.entmax15, beta, evaluate_as)


def sparsemax_expected(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = sparsemax(beta * scores): the expected loss, enumerated; only the support counts.

    Paper: Correia et al. 2020 (2007.01919).
    Bias: none for the expected loss under sparsemax.
    Cost: S evaluations of the loss.
    """
    return _expected(functional.sparsemax, beta, evaluate_as)


def entmax15_expected(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = entmax15(beta * scores): the expected loss, enumerated; only the support counts.

    Paper: Correia et al. 2020 (2007.01919); Peters et al. 2019 (1905.05702).
    Bias: none for the expected loss under entmax15.
    Cost: S evaluations of the loss.
    """
    return _expected(functional.entmax15, beta, evaluate_as)


def _weights(project: Callable[[Tensor], Tensor], beta: Beta, evaluate_as: EvaluateAs) -> Mechanism:
    distribution = Sparse(project, scheduled("beta", beta))
    return Mechanism(distribution, Mixture(distribution), Pathwise(), "soft", "mixture", evaluate_as)


def _expected(project: Callable[[Tensor], Tensor], beta: Beta, evaluate_as: EvaluateAs) -> Mechanism:
    distribution = Sparse(project, scheduled("beta", beta))
    return Mechanism(distribution, Enumeration(distribution), Pathwise(), "expected", "value", evaluate_as)
