"""The public door: gradient estimates of any mechanism for any loss, and the exact gradient beside them."""

import re
import time
from functools import partial
from pathlib import Path

import pytest
import scipy.stats
import torch
from enumeration import CONTROLS, choose, names, read, select
from torch import Tensor

from attnlab.cli.microscope import microscope
from attnlab.config.checking import ConfigurationError
from attnlab.config.composing import choices
from attnlab.facts import number
from attnlab.microscope import survey
from attnlab.microscope.gradients import exact_gradient, mechanism_of, sample_gradients, settings
from attnlab.microscope.hotelling import SIGNIFICANT, chance_of

ROOT = Path(__file__).parents[2]
SCORES = torch.tensor([0.4, -1.1, 0.9, 0.0, 0.3], dtype=torch.float64)
COSTS = torch.tensor([1.0, -2.0, 0.5, 0.3, -0.7], dtype=torch.float64)
WAVES = torch.tensor([0.2, 0.9, -1.3, 0.8, 0.1], dtype=torch.float64)


def loss(weights: Tensor) -> Tensor:
    """Not among the reference problems: a product of a bend and a wave."""
    return (weights @ COSTS.to(weights)).tanh() * (2 + torch.sin(3 * (weights @ WAVES.to(weights))))


def by_hand(scores: Tensor, objective: str) -> Tensor:
    """Autograd of the objective, written out."""
    leaf = scores.clone().requires_grad_()
    p = torch.softmax(leaf, 0)
    each = torch.stack([loss(torch.eye(5, dtype=torch.float64)[s]) for s in range(5)])
    value = {"soft": loss(p), "expected": (p * each).sum(), "marginal": -(p * torch.exp(-each)).sum().log()}[
        objective
    ]
    return torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize("objective", ["soft", "expected", "marginal"])
def test_the_exact_gradient_is_that_of_the_objective(objective: str):
    found = exact_gradient(SCORES, loss, objective)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(found, by_hand(SCORES, objective), rtol=1e-12, atol=1e-12)


def test_with_overrides_the_exact_gradient_is_that_of_the_mechanism():
    torch.testing.assert_close(
        exact_gradient(SCORES, loss, overrides=["attention=hard_marginal"]), by_hand(SCORES, "marginal")
    )
    torch.testing.assert_close(
        exact_gradient(SCORES, loss, overrides=["attention=soft", "attention.beta=2.5"]),
        2.5 * by_hand(2.5 * SCORES, "soft"),
    )
    numeric = torch.zeros(5, dtype=torch.float64)
    for s in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[s] = 1e-5
        numeric[s] = (bound(SCORES + step, 3) - bound(SCORES - step, 3)) / 2e-5
    found = exact_gradient(SCORES, loss, overrides=["attention=vimco", "attention.samples=3"])
    torch.testing.assert_close(found, numeric, rtol=1e-8, atol=1e-9)


def bound(scores: Tensor, draws: int) -> float:
    """-E log mean exp(-loss) by a loop over every ordered draw."""
    import itertools
    import math

    p = torch.softmax(scores, 0).tolist()
    each = [loss(torch.eye(5, dtype=torch.float64)[s]).item() for s in range(5)]
    return -sum(
        math.prod(p[s] for s in drawn) * math.log(sum(math.exp(-each[s]) for s in drawn) / draws)
        for drawn in itertools.product(range(5), repeat=draws)
    )


@pytest.mark.parametrize("name", names("attention"))
def test_estimates_have_the_dtype_of_the_scores_and_are_a_function_of_the_seed(name: str):
    for dtype in (torch.float64, torch.float32):
        one, again, other = (
            sample_gradients(choose("attention", name), SCORES.to(dtype), loss, 50, seed)
            for seed in (3, 3, 4)
        )
        assert one.dtype == dtype and one.shape == (50, 5) and not one.requires_grad
        assert one.equal(again)
        assert one.isfinite().all()
    settled = torch.allclose(one, one[:1], rtol=1e-5, atol=1e-7)
    assert settled or not one.equal(other)  # nothing is drawn, or another seed draws other positions


UNBIASED = [name for name in names("attention") if mechanism_of(choose("attention", name)).facts.unbiased]


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_estimate_of_an_unbiased_mechanism_is_the_exact_gradient(name: str):
    """200,000 draws at p > 1e-4; the power is that of the tests below."""
    measured = survey.measure(
        [*choose("attention", name), "attention.beta=1.5"]
        if "beta" in read("attention", name)[1]
        else choose("attention", name),
        survey.exponential,
        200_000,
        seed=7,
    )
    assert not measured.biased


@pytest.mark.parametrize("name", [name for name in names("attention") if name not in UNBIASED])
def test_a_mechanism_that_claims_a_bias_shows_it(name: str):
    assert survey.measure(choose("attention", name), survey.exponential, 50_000).biased


def test_the_test_of_bias_sees_one_percent():
    """A hundredth of the gradient, added to each estimate, is called bias with 1,000,000 draws of rebar."""
    scores = torch.tensor(survey.SCORES, dtype=torch.float64)
    estimates = sample_gradients(["attention=rebar"], scores, survey.exponential, 1_000_000)
    exact = exact_gradient(scores, survey.exponential)
    covariance, draws = torch.cov(estimates.T), len(estimates)
    assert chance_of(estimates.mean(0) - exact, covariance, draws) > SIGNIFICANT
    assert chance_of(estimates.mean(0) - 1.01 * exact, covariance, draws) < SIGNIFICANT


@pytest.mark.parametrize(
    ("name", "problem"),
    [("hard_reinforce", "quadratic"), ("rebar", "exponential"), ("vimco", "exponential")],
)
@pytest.mark.parametrize("draws", [2, 8, 10, 20, 50])
def test_few_draws_of_an_unbiased_mechanism_are_not_called_biased(name: str, problem: str, draws: int):
    """200 repetitions at a level of 1e-4: two false alarms have a chance of 2e-4."""
    scores, loss = torch.tensor(survey.SCORES, dtype=torch.float64), survey.PROBLEMS[problem]
    overrides = [f"attention={name}"]
    exact = exact_gradient(scores, loss, overrides=overrides)
    alarms = 0
    for estimates in sample_gradients(overrides, scores, loss, 200 * draws, seed=3).view(200, draws, -1):
        p_value = chance_of(estimates.mean(0) - exact, torch.cov(estimates.T), draws)
        alarms += p_value < SIGNIFICANT
    assert alarms <= 1


def test_where_the_estimates_are_normal_the_law_is_that_of_hotelling():
    """With the allowance for what was missed taken off: uniform chances, by Kolmogorov and Smirnov."""
    normal = torch.randn(400, 30, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape = torch.diag(torch.logspace(-2, 1, 8, dtype=torch.float64))
    chances = [chance_of(x.mean(0), torch.cov(x.T), 30, missed=0.0) for x in normal @ shape]
    assert scipy.stats.kstest(chances, "uniform").pvalue > 1e-3
    off = [chance_of(x.mean(0) + 0.02, torch.cov(x.T), 30, missed=0.0) for x in normal @ shape]
    assert scipy.stats.kstest(off, "uniform").pvalue < 1e-6


def test_a_printed_bias_is_that_of_the_enumerated_mean_within_its_error():
    """The distance of a noisy mean from the truth is longer than the bias: of few draws, much longer."""
    scores = torch.tensor(survey.SCORES, dtype=torch.float64)
    mechanism, probs = mechanism_of(["attention=reinmax"]), torch.softmax(scores, 0)
    mean = torch.zeros_like(scores)
    for position, chance in enumerate(probs):
        leaf = scores[None, None].clone().requires_grad_()
        mask = torch.ones(1, 1, 8, dtype=torch.bool)
        weights = select(mechanism, leaf, mask, torch.full((1, 1, 1), position)).weights[:, 0]
        mean += chance * torch.autograd.grad(survey.exponential(weights).sum(), leaf)[0][0, 0]
    exact = exact_gradient(scores, survey.exponential)
    truth = ((mean - exact).norm() / exact.norm()).item()
    assert truth == pytest.approx(0.572, abs=5e-4)
    found = [survey.measure(["attention=reinmax"], survey.exponential, 1000, seed) for seed in range(100)]
    biases, errors = (
        torch.tensor([getattr(one, key) for one in found]) for key in ("relative_bias", "error")
    )
    off = biases.mean().item() - truth
    assert abs(off) < 4 * biases.std().item() / 10
    assert errors.mean().item() == pytest.approx(biases.std().item(), rel=0.25)
    naive = (biases.square() + torch.tensor([one.relative_variance / 1000 for one in found])).sqrt()
    assert naive.mean().item() - truth > 0.003


def test_positions_that_are_not_there_get_no_gradient():
    scores = torch.cat([SCORES, torch.tensor([-torch.inf], dtype=torch.float64)])

    def longer(weights: Tensor) -> Tensor:
        return loss(weights[..., :5]) + 100 * weights[..., 5]

    for name in ("hard_reinforce", "unordered_set", "gumbel_rao", "soft", "hard_exact", "rebar"):
        found = sample_gradients([f"attention={name}"], scores, longer, 2000, seed=1)
        assert (found[:, 5] == 0).all() and found[:, :5].abs().sum() > 0
    torch.testing.assert_close(exact_gradient(scores, longer)[:5], exact_gradient(SCORES, loss))
    assert exact_gradient(scores, longer)[5] == 0


def test_a_loss_without_a_gradient_is_refused_where_one_is_needed():
    def black_box(weights: Tensor) -> Tensor:
        return loss(weights).detach()

    for name in ("soft", "hard_straight_through", "rebar", "gumbel_softmax", "topk"):
        with pytest.raises(
            ValueError, match="gradient of the loss in the weights is needed .* hard_reinforce"
        ):
            sample_gradients([f"attention={name}"], SCORES, black_box, 10)
    for name in ("hard_reinforce", "unordered_set", "sum_and_sample", "vimco", "hard_exact", "hard_marginal"):
        torch.testing.assert_close(
            sample_gradients([f"attention={name}"], SCORES, black_box, 10),
            sample_gradients([f"attention={name}"], SCORES, loss, 10),
        )


def test_a_loss_of_another_shape_is_refused_with_the_shapes():
    with pytest.raises(ValueError, match=r"for weights \(1, 10, 5\) it gave \(1, 10, 5\)"):
        sample_gradients(["attention=soft"], SCORES, lambda weights: weights * COSTS, 10)


def test_the_exact_gradient_refuses_what_it_cannot_differentiate_or_add_up():
    with pytest.raises(ValueError, match="this loss has none"):
        exact_gradient(SCORES, lambda weights: loss(weights).detach(), "soft")
    # a TypeError while the tests check annotations
    with pytest.raises((ValueError, TypeError), match="Expected"):
        exact_gradient(SCORES, loss, "Expected")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at most 1,000,000 are added up"):
        exact_gradient(SCORES, loss, overrides=["attention=vimco", "attention.samples=100"])
    with pytest.raises((ValueError, TypeError), match="int64|i64"):
        sample_gradients(["attention=soft"], SCORES.long(), loss, 10)


def test_gradients_are_taken_where_none_are_recorded():
    soft = by_hand(SCORES, "soft")
    with torch.no_grad():
        torch.testing.assert_close(sample_gradients(["attention=soft"], SCORES, loss, 1)[0], soft)
        torch.testing.assert_close(exact_gradient(SCORES, loss, "soft"), soft)
    assert exact_gradient(torch.full((3,), -torch.inf), lambda weights: weights.sum(-1)).equal(torch.zeros(3))


def test_a_loss_may_work_in_place_and_count_in_booleans():
    def in_place(weights: Tensor) -> Tensor:
        return weights.mul_(COSTS).sum(-1)

    def wins(weights: Tensor) -> Tensor:
        return weights @ COSTS > 0

    for name in ("unordered_set", "hard_reinforce", "soft", "hard_exact"):
        one = sample_gradients([f"attention={name}"], SCORES, in_place, 50)
        torch.testing.assert_close(
            one, sample_gradients([f"attention={name}"], SCORES, lambda weights: weights @ COSTS, 50)
        )
    for name in ("unordered_set", "hard_reinforce", "vimco", "hard_marginal"):
        assert sample_gradients([f"attention={name}"], SCORES, wins, 50).isfinite().all()


def test_a_typo_is_refused_as_on_the_command_line():
    with pytest.raises(ConfigurationError, match="did you mean attention.samples"):
        sample_gradients(["attention=hard_reinforce", "attention.sampels=2"], SCORES, loss, 10)


def test_no_draws_are_no_rows():
    assert sample_gradients(["attention=soft"], SCORES, loss, 0).shape == (0, 5)


def test_estimates_in_parts_are_independent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("attnlab.microscope.gradients.ROWS", 1000)
    found = sample_gradients(["attention=hard_straight_through"], SCORES, loss, 2500)
    assert found.shape == (2500, 5) and not found[:1000].equal(found[1000:2000])


@pytest.mark.slow
def test_a_hundred_thousand_draws_cost_a_few_hundred_matrix_products():
    """A ratio on the same machine, not a time: each mechanism against 400 products of 512 x 512 matrices."""
    scores = torch.tensor(survey.SCORES, dtype=torch.float64)
    left, right = torch.rand(512, 512), torch.rand(512, 512)
    survey.measure(["attention=soft"], survey.quadratic, 10)

    def seconds(function: object) -> float:
        begin = time.process_time()
        function()  # pyright: ignore[reportCallIssue]
        return time.process_time() - begin

    unit = min(seconds(lambda: [left @ right for _ in range(400)]) for _ in range(2))
    for name in ("hard_reinforce", "rebar"):  # the dearest of draws and of noise
        job = partial(sample_gradients, [f"attention={name}"], scores, survey.quadratic, 100_000)
        assert seconds(job) < 3 * unit


# --- the survey and its command ---


OURS = survey.jobs() + [
    choose("attention", name) for name in names("attention") if name not in choices("attention")
]
"""Ours with each of their baselines, and those of a person's own."""


@pytest.mark.parametrize("name", names("attention"))
def test_every_mechanism_names_the_year_of_its_paper(name: str):
    paper = mechanism_of(choose("attention", name)).facts.paper
    assert name in CONTROLS or re.search(r"(19|20)\d\d", paper)


@pytest.mark.parametrize("job", OURS, ids=" ".join)
def test_the_evaluations_that_a_mechanism_states_are_those_counted(job: list[str]):
    stated = mechanism_of(job).facts.evaluations
    known = {"S": len(survey.SCORES), **settings(*job)}
    assert survey.measure(job, survey.linear, 10).cost == number(stated, known)


def test_the_command_prints_a_line_for_each_mechanism_and_problem(capsys: pytest.CaptureFixture[str]):
    chosen = ["attention=hard_reinforce", "attention.samples=1,2", "attention.baseline=none"]
    assert microscope([*chosen, "--draws", "2000"], "") == 0
    printed = capsys.readouterr()
    assert "2 mechanisms, 2,000 estimates of each" in printed.err
    assert all(len(line) <= 80 for line in (printed.err + printed.out).splitlines())
    costs = re.findall(r"^hard_reinforce .* (\d+)$", printed.out, re.MULTILINE)
    assert costs == ["1", "2"] * len(survey.PROBLEMS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["attention=vimco", "attention.samples=1"], "needs samples >= 2"),
        (["seed=1"], "no setting of attention"),
        (["attention=nothing"], "does not exist"),
        (["--draws", "1"], "--draws must be at least 2"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_one_message(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
):
    assert microscope(arguments, "") == 2
    printed = capsys.readouterr()
    assert told in " ".join(printed.err.split()) and printed.out == ""


@pytest.mark.slow
def test_the_table_of_the_mechanisms_is_what_the_command_prints():
    """Figures to the digits that another machine's rounding leaves alone; everything else to the letter."""
    page = (ROOT / "docs" / "mechanisms.md").read_text(encoding="utf-8")
    written = page.split("<!-- microscope -->")[1].split("<!-- end -->")[0].strip().splitlines()
    made = survey.markdown(survey.jobs(), 100_000).splitlines()
    assert len(made) == len(written)
    number = re.compile(r"(?<![\w.(])\d+\.\d+")
    for one, other in zip(written, made, strict=True):
        assert number.sub("x", one) == number.sub("x", other)
        for x, y in zip(number.findall(one), number.findall(other), strict=True):
            assert float(x) == pytest.approx(float(y), abs=0.011, rel=0.02)
