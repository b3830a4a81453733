"""Seeds, draws and dropout: streams apart from each other, right frequencies, and independence where it is
claimed."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attnlab import functional
from attnlab.randomness import Randomness, derive, draw, dropout, generator_for

K, B, T, S = 2, 3, 2, 5
FLOATS = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
SCORES = torch.tensor([0.5, -1.0, 1.0, 0.0, 0.2], dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def log_probs(rows: tuple[int, ...], masked: int | None = None, beta: float = 1.0) -> Tensor:
    scores = SCORES.clone()
    if masked is not None:
        scores[masked] = -torch.inf
    return functional.log_softmax(scores, beta).expand(*rows, S)


def p_value(observed: Tensor, expected: Tensor, freedom: int) -> float:
    """Chance of a chi-square statistic at least as large, if the expected counts are right."""
    statistic = ((observed - expected).square() / expected).sum()
    half = torch.tensor(freedom / 2, dtype=torch.float64)
    return torch.special.gammaincc(half, statistic.double() / 2).item()


def count(positions: Tensor) -> Tensor:
    return torch.bincount(positions.flatten(), minlength=S).double()


# --- seeds ---


def test_a_seed_and_a_purpose_give_one_stream_for_ever():
    """In another process too, where Python hashes strings differently."""
    code = "from attnlab.randomness import derive; print(derive(0, 'train', 17), derive(3, 'draws'))"
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    other = run.stdout.split()
    assert [int(number) for number in other] == [derive(0, "train", 17), derive(3, "draws")]
    first, second = (torch.rand(5, generator=generator_for(0, "train", 17)) for _ in range(2))
    assert first.equal(second)


def test_purposes_seeds_and_steps_have_streams_of_their_own():
    purposes: list[tuple[str | int, ...]] = [
        (),
        ("train",),
        ("train", "1"),
        ("train1",),
        ("1", "train"),
        ("train,", 1),
    ]
    purposes += [(name, step) for name in ("train", "validation", "test", "draws") for step in range(500)]
    seeds = [derive(seed, *purpose) for seed in range(5) for purpose in purposes]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbouring_streams_are_not_alike():
    """Correlation of 1,000 uniform numbers: standard deviation 0.032; 190 fair pairs stay below 5 of them."""
    rows = torch.stack([torch.rand(1000, generator=generator_for(0, "train", step)) for step in range(20)])
    correlations = torch.corrcoef(rows) - torch.eye(20)
    assert correlations.abs().max() < 0.16


# --- draws ---


def drawn(log_probs: Tensor, samples: int, randomness: Randomness) -> Tensor:
    """So many draws a row, K B T."""
    return draw(log_probs.expand(samples, *log_probs.shape), randomness)


def test_draws_have_the_frequencies_of_their_distribution():
    """60,000 draws. A distribution sharpened by a tenth (beta 1.1) is rejected by the same test: that is its
    power."""
    n = 60_000
    probs = torch.softmax(SCORES, 0)
    right = count(drawn(log_probs((n // 2, 1)), 2, Randomness(generator(0))))
    assert p_value(right, n * probs, S - 1) > 1e-3
    wrong = count(drawn(log_probs((n // 2, 1), beta=1.1), 2, Randomness(generator(0))))
    assert p_value(wrong, n * probs, S - 1) < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_draws_in_low_precision_follow_the_rounded_distribution(dtype: torch.dtype):
    """The distribution that is rounded is the one of the scores; the draws from it are as good as any."""
    n = 60_000
    rounded = log_probs((n, 1)).to(dtype)
    probs = torch.softmax(rounded[0, 0].double(), 0)
    assert p_value(count(drawn(rounded, 1, Randomness(generator(0)))), n * probs, S - 1) > 1e-3


@pytest.mark.parametrize("dtype", FLOATS)
def test_rare_positions_are_drawn_as_often_as_they_should_be(dtype: torch.dtype):
    """200,000 draws of a position of probability 1e-4: 20 expected, standard deviation 4.5.

    Noise of the 8 bits of bfloat16 would draw it at least once in 256 times, whenever the uniform number is
    0.
    """
    rare = torch.tensor([1 - 1e-4, 1e-4]).log().to(dtype).expand(200_000, 1, 2)
    assert 5 <= drawn(rare, 1, Randomness(generator(0))).sum() <= 40


Draw = Callable[[Tensor, int, Randomness], Tensor]


def shared(*axes: int) -> Draw:
    """The mistake: one noise vector for all alternatives (0), rows (1) or steps (2)."""

    def draw_shared(log_probs: Tensor, samples: int, randomness: Randomness) -> Tensor:
        shape = [1 if axis in axes else size for axis, size in enumerate((samples, *log_probs.shape[:2]))]
        noise = -(-torch.rand(*shape, S, generator=randomness.generator, dtype=torch.float64).log()).log()
        return (log_probs + noise).argmax(-1).expand(samples, -1, -1)

    return draw_shared


def least_independence(draw: Draw) -> float:
    """The smallest p-value, over pairs of places (k, b, t), of their joint frequencies against the product of
    p with p.

    4,000 repetitions. Two places that share their noise always agree.
    """
    places = list(itertools.product(range(K), range(B), range(T)))
    source = generator(1)
    found = torch.stack([draw(log_probs((B, T)), K, Randomness(source)) for _ in range(4000)])
    probs = torch.softmax(SCORES, 0)
    product = 4000 * probs[:, None] * probs
    values = []
    for one, other in itertools.combinations(places, 2):
        pairs = found[(slice(None), *one)] * S + found[(slice(None), *other)]
        observed = torch.bincount(pairs, minlength=S * S).double().view(S, S)
        values.append(p_value(observed, product, S * S - 1))
    return min(values)


def test_draws_of_different_alternatives_rows_and_steps_are_jointly_independent():
    """66 pairs are tested at once, so the smallest p-value of a fair sampler is about 1/66."""
    assert least_independence(drawn) > 1e-4


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_shared_noise_would_be_noticed_although_its_marginals_are_right(axes: tuple[int, ...]):
    assert least_independence(shared(*axes)) < 1e-12


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_masked_position_is_never_drawn(dtype: torch.dtype):
    for masked in range(S):
        found = drawn(log_probs((100, 100), masked).to(dtype), 10, Randomness(generator(masked)))
        assert (count(found) > 0).tolist() == [position != masked for position in range(S)]


def test_not_even_the_smallest_uniform_number_picks_a_masked_position(monkeypatch: pytest.MonkeyPatch):
    """uniform_ may return 0 exactly, once in 2^24: a noise of infinity would beat any mask."""
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, generator: self.zero_())
    for masked in range(S):
        assert (drawn(log_probs((3, 2), masked), 2, Randomness(generator(0))) != masked).all()


def test_the_same_state_of_the_generator_gives_the_same_draw_and_moves_on():
    source = generator(7)
    state = source.get_state()
    first, second = (drawn(log_probs((20, 3)), 4, Randomness(source)) for _ in range(2))
    source.set_state(state)
    assert drawn(log_probs((20, 3)), 4, Randomness(source)).equal(first)
    assert not first.equal(second)


def test_draws_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    drawn(log_probs((3, 2)), 2, Randomness(generator(0)))
    dropout(torch.ones(5), 0.5, generator(0))
    assert torch.get_rng_state().equal(before)


def test_a_draw_carries_no_gradient():
    scores = SCORES.expand(B, T, S).clone().requires_grad_()
    assert not drawn(functional.log_softmax(scores), K, Randomness(generator(0))).requires_grad


# --- dropout ---


def test_dropout_zeroes_at_its_rate_and_keeps_the_mean():
    """100,000 entries: 5 standard deviations of the rate are 0.0073."""
    dropped = dropout(torch.ones(100_000, dtype=torch.float64), 0.3, generator(0))
    assert ((dropped == 0).double().mean() - 0.3).abs() < 0.0073
    torch.testing.assert_close(dropped[dropped != 0].unique(), torch.tensor([1 / 0.7], dtype=torch.float64))


def test_dropout_of_rate_zero_changes_nothing_and_draws_nothing():
    source = generator(0)
    state = source.get_state()
    x = torch.randn(5, generator=generator(1))
    assert dropout(x, 0.0, source).equal(x) and source.get_state().equal(state)
    assert dropout(x, 0.5, generator(2)).equal(dropout(x, 0.5, generator(2)))
    assert not dropout(x.repeat(20), 0.5, generator(2)).equal(dropout(x.repeat(20), 0.5, generator(3)))
