"""What so many seeds can show and what they cannot, in plain words."""

import numpy as np

from attnlab.comparison.statistics import ENUMERATED, Bounds, Interval, bootstrap, smallest_p, student
from attnlab.text import counted

_SEEDS = "A seed changes initial parameters, training data and draws together"
_LARGEST_P = 0.05  # above which a p-value shows nothing
_BOOTSTRAP = {2: 0.50, 3: 0.73, 4: 0.81, 5: 0.83, 6: 0.86, 8: 0.88, 10: 0.90, 20: 0.92}
SKEWED = {2: 0.91, 3: 0.88, 4: 0.87, 5: 0.87, 8: 0.89, 12: 0.90, 16: 0.91, 20: 0.92, 30: 0.93}
FAILING = {2: 0.46, 3: 0.27, 4: 0.34, 5: 0.41, 8: 0.56, 12: 0.68, 16: 0.75, 20: 0.79, 30: 0.85}
"""How often an interval of n values holds the true mean, by simulation: the bootstrap's of normal values,
Student's of accuracies 1 - x with x exponential, and of accuracies near 1 of which one in ten has failed
(uniform from 0 to 0.9)."""


def what_seeds_show(n: int, pairs: int, method: Interval = student) -> str:
    """In plain words, what n shared seeds and a number of pairs compared can show, and what they cannot."""
    if n < 2:
        return (
            "One seed shows what happened once. It says nothing about other seeds: no interval, "
            "no p-value. Plan 8 seeds."
        )
    least, corrected = smallest_p(n), min(1.0, pairs * smallest_p(n))
    if not pairs:
        return f"{_SEEDS}."
    words = f"With {n} paired seeds the smallest p-value there can be is {least:.3g}"
    words += f", and {corrected:.3g} after Holm's correction for {counted(pairs, 'pair')}" * (pairs > 1)
    if corrected > _LARGEST_P:
        words += (
            f": none can get below {_LARGEST_P}, however large the difference. The verdict stands on the "
            f"intervals, which take differences over seeds to be normal; to have both, {_plan(n, pairs)}."
        )
    else:
        words += "."
    words += " A difference that cannot be told apart is not shown to be none."
    if method is bootstrap and (coverage := _at(_BOOTSTRAP, n)) < 0.9:
        words += (
            f" A bootstrap interval from {n} seeds is too narrow: it holds the true mean about "
            f"{coverage:.0%} of the time instead of 95 % (normal data)."
        )
    return f"{words} {_SEEDS}; nothing here speaks of other tasks."


def _plan(n: int, pairs: int) -> str:
    enough = next((m for m in range(n + 1, ENUMERATED + 1) if pairs * smallest_p(m) <= _LARGEST_P), None)
    fewer = "compare fewer groups"
    return fewer if enough is None else f"plan {max(8, enough)} seeds" + f", or {fewer}" * (pairs > 1)


def what_bounds_hide(values: np.ndarray, bounds: Bounds) -> str:
    """A sentence for figures that crowd at one of two bounds, where no interval over few seeds has 95 %; ""
    for others."""
    distance, n = bounds[1] - bounds[0], len(values)
    near = [
        end for end in bounds if n > 1 and np.isfinite(distance) and abs(values - end).min() < distance / 50
    ]
    if not near:
        return ""
    words = (
        f"Figures that crowd at {near[-1]:g} are skewed: an interval from {n} seeds holds the true mean "
        f"about {_at(SKEWED, n):.0%} of the time instead of 95 %"
    )
    failing = f", and about {_at(FAILING, n):.0%} where one seed in ten fails" * (near[-1] == bounds[1])
    return f"{words}{failing}; look at the smallest and the largest value too."


def _at(coverage: dict[int, float], n: int) -> float:
    return coverage[max(size for size in coverage if size <= n)]
