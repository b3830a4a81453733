"""Statistics over seeds, as pure functions of arrays: intervals, paired differences and p-values.

The interval is Student's: 95 % at every n for normal data. The bootstrap, which is too narrow for few seeds,
is BCa (Efron 1987) with a fixed seed. Whether a difference is called one is decided by Student's intervals
that hold for all pairs at once (Bonferroni): the p-value, that of the paired permutation test, which flips
the signs of the differences, cannot get small with few seeds; Holm 1979 corrects it for the number of pairs.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

_LEVEL, _RESAMPLES, _SEED = 0.95, 9999, 0
ENUMERATED, DRAWN = 30, 100_000  # pairs up to which all sign flips are counted; flips drawn beyond
COLUMNS = 100  # bootstrap intervals taken at once, which bounds the memory

Bounds = tuple[float, float]


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
    ends: Bounds | None  # of the interval that holds together with those of all other pairs

    @property
    def told(self) -> bool:
        """Whether that interval leaves 0 out, so that the difference is called one."""
        return self.ends is not None and not self.ends[0] <= 0 <= self.ends[1]


Interval = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Lower and upper end for the mean of every column of (n, columns), n >= 2, none of which is constant."""


def student(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t: the mean plus and minus t(0.975, n - 1) standard errors."""
    n, mean = len(values), values.mean(axis=0)
    half = stats.t.ppf((1 + _LEVEL) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean - half, mean + half


def bootstrap(values: np.ndarray, resamples: int = _RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """BCa: bias-corrected and accelerated quantiles of the means of resamples."""
    lower, upper = np.empty((2, values.shape[1]))
    for start in range(0, values.shape[1], COLUMNS):
        part = slice(start, start + COLUMNS)
        found = stats.bootstrap(
            (values[:, part],),
            np.mean,
            axis=0,
            n_resamples=resamples,
            confidence_level=_LEVEL,
            method="BCa",
            rng=np.random.default_rng(_SEED),
        ).confidence_interval
        lower[part], upper[part] = found.low, found.high
    return lower, upper


INTERVALS: dict[str, Interval] = {"student": student, "bootstrap": bootstrap}
_UNBOUNDED: Bounds = (-np.inf, np.inf)


def interval(
    values: np.ndarray, method: Interval = student, bounds: Bounds = _UNBOUNDED
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


def summarise(values: np.ndarray, method: Interval = student, bounds: Bounds = _UNBOUNDED) -> Summary:
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
    bounds: Bounds = _UNBOUNDED,
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
    step = _smallest_step(pairs)
    together = {
        place: simultaneous(differences[place], len(ends), step, (-distance, distance)) for place in ends
    }
    p_values = {place: sign_flip_p(differences[place]) for place in ends}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    results = []
    for place, (first, second) in enumerate(pairs):
        difference, improvement = (
            (float(np.mean(first - second)), improved(first, second, higher)) if len(first) else (None, None)
        )
        low, high = ends.get(place, (None, None))
        p = p_values.get(place), corrected.get(place)
        results.append(Paired(len(first), difference, low, high, improvement, *p, together.get(place)))
    return results


def simultaneous(
    differences: np.ndarray, pairs: int, step: float = 0.0, bounds: Bounds = _UNBOUNDED
) -> Bounds:
    """Student's interval of the mean that holds together with those of all `pairs` in 95 % (Bonferroni 1936),
    so also for a pair that was chosen because it looks best.

    Figures come in steps (an accuracy in examples): deviations below half a step cannot be seen, and none is
    taken to be smaller, lest two seeds that happen to differ by the same prove everything.
    """
    n = len(differences)
    deviation = max(float(np.std(differences, ddof=1)), step / 2)
    half = stats.t.ppf(1 - (1 - _LEVEL) / 2 / pairs, n - 1) * deviation / np.sqrt(n)
    lower, upper = np.clip(np.mean(differences) + np.array([-half, half]), *bounds)
    return float(lower), float(upper)


def _smallest_step(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The smallest distance of two different figures; 0 where all are equal."""
    values = np.sort(np.concatenate([part for pair in pairs for part in pair] or [np.zeros(1)]))
    steps = np.diff(values)
    return float(min(steps[steps > 1e-9 * np.abs(values).max(initial=0)], default=0.0))


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
    signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], size=(DRAWN, n))
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
