"""Statistics against computations that share nothing with them."""

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from attnlab.comparison.power import FAILING, SKEWED, what_bounds_hide, what_seeds_show
from attnlab.comparison.statistics import (
    bootstrap,
    compare,
    holm,
    improved,
    interval,
    sign_flip_p,
    simultaneous,
    smallest_p,
    student,
    summarise,
)

RNG = np.random.default_rng(7)


def test_mean_and_deviation_by_hand() -> None:
    n, mean, std, _, _ = summarise(np.array([1.0, 2.0, 4.0, 9.0]))
    assert (n, mean) == (4, 4.0) and std == pytest.approx(((9 + 4 + 0 + 25) / 3) ** 0.5)


def test_the_bootstrap_is_bca_computed_by_hand() -> None:
    values = RNG.exponential(size=9)
    (lower,), (upper,) = bootstrap(values[:, None], resamples=100_000)
    draws = np.random.default_rng(1)
    means = np.sort(values[draws.integers(0, 9, size=(200_000, 9))].mean(1))
    z0 = stats.norm.ppf((np.mean(means < values.mean()) + np.mean(means <= values.mean())) / 2)
    left_out = np.array([np.delete(values, i).mean() for i in range(9)])
    skew = left_out.mean() - left_out
    a = (skew**3).sum() / (6 * (skew**2).sum() ** 1.5)
    ends = [stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in stats.norm.ppf([0.025, 0.975])]
    assert [lower, upper] == pytest.approx(np.quantile(means, ends), abs=0.02 * values.std())


def test_columns_are_intervals_of_their_own() -> None:
    values = RNG.normal(size=(6, 250))
    for method in (student, lambda values: bootstrap(values, resamples=499)):
        mean, lower, upper = interval(values, method)
        alone = interval(values[:, 137:138], method)
        assert [mean[137], lower[137], upper[137]] == pytest.approx([part[0] for part in alone])
        assert (lower < mean).all() and (mean < upper).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e-9, 1e9])
def test_equal_values_are_their_own_interval(value: float) -> None:
    assert summarise(np.full(3, value)) == (3, value, 0.0, value, value)


def test_values_equal_but_for_rounding_have_no_spread() -> None:
    summary = summarise(np.array([0.1 + 0.2, 0.3, 0.3]))
    assert summary.std == 0.0 and summary.lower == summary.upper == summary.mean


def test_one_value_has_no_interval() -> None:
    assert summarise(np.array([0.7])) == (1, 0.7, None, None, None)
    assert summarise(np.array([])) == (0, None, None, None, None)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12])
def test_the_permutation_test_is_scipys(n: int) -> None:
    differences = RNG.normal(0.4, 1, size=n)
    found = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=10_000)
    assert sign_flip_p(differences) == pytest.approx(found.pvalue, rel=1e-12)


def test_ties_and_zeros_are_counted_as_by_hand() -> None:
    differences = np.array([0.1, -0.2, 0.1, 0.0, 0.3])
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=5)
    ]
    assert sign_flip_p(differences) == sum(total >= 0.3 - 1e-9 for total in sums) / 32
    assert sign_flip_p(np.zeros(4)) == 1.0


def test_every_flip_of_fifteen_is_counted() -> None:
    differences = RNG.normal(0.5, 1, size=15)
    signs = 1 - 2 * (np.arange(2**15)[:, None] >> np.arange(15) & 1)
    assert sign_flip_p(differences) == np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)


def test_whole_numbers_have_the_law_that_their_generating_function_gives() -> None:
    whole = RNG.integers(1, 9, size=26)
    law = np.ones(1)
    for value in whole:  # coefficients of the product of x^value + x^-value
        law = np.convolve(law, np.concatenate([[0.5], np.zeros(2 * value - 1), [0.5]]))
    sums = np.arange(len(law)) - whole.sum()
    signed = whole * np.where(np.arange(26) < 8, -1, 1)
    expected = law[np.abs(sums) >= abs(signed.sum())].sum()
    assert 0.001 < expected < 0.5 and sign_flip_p(signed / 1000) == pytest.approx(expected, rel=1e-9)


def test_beyond_thirty_pairs_flips_are_drawn() -> None:
    differences = RNG.normal(0.2, 1, size=40)
    normal = 2 * stats.norm.sf(abs(differences.sum()) / np.sqrt((differences**2).sum()))
    assert sign_flip_p(differences) == pytest.approx(normal, abs=0.01)
    assert sign_flip_p(differences) == sign_flip_p(differences)
    assert sign_flip_p(np.arange(1.0, 41)) == smallest_p(40) == 1 / 100_001


@pytest.mark.parametrize("n", range(2, 31))
def test_no_p_value_is_smaller_than_the_smallest(n: int) -> None:
    assert sign_flip_p(np.arange(1.0, n + 1)) == smallest_p(n) == 2 / 2**n


# coverage, by simulation


def coverage(draw: Callable[[tuple[int, int]], np.ndarray], mean: float, n: int) -> float:
    """How often the interval of n draws holds the mean, of 4,000 (standard error 0.004 at 0.95)."""
    _, lower, upper = interval(draw((n, 4000)), student, (-np.inf, 1.0))
    return float(np.mean((lower <= mean) & (mean <= upper)))


@pytest.mark.parametrize("n", [2, 3, 5, 8, 20])
def test_students_interval_holds_normal_means_95_times_in_100(n: int) -> None:
    assert coverage(lambda shape: np.random.default_rng(n).normal(size=shape), 0.0, n) == pytest.approx(
        0.95, abs=0.012
    )


@pytest.mark.parametrize("n", [2, 3, 8])
def test_a_paired_difference_is_held_as_often(n: int) -> None:
    shared, own = np.random.default_rng(n).normal(size=(2, 3000, n))
    first, second = shared * 3 + own, shared * 3 + np.random.default_rng(9).normal(0.7, 1, size=(3000, n))
    results = compare(list(zip(first, second, strict=True)), True)
    held = [(pair.lower or 0) <= -0.7 <= (pair.upper or 0) for pair in results]
    assert np.mean(held) == pytest.approx(0.95, abs=0.014)


def all_pairs(groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(combinations(groups, 2))


@pytest.mark.parametrize(
    ("groups", "n", "examples"), [(2, 2, 10), (5, 2, 100), (12, 2, 100), (5, 3, 1000), (12, 8, 1000)]
)
def test_groups_that_are_alike_are_told_apart_5_times_in_100_at_most(
    groups: int, n: int, examples: int
) -> None:
    """Accuracies in whole examples: two seeds often differ by exactly the same."""
    draws, sweeps = np.random.default_rng(groups + n), 400 if groups < 12 else 60
    found = 0
    for _ in range(sweeps):
        accuracies = np.round(draws.normal(0.8, 0.05, size=(groups, n)) * examples) / examples
        found += any(pair.told for pair in compare(all_pairs(accuracies), True, bounds=(0.0, 1.0)))
    assert found / sweeps <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / sweeps)


@pytest.mark.parametrize(("n", "gap"), [(3, 0.5), (8, 0.1)])
def test_a_clear_gap_among_twelve_groups_is_told(n: int, gap: float) -> None:
    draws = np.random.default_rng(n)
    accuracies = draws.normal(0.5, 0.01, size=(12, n)) + gap * (np.arange(12) == 4)[:, None]
    results = compare(all_pairs(accuracies), True)
    assert all(
        result.told for pair, result in zip(combinations(range(12), 2), results, strict=True) if 4 in pair
    )
    assert all((result.p_holm or 0) > 0.05 for result in results)
    same = [(np.ones(n), np.zeros(n)), (np.ones(n), np.ones(n))]
    assert [result.told for result in compare(same, True)] == [n == 8, False]


def test_an_interval_for_several_pairs_is_students_at_a_higher_level() -> None:
    found = simultaneous(differences := RNG.normal(0.4, 1, size=6), 10)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(1 - 0.05 / 10)
    assert found == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", SKEWED)
def test_coverage_of_skewed_accuracies_is_what_is_said(n: int) -> None:
    def skewed(shape: tuple[int, int]) -> np.ndarray:
        return 1 - np.random.default_rng(n).exponential(0.02, size=shape)

    assert coverage(skewed, 0.98, n) == pytest.approx(SKEWED[n], abs=0.015)


@pytest.mark.parametrize("n", FAILING)
def test_coverage_where_one_seed_in_ten_fails_is_what_is_said(n: int) -> None:
    def failing(shape: tuple[int, int]) -> np.ndarray:
        draws = np.random.default_rng(n)
        return np.where(
            draws.random(shape) < 0.1, draws.uniform(0, 0.9, shape), draws.uniform(0.98, 1, shape)
        )

    assert coverage(failing, 0.1 * 0.45 + 0.9 * 0.99, n) == pytest.approx(FAILING[n], abs=0.025)


def test_figures_that_crowd_at_a_bound_get_a_word() -> None:
    share = (0.0, 1.0)
    assert "88% of the time" in what_bounds_hide(np.array([1.0, 0.99, 0.97]), share)
    assert "one seed in ten fails" in what_bounds_hide(np.array([1.0, 0.99, 0.97]), share)
    assert "crowd at 0 " in what_bounds_hide(np.array([0.0, 0.1, 0.2]), share)
    assert what_bounds_hide(np.array([0.5, 0.6, 0.7]), share) == ""
    assert what_bounds_hide(np.array([1.0, 0.99, 0.97]), (0.0, np.inf)) == ""


def test_an_interval_is_cut_at_the_bounds_of_its_figure() -> None:
    _, mean, _, lower, upper = summarise(np.array([0.9, 1.0, 1.0]), student, (0.0, 1.0))
    assert (
        upper == 1.0
        and mean is not None
        and lower == pytest.approx(mean - 4.302653 * np.sqrt(1 / 300) / np.sqrt(3))
    )


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_ties_improve_by_half_and_direction_turns_it_round() -> None:
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 2.0, 4.0, 3.0])
    assert improved(first, second, True) == (2 + 0.5) / 4
    assert improved(first, second, False) == (1 + 0.5) / 4


def test_pairs_with_too_few_seeds_are_left_out_of_the_correction() -> None:
    strong = np.arange(1.0, 9), np.zeros(8)
    weak = np.array([1.0, -1.0, 1.5, 2.0]), np.zeros(4)
    nothing, single = (np.array([]), np.array([])), (np.array([1.0]), np.array([0.5]))
    results = compare([strong, nothing, weak, single], True)
    assert [result.n for result in results] == [8, 0, 4, 1]
    assert results[0].p == 2 / 256 and results[0].p_holm == 4 / 256
    assert results[1] == (0, None, None, None, None, None, None, None)
    assert results[3] == (1, 0.5, None, None, 1.0, None, None, None)
    assert results[2].p == results[2].p_holm == sign_flip_p(weak[0])
    assert results[2].lower is not None and results[2].lower < weak[0].mean()


def test_the_words_know_what_five_seeds_cannot_show() -> None:
    assert "0.0625: none can get below 0.05" in what_seeds_show(5, 1)
    assert "plan 8 seeds" in what_seeds_show(5, 1)
    assert "none can" not in what_seeds_show(8, 1) and "0.00781" in what_seeds_show(8, 1)
    assert "plan 9 seeds" in what_seeds_show(8, 10) and "0.0781 after Holm" in what_seeds_show(8, 10)
    assert "nothing about other seeds" in what_seeds_show(1, 0)
    assert "0.000122" in what_seeds_show(14, 1) and "holds the true mean" not in what_seeds_show(8, 1)
    assert "88% of the time" in what_seeds_show(8, 1, bootstrap)
    assert "compare fewer groups" in what_seeds_show(31, 10_000)
