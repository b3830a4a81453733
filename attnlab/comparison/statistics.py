"""Statistics over seeds, as pure functions of arrays: intervals, paired differences, p-values and what they
can show.

The interval is Student's: 95 % at every n for normal data. The bootstrap, which is too narrow for few seeds,
is BCa (Efron 1987) with a fixed seed. The p-value is that of the paired permutation test, which flips the
signs of the differences; Holm 1979 corrects it for the number of pairs.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from attnlab.text import counted

LEVEL, RESAMPLES, SEED = 0.95, 9999, 0
ENUMERATED, DRAWN = 30, 100_000  # pairs up to which all sign flips are counted; flips drawn beyond
SEEDS = "A seed changes initial parameters, training data and draws together"
LARGEST_P = 0.05  # above which a difference is not called one
COLUMNS = 100  # bootstrap intervals taken at once, which bounds the memory
BOOTSTRAP = {2: 0.50, 3: 0.73, 4: 0.81, 5: 0.83, 6: 0.86, 8: 0.88, 10: 0.90, 20: 0.92}
SKEWED = {2: 0.91, 3: 0.88, 4: 0.87, 5: 0.87, 8: 0.89, 12: 0.90, 16: 0.91, 20: 0.92, 30: 0.93}
FAILING = {2: 0.46, 3: 0.27, 4: 0.34, 5: 0.41, 8: 0.56, 12: 0.68, 16: 0.75, 20: 0.79, 30: 0.85}
"""How often an interval of n values holds the true mean, by simulation: the bootstrap's of normal values,
Student's of accuracies 1 - x with x exponential, and of accuracies near 1 of which one in ten has failed
(uniform from 0 to 0.9)."""


class Summary(NamedTuple):
    """Some values, one a seed. None where there are too few values to say."""

    n: int
    mean: float | None
    std: float | None  # with n - 1
    lower: float | None
    upper: float | None


class Paired(NamedTuple):
    """The differences first - second over shared seeds. None where there are too few to say."""

    n: int
    difference: float | None
    lower: float | None
    upper: float | None
    improvement: float | None  # share of seeds in which the first is better, ties half
    p: float | None
    p_holm: float | None


Bounds = tuple[float, float]
Interval = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Lower and upper end for the mean of every column of (n, columns), n >= 2, none of which is constant."""


def student(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t: the mean plus and minus t(0.975, n - 1) standard errors."""
    n, mean = len(values), values.mean(axis=0)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean - half, mean + half


def bootstrap(values: np.ndarray, resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """BCa: bias-corrected and accelerated quantiles of the means of resamples."""
    lower, upper = np.empty((2, values.shape[1]))
    for start in range(0, values.shape[1], COLUMNS):
        part = slice(start, start + COLUMNS)
        found = stats.bootstrap(
            (values[:, part],),
            np.mean,
            axis=0,
            n_resamples=resamples,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
        lower[part], upper[part] = found.low, found.high
    return lower, upper


INTERVALS: dict[str, Interval] = {"student": student, "bootstrap": bootstrap}
UNBOUNDED: Bounds = (-np.inf, np.inf)


def interval(
    values: np.ndarray, method: Interval = student, bounds: Bounds = UNBOUNDED
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of every column of (n, columns), n >= 2, and its 95 % interval, cut at the bounds of the figure:
    the value itself where all are equal."""
    assert len(values) >= 2
    varied = np.ptp(values, axis=0) > 1e-12 * np.abs(values).max(axis=0)
    mean = np.where(varied, values.mean(axis=0), values[0])
    lower, upper = mean.copy(), mean.copy()
    if varied.any():
        lower[varied], upper[varied] = np.clip(method(values[:, varied]), *bounds)
    return mean, lower, upper


def summarise(values: np.ndarray, method: Interval = student, bounds: Bounds = UNBOUNDED) -> Summary:
    """Mean, standard deviation and interval of the mean of a vector of finite values."""
    if len(values) < 2:
        return Summary(len(values), float(values[0]) if len(values) else None, None, None, None)
    mean, lower, upper = (float(part[0]) for part in interval(values[:, None], method, bounds))
    std = 0.0 if np.ptp(values) <= 1e-12 * np.abs(values).max() else float(np.std(values, ddof=1))
    return Summary(len(values), mean, std, lower, upper)


def compare(
    pairs: list[tuple[np.ndarray, np.ndarray]],
    higher: bool,
    method: Interval = student,
    bounds: Bounds = UNBOUNDED,
) -> list[Paired]:
    """Every pair of equally long vectors, one value a shared seed; Holm counts the pairs that have a
    p-value. A difference of figures within bounds lies within their distance."""
    differences = [first - second for first, second in pairs]
    distance = bounds[1] - bounds[0]
    ends: dict[int, tuple[float, float]] = {}
    for n in {len(difference) for difference in differences if len(difference) > 1}:
        places = [place for place, difference in enumerate(differences) if len(difference) == n]
        columns = np.stack([differences[place] for place in places], axis=1)
        _, lower, upper = interval(columns, method, (-distance, distance))
        ends |= {place: (float(lower[i]), float(upper[i])) for i, place in enumerate(places)}
    p_values = {place: sign_flip_p(differences[place]) for place in ends}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    results = []
    for place, (first, second) in enumerate(pairs):
        difference, improvement = (
            (float(np.mean(first - second)), improved(first, second, higher)) if len(first) else (None, None)
        )
        low, high = ends.get(place, (None, None))
        p = p_values.get(place), corrected.get(place)
        results.append(Paired(len(first), difference, low, high, improvement, *p))
    return results


def improved(first: np.ndarray, second: np.ndarray, higher: bool) -> float:
    """Share of pairs in which the first is better than the second, ties half."""
    sign = np.sign(first - second) * (1 if higher else -1)
    return float(np.mean((sign + 1) / 2))


def sign_flip_p(differences: np.ndarray) -> float:
    """Share of all 2^n sign flips whose |sum| is at least the one observed, two-sided; 100,000 drawn flips
    beyond n = 30.

    Every flip is counted, and none is made: the sums of one half of the differences are looked up among the
    sorted sums of the other, 2^(n/2) of each.
    """
    n, least = len(differences), abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if n <= ENUMERATED:
        first, second = _signed_sums(differences[: n // 2]), np.sort(_signed_sums(differences[n // 2 :]))
        inside = np.searchsorted(second, least - first) - np.searchsorted(second, -least - first, "right")
        return 1 - int(np.maximum(inside, 0).sum()) / 2**n
    signs = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(DRAWN, n))
    return float((1 + np.sum(np.abs(signs @ differences) >= least)) / (1 + DRAWN))


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """The sums of a vector under all flips of signs, (2^n)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number: the i-th smallest of m times m - i + 1, made monotone, at most
    1."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return corrected.tolist()


def smallest_p(n: int) -> float:
    """The smallest p-value that n pairs can give: 2 flips of 2^n where all are counted, 1 of the drawn ones
    beyond."""
    return 2.0 ** (1 - n) if n <= ENUMERATED else 1 / (1 + DRAWN)


def what_seeds_show(n: int, pairs: int, method: Interval = student) -> str:
    """In plain words, what n shared seeds and a number of pairs compared can show, and what they cannot."""
    if n < 2:
        return (
            "One seed shows what happened once. It says nothing about other seeds: no interval, "
            "no p-value. Plan 8 seeds."
        )
    least, corrected = smallest_p(n), min(1.0, pairs * smallest_p(n))
    if not pairs:
        return f"{SEEDS}."
    words = f"With {n} paired seeds the smallest p-value there can be is {least:.3g}"
    words += f", and {corrected:.3g} after Holm's correction for {counted(pairs, 'pair')}" * (pairs > 1)
    if corrected > LARGEST_P:
        words += f": no difference can get below {LARGEST_P}, however large; {_plan(n, pairs)}."
    else:
        words += f". A p-value above {LARGEST_P} does not show that two groups are equal."
    if method is bootstrap and (coverage := _at(BOOTSTRAP, n)) < 0.9:
        words += (
            f" A bootstrap interval from {n} seeds is too narrow: it holds the true mean about "
            f"{coverage:.0%} of the time instead of 95 % (normal data)."
        )
    return f"{words} {SEEDS}; nothing here speaks of other tasks."


def _plan(n: int, pairs: int) -> str:
    enough = next((m for m in range(n + 1, ENUMERATED + 1) if pairs * smallest_p(m) <= LARGEST_P), None)
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
