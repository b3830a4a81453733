"""Sparse attention: distributions with exact zeros, as weights of a mixture or as the law of a hard
choice."""

from typing import Unpack

from attnlab import functional
from attnlab.core.distributions import Sparse
from attnlab.core.interfaces import Mechanism
from attnlab.core.schedules import scheduled
from attnlab.facts import Facts
from attnlab.mechanisms.enumeration import expected
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta


@Facts(
    paper="Martins & Astudillo 2016 (1602.02068)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def sparsemax(**beta: Unpack[Beta]) -> Mechanism:
    """weights = argmin_p |p - beta * scores|^2 on the simplex; the loss at the averaged value."""
    return averaged(Sparse(functional.sparsemax, scheduled("beta", beta)))


@Facts(
    paper="Peters et al. 2019 (1905.05702)", objective="soft", unbiased=True, needs="mixture", evaluations=1
)
def entmax15(**beta: Unpack[Beta]) -> Mechanism:
    """weights = argmax_p p . (beta * scores) + H(p) with the Tsallis entropy of alpha 1.5; the loss at the
    averaged value."""
    return averaged(Sparse(functional.entmax15, scheduled("beta", beta)))


@Facts(
    paper="Correia et al. 2020 (2007.01919)",
    objective="expected",
    unbiased=True,
    needs="value",
    evaluations="S",
)
def sparsemax_expected(**beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = sparsemax(beta * scores): the expected loss, enumerated; only the support
    counts."""
    return expected(Sparse(functional.sparsemax, scheduled("beta", beta)))


@Facts(
    paper="Correia et al. 2020 (2007.01919); Peters et al. 2019 (1905.05702)",
    objective="expected",
    unbiased=True,
    needs="value",
    evaluations="S",
)
def entmax15_expected(**beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = entmax15(beta * scores): the expected loss, enumerated; only the support
    counts."""
    return expected(Sparse(functional.entmax15, scheduled("beta", beta)))
