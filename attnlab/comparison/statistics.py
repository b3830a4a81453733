"""Statistics over seeds, as pure functions of arrays: intervals, paired differences, p-values and what they
can show.

The bootstrap is BCa (Efron 1987) with a fixed seed: the same runs give the same interval. The p-value is that
of the paired permutation test, which flips the signs of the differences; Holm 1979 corrects it for the number
of pairs.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL, RESAMPLES, SEED = 0.95, 9999, 0
ENUMERATED, DRAWN = 12, 100_000  # pairs up to which all sign flips are counted; flips drawn beyond
COLUMNS = 100  # intervals taken at once, which bounds the memory
COVERAGE = {2: 0.5, 3: 0.73, 4: 0.81, 5: 0.83, 6: 0.86, 8: 0.88, 10: 0.90, 20: 0.92}
"""How often the interval of n normal values holds the true mean, by simulation (2,000 samples each; n = 2:
exact)."""


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


def summarise(values: np.ndarray) -> Summary:
    """Mean, standard deviation and interval of the mean of a vector of finite values."""
    if len(values) < 2:
        return Summary(len(values), float(values[0]) if len(values) else None, None, None, None)
    mean, lower, upper = (float(part[0]) for part in interval(values[:, None]))
    std = 0.0 if lower == upper else float(np.std(values, ddof=1))
    return Summary(len(values), mean, std, lower, upper)


def interval(values: np.ndarray, resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of every column of (n, columns), n >= 2, and its 95 % bootstrap interval: the value itself where
    all are equal."""
    assert len(values) >= 2
    varied = np.ptp(values, axis=0) > 1e-12 * np.abs(values).max(axis=0)
    mean = np.where(varied, values.mean(axis=0), values[0])
    lower, upper = mean.copy(), mean.copy()
    places = np.flatnonzero(varied)
    for start in range(0, len(places), COLUMNS):
        part = places[start : start + COLUMNS]
        draws = np.random.default_rng(SEED)
        found = stats.bootstrap(
            (values[:, part],),
            np.mean,
            axis=0,
            n_resamples=resamples,
            confidence_level=LEVEL,
            method="BCa",
            rng=draws,
        ).confidence_interval
        lower[part], upper[part] = found.low, found.high
    return mean, lower, upper


def compare(pairs: list[tuple[np.ndarray, np.ndarray]], higher: bool) -> list[Paired]:
    """Every pair of equally long vectors, one value a shared seed; Holm counts the pairs that have a
    p-value."""
    differences = [first - second for first, second in pairs]
    bounds: dict[int, tuple[float, float]] = {}
    for n in {len(difference) for difference in differences if len(difference) > 1}:
        places = [place for place, difference in enumerate(differences) if len(difference) == n]
        _, lower, upper = interval(np.stack([differences[place] for place in places], axis=1))
        bounds |= {place: (float(lower[i]), float(upper[i])) for i, place in enumerate(places)}
    p_values = {place: sign_flip_p(differences[place]) for place in bounds}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    results = []
    for place, (first, second) in enumerate(pairs):
        difference, improvement = (
            (float(np.mean(first - second)), improved(first, second, higher)) if len(first) else (None, None)
        )
        low, high = bounds.get(place, (None, None))
        p = p_values.get(place), corrected.get(place)
        results.append(Paired(len(first), difference, low, high, improvement, *p))
    return results


def improved(first: np.ndarray, second: np.ndarray, higher: bool) -> float:
    """Share of pairs in which the first is better than the second, ties half."""
    sign = np.sign(first - second) * (1 if higher else -1)
    return float(np.mean((sign + 1) / 2))


def sign_flip_p(differences: np.ndarray) -> float:
    """Share of all 2^n sign flips whose |sum| is at least the one observed, two-sided; 100,000 drawn flips
    beyond n = 12."""
    n, least = len(differences), abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if n <= ENUMERATED:
        signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float(np.mean(np.abs(signs @ differences) >= least))
    signs = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(DRAWN, n))
    return float((1 + np.sum(np.abs(signs @ differences) >= least)) / (1 + DRAWN))


def holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number: the i-th smallest of m times m - i + 1, made monotone, at most
    1."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return corrected.tolist()


def smallest_p(n: int) -> float:
    """The smallest p-value that n pairs can give."""
    return 2.0 ** (1 - n) if n <= ENUMERATED else 1 / (1 + DRAWN)


def what_seeds_show(n: int, pairs: int) -> str:
    """In plain words, what n shared seeds and a number of pairs compared can show, and what they cannot."""
    if n < 2:
        return (
            "One seed shows what happened once. It says nothing about other seeds: no interval, "
            "no p-value. Plan 8 seeds."
        )
    least, corrected = smallest_p(n), min(1.0, pairs * smallest_p(n))
    enough = next(m for m in range(6, 1000) if pairs * 2.0 ** (1 - m) <= 0.05)
    words = f"With {n} paired seeds the smallest p-value there can be is {least:.3g}"
    words += f", and {corrected:.3g} after Holm's correction for {pairs} pairs" if pairs > 1 else ""
    if corrected > 0.05:
        plan = f"plan {max(8, enough)} seeds" + (", or compare fewer groups" if pairs > 1 else "")
        words += (
            ": no difference can get below 0.05, however large; "
            f"{plan if enough > n else 'compare fewer groups'}."
        )
    else:
        words += ". A p-value above 0.05 does not show that two groups are equal."
    known = max(size for size in COVERAGE if size <= n)
    if COVERAGE[known] < 0.9:
        words += (
            f" An interval from {n} seeds is too narrow: it holds the true mean about "
            f"{COVERAGE[known]:.0%} of the time"
        )
        words += " instead of 95 % (normal data)."
    return (
        words
        + " A seed changes initial parameters, training data and draws together; "
        + "nothing here speaks of other tasks."
    )
