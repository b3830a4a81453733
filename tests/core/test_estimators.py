"""Gradients of every mechanism on disk, averaged over all its draws, against its objective by a plain
loop."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from enumeration import (
    CONTROLS,
    GOLD,
    LAWS,
    Forced,
    Variant,
    asked,
    assert_same_gradient,
    certificate,
    controls_of,
    distribution,
    enumerable,
    gradients,
    is_random,
    law,
    mean_surrogate,
    names,
    number_of_draws,
    objective,
    one_hot,
    one_hot_rows,
    passed,
    read,
    select,
    softmax,
    surrogate_of,
    unwritten,
    variants,
)
from torch import Tensor, nn

from attnlab.core.attention import Attention
from attnlab.core.baselines.leave_one_out import LeaveOneOut
from attnlab.core.baselines.moving_average import MovingAverage
from attnlab.core.estimators import Marginal, Pathwise, Reinforce
from attnlab.core.interfaces import Baseline, Mechanism, Placement, Selection, Site
from attnlab.core.selectors import Draws
from attnlab.models.model import taken_by
from attnlab.models.recurrent import Seq2Seq
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS, EOS, PAD, Batch

B, T, S = 3, 2, 5
BETAS = [0.25, 1.0, 4.0]
HARD = [v for v in variants() if v.build().facts.needs != "mixture" or v.name == "hard_reinforce"]
INDEPENDENT = [v for v in enumerable() if is_random(v.build()) and v.name not in LAWS]
DRAWING = [v for v in enumerable() if is_random(v.build())]
SAME_FOR_A_CONSTANT = [
    v for v in enumerable() if v.settings.get("baseline") not in ("none", "moving_average", "learned")
]

STATE = torch.linspace(-1, 1, B * T, dtype=torch.float64).view(B, T, 1)
"""States of the decoder, which a learned baseline reads."""

Made = tuple[Callable[[Tensor], Tensor], list[Tensor]]
"""A loss (K B #T S -> K B T) and the parameters behind the choice."""


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """Scores, mask and valid steps: a row fully open, one half masked, one with a single key; one step is
    padding."""
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)[:, None]
    valid = torch.tensor([[1, 1], [1, 1], [1, 0]], dtype=torch.bool)
    return normal(B, T, S, seed=1).requires_grad_(), mask, valid


def linear() -> Made:
    costs = (2 * normal(B, T, S, seed=2)).requires_grad_()
    return lambda w: (w * costs).sum(-1) + 1.5, [costs]


def quadratic() -> Made:
    costs, bends = normal(B, T, S, seed=2).requires_grad_(), normal(B, T, S, S, seed=3).requires_grad_()
    return (
        lambda w: (
            (w * costs).sum(-1) + torch.einsum("kbts,btsr,kbtr->kbt", w.expand(-1, -1, T, -1), bends, w)
        ),
        [
            costs,
            bends,
        ],
    )


def nonlinear() -> Made:
    """Products and sharp bends, far from any polynomial of low degree; some costs are an order above the
    others."""
    costs, waves = normal(B, T, S, seed=2).requires_grad_(), (2 * normal(B, T, S, seed=3)).requires_grad_()
    return lambda w: (1.5 * (w * costs).sum(-1)).exp() + torch.sin(3 * (w * waves).sum(-1)) ** 3, [
        costs,
        waves,
    ]


LOSSES = {"linear": linear, "quadratic": quadratic, "nonlinear": nonlinear}


def free() -> Randomness:
    """Nothing is forced."""
    return Randomness(torch.Generator().manual_seed(0))


def site_of(selection: Selection) -> Site:
    """Where it was chosen, asked by the states of the tests."""
    return passed(selection, STATE).sites["attention"]


def with_history(mechanism: Mechanism) -> Mechanism:
    """After some training steps, so that a baseline with a memory remembers something."""
    for seed in range(3):
        mechanism.estimator.update(5 + normal(2, B, T, seed=seed), torch.ones(B, T, dtype=torch.bool))
    return mechanism


# --- the estimator alone ---


@pytest.mark.parametrize("name", names("attention"))
def test_what_a_mechanism_means_is_written_here(name: str):
    """Without it, nothing below can judge it."""
    variant = next(variant for variant in variants() if variant.name == name)
    if told := unwritten(variant):
        pytest.fail(told, pytrace=False)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("shape", LOSSES)
@pytest.mark.parametrize("variant", enumerable(), ids=str)
def test_the_mean_gradient_is_that_of_the_objective(variant: Variant, shape: str, beta: float):
    mechanism = with_history(variant.build(beta=beta))
    scores, mask, valid = problem()
    loss, behind = LOSSES[shape]()
    probs = distribution(variant, scores, mask, beta)
    exact = (certificate(variant, mechanism, loss, probs) * valid).sum()
    mean = mean_surrogate(variant, mechanism, loss, scores, mask, valid, probs)
    assert_same_gradient(gradients(mean, behind), gradients(exact, behind))
    of_scores = gradients(mean, [scores]).view(B, T, S)
    if variant.name in CONTROLS:
        assert (of_scores == 0).all()
        return
    assert_same_gradient(of_scores.flatten(), gradients(exact, [scores]))
    assert (of_scores[~mask.expand(B, T, S)] == 0).all() and (of_scores[~valid] == 0).all()


@pytest.mark.parametrize("variant", [v for v in enumerable() if v.build().facts.needs != "gradient"], ids=str)
def test_enumerated_and_pathwise_surrogates_have_the_value_of_their_objective(variant: Variant):
    mechanism = variant.build()
    scores, mask, valid = problem()
    loss, _ = nonlinear()
    probs = distribution(variant, scores, mask, 1.0)
    # of a draw, what counts in the mean is the loss; the score term only has a gradient
    if is_random(mechanism):
        mean = torch.zeros(B, T, dtype=scores.dtype)
        for outcome in law(variant, probs):
            selection = select(mechanism, scores, mask, outcome.forced.view(-1, 1, 1))
            losses = loss(selection.weights)
            if mechanism.facts.bound > 1:  # of the draws together
                value = -torch.logsumexp(selection.mass.log() - losses, 0)
            else:
                value = (selection.mass * losses).sum(0)
            mean = mean + torch.where(outcome.chance > 0, outcome.chance * value, 0.0)
    else:
        selection = select(mechanism, scores, mask, torch.full((1, 1, 1), -1), gold=GOLD)
        losses = loss(selection.weights)
        mean = surrogate_of(mechanism, losses, selection, torch.ones_like(valid), STATE).loss
    exact = certificate(variant, mechanism, loss, probs)
    torch.testing.assert_close(mean, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", ["hard_straight_through", "argmax_straight_through"])
def test_straight_through_is_exact_where_the_loss_is_affine(name: str, beta: float):
    scores, mask, valid = problem()
    loss, _ = linear()
    probs = softmax(scores, mask, beta)
    exact = (objective("expected", loss, probs) * valid).sum()
    for outcome in law(Variant(name, {}), probs):  # not in the mean only: whatever is drawn
        selection = select(Variant(name, {}).build(beta=beta), scores, mask, outcome.forced.view(-1, 1, 1))
        surrogate = (loss(selection.weights)[0] * valid).sum()
        assert_same_gradient(gradients(surrogate, [scores]), gradients(exact, [scores]))


@pytest.mark.parametrize("beta", BETAS)
def test_straight_through_on_a_quadratic_loss_has_the_soft_gradient_in_the_mean(beta: float):
    scores, mask, valid = problem()
    loss, _ = quadratic()
    probs = softmax(scores, mask, beta)
    soft = gradients((objective("soft", loss, probs) * valid).sum(), [scores])
    variant = Variant("hard_straight_through", {})
    mean = gradients(
        mean_surrogate(variant, variant.build(beta=beta), loss, scores, mask, valid, probs), [scores]
    )
    assert_same_gradient(mean, soft)
    expected = gradients((objective("expected", loss, probs) * valid).sum(), [scores])
    assert (soft - expected).norm() > 0.01 * expected.norm()  # which is another one


@pytest.mark.parametrize("beta", BETAS)
def test_reinmax_on_a_quadratic_loss_has_the_expected_gradient_in_the_mean_and_not_in_general(beta: float):
    scores, mask, valid = problem()
    probs = softmax(scores, mask, beta)
    variant = Variant("reinmax", {})
    found = {}
    for shape in ("quadratic", "nonlinear"):
        loss, _ = LOSSES[shape]()
        mean = mean_surrogate(variant, variant.build(beta=beta), loss, scores, mask, valid, probs)
        exact = (objective("expected", loss, probs) * valid).sum()
        found[shape] = gradients(mean, [scores]), gradients(exact, [scores])
    assert_same_gradient(*found["quadratic"])
    mean, exact = found["nonlinear"]
    assert (mean - exact).norm() > 0.01 * exact.norm()


@pytest.mark.parametrize("variant", variants(), ids=str)
def test_padding_gets_no_surrogate_and_no_gradient(variant: Variant):
    mechanism = with_history(variant.build())
    scores, mask, _ = problem()
    loss, behind = nonlinear()
    selection = select(mechanism, scores, mask, torch.full((1, 1, 1), -1))
    losses = loss(selection.weights)
    valid = torch.tensor([[True, False]]).expand(B, T)
    surrogate = surrogate_of(mechanism, losses, selection, valid, STATE)
    assert (surrogate.loss[:, 1] == 0).all() and (surrogate.loss[:, 0] != 0).all()
    assert (surrogate.auxiliary[:, 1] == 0).all()
    # controls use no scores
    for gradient in torch.autograd.grad(surrogate.loss.sum(), [scores, *behind], allow_unused=True):
        assert gradient is None or (gradient[:, 1] == 0).all()


@pytest.mark.parametrize("variant", variants(), ids=str)
def test_a_forward_pass_changes_no_state(variant: Variant):
    mechanism = with_history(variant.build())
    parts = nn.ModuleList(mechanism[:3]).train()
    before = {name: value.clone() for name, value in parts.state_dict().items()}
    scores, mask, valid = problem()
    loss, _ = nonlinear()
    selection = select(mechanism, scores, mask, torch.full((1, 1, 1), -1))
    losses = loss(selection.weights)
    surrogate_of(mechanism, losses, selection, valid, STATE).loss.sum().backward()
    assert parts.state_dict().keys() == before.keys()
    assert all(value.equal(before[name]) for name, value in parts.state_dict().items())


@pytest.mark.parametrize("offset", [0.0, 10.0])
@pytest.mark.parametrize("variant", SAME_FOR_A_CONSTANT, ids=str)
def test_a_constant_loss_gives_every_draw_a_zero_gradient(variant: Variant, offset: float):
    mechanism = variant.build()
    scores, mask, valid = problem()
    for outcome in law(variant, distribution(variant, scores, mask, 1.0)):
        selection = select(mechanism, scores, mask, outcome.forced.view(-1, 1, 1))
        losses = 0 * selection.weights.sum(-1) + torch.full(
            (len(selection.weights), B, T), offset, dtype=scores.dtype
        )
        surrogate = surrogate_of(mechanism, losses, selection, valid, STATE)
        possible = torch.where(outcome.chance > 0, surrogate.loss, 0.0).sum() + 0 * scores.sum()
        assert gradients(possible, [scores]).abs().max() < 1e-12


# --- what a selection is ---


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("variant", HARD, ids=str)
def test_hard_weights_are_one_hot_bit_for_bit(variant: Variant, dtype: torch.dtype):
    mechanism = variant.build()
    for part in mechanism[:3]:
        part.to(dtype)
    scores = (2 * normal(211, 3, 7, seed=4)).to(dtype)
    weights = select(
        mechanism, scores, torch.ones(211, 1, 7, dtype=torch.bool), torch.full((1, 1, 1), -1)
    ).weights
    weights = weights[: len(weights) - controls_of(mechanism).count("soft")]
    assert weights.dtype == dtype
    assert ((weights == 0) | (weights == 1)).all() and (weights.sum(-1) == 1).all()


@pytest.mark.parametrize("variant", variants(), ids=str)
def test_a_selection_has_one_unit_of_mass_and_one_way_for_the_gradient(variant: Variant):
    mechanism = variant.build()
    scores, mask, _ = problem()
    selection = select(mechanism, scores, mask, torch.full((1, 1, 1), -1), gold=GOLD)
    mass = selection.mass.expand(-1, B, T)
    torch.testing.assert_close(mass.sum(0), torch.ones(B, T, dtype=torch.float64))
    weights = distribution(variant, scores, mask, 1.0)
    total = weights.sum(-1)  # 1, but where weights need not sum to one
    torch.testing.assert_close(selection.probs[0], weights / total[..., None])
    there = (selection.weights.sum(-1) - total).abs() < 1e-12
    absent = (selection.weights == 0).all(-1) & (mass == 0) & (selection.log_prob == 0)
    assert (there if variant.name not in LAWS else there | absent).all()
    controls = len(controls_of(mechanism))
    assert (selection.mass[len(selection.mass) - controls :] == 0).all()
    ways = [selection.weights.requires_grad, selection.mass.requires_grad, selection.log_prob.requires_grad]
    if not isinstance(mechanism.estimator, Pathwise | Marginal):  # draws
        assert ways == [variant.name == "rebar", False, True]
    elif len(selection.mass) > 1:  # enumeration: Pathwise reads mass alone, Marginal log_prob alone
        assert ways == [False, True, True]
    else:
        assert ways == [variant.name not in CONTROLS, False, False]


@pytest.mark.parametrize(
    "variant", [v for v in HARD if not isinstance(v.build().estimator, Pathwise)], ids=str
)
def test_log_prob_is_that_of_the_alternative_under_probs(variant: Variant):
    mechanism = variant.build()
    scores, mask, _ = problem()
    selection = select(mechanism, scores, mask, torch.full((1, 1, 1), -1))
    chance = (selection.weights * distribution(variant, scores, mask, 1.0)).sum(-1)  # K B T
    controls = len(controls_of(mechanism))
    chance[len(chance) - controls :] = 1
    chance = torch.where((selection.weights == 0).all(-1), 1.0, chance)  # absent
    torch.testing.assert_close(selection.log_prob.exp(), chance)


def test_controls_come_last_with_no_mass_no_log_prob_and_no_gradient():
    scores, mask, _ = problem()
    mechanism = Variant("hard_reinforce", {"samples": 3, "baseline": "none"}).build()
    selection = Draws(mechanism.distribution, 3, ("argmax", "soft"))(asked(scores, mask), free())
    probs = softmax(scores, mask, 1.0)
    assert selection.weights[3].equal(torch.nn.functional.one_hot(probs.argmax(-1), S).double())
    torch.testing.assert_close(selection.weights[4], probs.detach())
    assert not selection.weights.requires_grad
    assert (
        (selection.mass[3:] == 0).all()
        and (selection.log_prob[3:] == 0).all()
        and (selection.mass[:3] == 1 / 3).all()
    )


@pytest.mark.parametrize("variant", INDEPENDENT, ids=str)
def test_what_is_not_forced_is_drawn_from_probs(variant: Variant):
    """Draws, not argmaxes: frequencies over 20,000 rows within 5 standard deviations, an argmax is off by
    hundreds."""
    mechanism = variant.build()
    rows = 20_000
    scores = torch.tensor([0.5, -1.0, 1.0, 0.0, -3.0], dtype=torch.float64)
    mask = torch.tensor([1, 1, 1, 1, 0], dtype=torch.bool)
    selection = select(
        mechanism, scores.expand(rows, 1, S), mask.expand(rows, 1, S), torch.full((1, 1, 1), -1), seed=5
    )
    drawn = len(selection.weights) - len(controls_of(mechanism))
    probs = distribution(variant, scores[None, None], mask[None, None], 1.0)[0, 0]
    for alternative in selection.weights[:drawn]:
        frequency = alternative[:, 0].mean(0)
        assert ((frequency - probs).abs() <= 5 * (probs * (1 - probs) / rows).sqrt()).all()
    assert drawn == variant.settings.get("samples", 1)
    agree = probs.square().sum()
    for one, other in itertools.combinations(selection.weights[:drawn], 2):
        assert ((one * other).sum(-1).mean() - agree).abs() <= 5 * (agree * (1 - agree) / rows).sqrt()


@pytest.mark.parametrize("variant", [v for v in DRAWING if v not in INDEPENDENT], ids=str)
def test_a_set_that_is_not_forced_is_drawn_with_its_probability(variant: Variant):
    """And so is the one position outside those that are summed: frequencies over 20,000 rows as above."""
    rows = 20_000
    scores = torch.tensor([0.5, -1.0, 1.0, 0.0, -3.0], dtype=torch.float64)
    mask = torch.tensor([1, 1, 1, 1, 0], dtype=torch.bool)
    nothing = torch.full((1, 1, 1), -1)
    weights = select(
        variant.build(), scores.expand(rows, 1, S), mask.expand(rows, 1, S), nothing, seed=5
    ).weights
    drawn = weights[-1:] if variant.name == "sum_and_sample" else weights
    taken = drawn.sum(0)[:, 0]
    for forced, chance in law(variant, distribution(variant, scores[None, None], mask[None, None], 1.0)[0]):
        frequency = (taken == one_hot_rows(forced, scores).sum(0)).all(-1).double().mean()
        assert ((frequency - chance).abs() <= 5 * (chance * (1 - chance) / rows).sqrt()).all()


# --- baselines ---


class IncludingOwnSample(Baseline):
    """The mistake that leave-one-out avoids: the mean of all draws, the own one among them."""

    def forward(self, returns: Tensor, site: Site, valid: Tensor) -> Tensor:
        return returns.mean(0, keepdim=True)


@pytest.mark.parametrize("samples", [2, 3])
def test_a_baseline_with_its_own_sample_is_noticed_by_its_length_alone(samples: int):
    scores, mask, valid = problem()
    loss, _ = nonlinear()
    mechanism = Variant("hard_reinforce", {"samples": samples, "baseline": "leave_one_out"}).build()
    wrong = mechanism._replace(estimator=Reinforce(IncludingOwnSample))
    wrong.estimator.prepare({"attention": Placement(1)})
    exact = gradients((objective("expected", loss, softmax(scores, mask, 1.0)) * valid).sum(), [scores])
    variant = Variant("hard_reinforce", {"samples": samples, "baseline": "leave_one_out"})
    mean = gradients(
        mean_surrogate(variant, wrong, loss, scores, mask, valid, softmax(scores, mask, 1.0)), [scores]
    )
    assert_same_gradient(mean, (1 - 1 / samples) * exact)
    with pytest.raises(AssertionError, match=r"cosine (1\.0|0\.9999999)"):
        assert_same_gradient(mean, exact)


def test_leave_one_out_is_the_mean_of_the_others_and_leaves_controls_out():
    returns = normal(4, B, T, seed=6)
    scores, mask, valid = problem()
    mechanism = Variant("hard_reinforce", {"samples": 3, "baseline": "leave_one_out"}).build()
    selector = Draws(mechanism.distribution, 3, ("soft",))
    selection = selector(asked(scores, torch.ones_like(mask)), free())
    found = LeaveOneOut()(returns, site_of(selection), valid)
    for own in range(3):
        others = [returns[other] for other in range(3) if other != own]
        torch.testing.assert_close(found[own], sum(others) / 2)


@pytest.mark.parametrize(
    ("name", "samples"),
    [("hard_reinforce", 1), ("sum_and_sample", 1), ("unordered_set", 1), ("unordered_set", 9), ("vimco", 1)],
)
def test_a_number_of_samples_that_leaves_nothing_to_compare_or_too_much_is_refused(name: str, samples: int):
    with pytest.raises(ValueError, match=rf"needs (2 <= )?samples [<>]= \d.*, got {samples}"):
        Variant(
            name,
            {"samples": samples, "baseline": "leave_one_out"}
            if name == "hard_reinforce"
            else {"samples": samples},
        ).build()


@pytest.mark.parametrize("samples", [1, 2])
def test_self_critical_leaves_no_gradient_where_the_draw_is_the_argmax(samples: int):
    scores, mask, valid = problem()
    loss, _ = nonlinear()
    mechanism = Variant("hard_reinforce", {"samples": samples, "baseline": "self_critical"}).build()
    for shift in (0, 1):
        forced = ((scores.argmax(-1) + shift) % S).expand(samples, B, T)
        selection = select(mechanism, scores, torch.ones_like(mask), forced)
        losses = loss(selection.weights)
        surrogate = surrogate_of(mechanism, losses, selection, valid, STATE)
        gradient = torch.autograd.grad(surrogate.loss.sum(), scores)[0][valid]
        assert (gradient == 0).all() if shift == 0 else (gradient != 0).any(-1).all()


@pytest.mark.parametrize("baseline", ["self_critical", "soft"])
def test_a_control_that_was_not_asked_for_gives_no_number(baseline: str):
    mechanism = Variant("hard_reinforce", {"samples": 2, "baseline": baseline}).build()
    scores, mask, valid = problem()
    loss, _ = nonlinear()
    selection = Draws(mechanism.distribution, 2)(asked(scores, mask), free())
    losses = loss(selection.weights)
    assert surrogate_of(mechanism, losses, selection, valid, STATE).loss[valid].isnan().all()


def current(average: MovingAverage) -> float:
    """What the moving average would subtract now, whatever the present returns are."""
    scores, mask, _ = problem()
    selection = select(Variant("hard_reinforce", {}).build(), scores, mask, torch.full((1, 1, 1), -1))
    site, valid = site_of(selection), torch.ones(B, T, dtype=torch.bool)
    one, other = (average(normal(4, B, T, seed=seed), site, valid).item() for seed in (1, 2))
    assert one == other
    return one


def test_the_moving_average_is_zero_at_the_start():
    assert current(MovingAverage()) == 0


def test_the_moving_average_is_bias_corrected_and_reads_past_steps_only():
    decay = 0.9
    average = MovingAverage(decay)
    past: list[float] = []
    for step in range(5):
        returns = 3 + normal(2, B, T, seed=step)
        weights = [decay ** (step - 1 - i) for i in range(step)]
        expected = sum(w * r for w, r in zip(weights, past, strict=True)) / sum(weights) if past else 0.0
        assert current(average) == pytest.approx(expected, abs=1e-12)
        average.update(returns, torch.ones(B, T, dtype=torch.bool))
        past.append(returns.mean().item())


def test_the_first_update_counts_fully_and_padding_not_at_all():
    average = MovingAverage()
    returns = normal(2, B, T, seed=0)
    valid = torch.tensor([[1, 1], [1, 0], [0, 0]], dtype=torch.bool)
    average.update(torch.where(valid, returns, 1e6), valid)
    assert current(average) == pytest.approx(returns[:, valid].mean().item(), abs=1e-12)


@pytest.mark.parametrize("variant", variants(), ids=str)
def test_training_updates_a_baseline_through_the_estimator(variant: Variant):
    mechanism = variant.build()
    before = {name: value.clone() for name, value in mechanism.estimator.state_dict().items()}
    with_history(mechanism)
    after = mechanism.estimator.state_dict()
    changed = [name for name in after if not after[name].equal(before[name])]
    assert bool(changed) == (variant.settings.get("baseline") == "moving_average")


# --- known answers: 8 positions, linear and quadratic losses ---

THETA = torch.tensor([0.9, -0.4, 0.3, -1.2, 0.6, 0, -0.8, 1.1], dtype=torch.float64)
COSTS = torch.tensor([2, -1, 0.5, 1.5, -2, 0, 1, -0.5], dtype=torch.float64)
BENDS = torch.tensor(
    [
        [2 * torch.cos(torch.tensor(0.7 * i * j, dtype=torch.float64)) for j in range(1, 9)]
        for i in range(1, 9)
    ]
)
KNOWN_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda w: w @ COSTS,
    "quadratic": lambda w: 0.5 * ((w @ BENDS.to(w.dtype)) * w).sum(-1) + w @ COSTS,
}
# The numbers were computed by an enumeration outside this project, to the digits that are given.
KNOWN_GRADIENTS = {
    "linear": [
        0.43125813,
        -0.06434732,
        0.05354994,
        0.03918976,
        -0.33971351,
        -0.00555113,
        0.03814474,
        -0.15253060,
    ],
    "quadratic": [
        0.48716083,
        -0.15260505,
        0.11292230,
        0.03073031,
        -0.38818170,
        0.03824128,
        -0.02202414,
        -0.10624383,
    ],
}
KNOWN_NORMS = {"linear": 0.578519, "quadratic": 0.661989}
# name, settings, loss: cosine of the mean with the exact gradient, its relative error, relative variance of
# an estimate
KNOWN = [
    ("hard_exact", {}, "linear", 1, 0, 0),
    ("hard_exact", {}, "quadratic", 1, 0, 0),
    ("soft", {}, "linear", 1, 0, 0),
    ("soft", {}, "quadratic", 0.9645, 0.2814, 0),
    ("hard_reinforce", {"baseline": "none", "samples": 1}, "linear", 1, 0, 3.3732),
    ("hard_reinforce", {"baseline": "none", "samples": 1}, "quadratic", 1, 0, 4.4245),
    ("hard_reinforce", {"baseline": "none", "samples": 4}, "linear", 1, 0, 0.8433),
    ("hard_reinforce", {"baseline": "none", "samples": 4}, "quadratic", 1, 0, 1.1061),
    ("hard_reinforce", {"baseline": "self_critical", "samples": 1}, "linear", 1, 0, 4.1169),
    ("hard_reinforce", {"baseline": "self_critical", "samples": 1}, "quadratic", 1, 0, 4.1314),
    ("hard_reinforce", {"baseline": "leave_one_out", "samples": 2}, "linear", 1, 0, 4.3969),
    ("hard_reinforce", {"baseline": "leave_one_out", "samples": 2}, "quadratic", 1, 0, 4.8738),
    ("hard_reinforce", {"baseline": "leave_one_out", "samples": 4}, "linear", 1, 0, 1.2939),
    ("hard_reinforce", {"baseline": "leave_one_out", "samples": 4}, "quadratic", 1, 0, 1.4671),
    ("hard_reinforce", {"baseline": "soft", "samples": 1}, "linear", 1, 0, 3.3663),
    ("hard_reinforce", {"baseline": "soft", "samples": 1}, "quadratic", 1, 0, 4.4559),
    ("unordered_set", {"samples": 2}, "linear", 1, 0, 3.3974),
    ("unordered_set", {"samples": 2}, "quadratic", 1, 0, 3.8283),
    ("unordered_set", {"samples": 4}, "linear", 1, 0, 0.5528),
    ("unordered_set", {"samples": 4}, "quadratic", 1, 0, 0.6473),
    ("reinmax", {}, "linear", 1, 0, 0.8416),
    ("reinmax", {}, "quadratic", 1, 0, 2.5849),
    ("reinmax", {"temperature": 1.5}, "linear", 0.9940, 0.1340, 0.8490),
    ("reinmax", {"temperature": 1.5}, "quadratic", 0.9936, 0.1197, 2.6020),
    ("hard_straight_through", {}, "linear", 1, 0, 0),
    ("hard_straight_through", {}, "quadratic", 0.9645, 0.2814, 0.5451),
    ("argmax_straight_through", {}, "linear", 1, 0, 0),
    ("argmax_straight_through", {}, "quadratic", 0.8756, 0.8408, 0),
]


def every_estimate(variant: Variant, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Probability (O) and score gradient (O 8) of every outcome; the outcomes lie along the batch."""
    mechanism = variant.build()
    outcomes = law(variant, torch.softmax(THETA, 0))
    drawn = torch.stack([outcome.forced for outcome in outcomes])
    scores = THETA.expand(len(drawn), 1, 8).clone().requires_grad_()
    selection = select(mechanism, scores, torch.ones(len(drawn), 1, 8, dtype=torch.bool), drawn.T[..., None])
    losses = loss(selection.weights.expand(-1, len(drawn), 1, 8))
    valid = torch.ones(len(drawn), 1, dtype=torch.bool)
    state = torch.zeros(len(drawn), 1, 1, dtype=torch.float64)
    surrogate = surrogate_of(mechanism, losses, selection, valid, state)
    (gradient,) = torch.autograd.grad(surrogate.loss.sum(), scores)
    return torch.stack([outcome.chance for outcome in outcomes]), gradient[:, 0]


@pytest.mark.parametrize("shape", KNOWN_LOSSES)
def test_the_exact_gradient_is_the_known_one(shape: str):
    theta = THETA.clone().requires_grad_()
    value = objective("expected", lambda w: KNOWN_LOSSES[shape](w), torch.softmax(theta, 0)[None, None]).sum()
    exact = gradients(value, [theta])
    torch.testing.assert_close(
        exact, torch.tensor(KNOWN_GRADIENTS[shape], dtype=torch.float64), rtol=0, atol=1e-8
    )
    assert exact.norm().item() == pytest.approx(KNOWN_NORMS[shape], abs=1e-6)
    chance, estimates = every_estimate(Variant("hard_exact", {}), KNOWN_LOSSES[shape])
    torch.testing.assert_close((chance[:, None] * estimates).sum(0), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings", "shape", "cosine", "error", "variance"),
    KNOWN,
    ids=[f"{Variant(n, s)}-{f}" for n, s, f, *_ in KNOWN],
)
def test_bias_and_variance_are_the_known_ones(
    name: str, settings: dict[str, Any], shape: str, cosine: float, error: float, variance: float
):
    chance, estimates = every_estimate(Variant(name, settings), KNOWN_LOSSES[shape])
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    theta = THETA.clone().requires_grad_()
    exact = gradients(
        objective("expected", KNOWN_LOSSES[shape], torch.softmax(theta, 0)[None, None]).sum(), [theta]
    )
    mean = (chance[:, None] * estimates).sum(0)
    spread = (chance * (estimates - mean).square().sum(1)).sum() / exact.square().sum()
    assert torch.nn.functional.cosine_similarity(mean, exact, 0).item() == pytest.approx(cosine, abs=6e-5)
    assert ((mean - exact).norm() / exact.norm()).item() == pytest.approx(error, abs=6e-5)
    assert spread.item() == pytest.approx(variance, abs=6e-5)


@pytest.mark.parametrize(
    ("baseline", "samples", "same"),
    [("leave_one_out", 2, True), ("self_critical", 1, True), ("none", 1, False)],
)
def test_an_offset_of_the_loss_changes_no_estimate_under_a_baseline_that_knows_it(
    baseline: str, samples: int, same: bool
):
    mechanism = Variant("hard_reinforce", {"baseline": baseline, "samples": samples})
    _, plain = every_estimate(mechanism, KNOWN_LOSSES["quadratic"])
    _, offset = every_estimate(mechanism, lambda w: KNOWN_LOSSES["quadratic"](w) + 10)
    assert ((plain - offset).abs().max() < 1e-13) == same


# --- through the whole model ---

SOURCE = torch.tensor([[4, 7, 5, 4, 6], [5, 6, 8, PAD, PAD], [8, PAD, PAD, PAD, PAD]])
TARGET = torch.tensor([[6, 4, EOS], [7, EOS, PAD], [EOS, PAD, PAD]])
BATCH = Batch(
    SOURCE,
    TARGET,
    torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)[:, None],
)


def seq2seq(variant: Variant, model: str, score: str) -> tuple[Seq2Seq, Mechanism]:
    """A small model in double precision whose scores are large enough to matter, and the mechanism inside."""
    torch.manual_seed(0)
    mechanism = variant.build(state_size=4, beta=2.0)
    make_model, settings = read("model", model)
    make_score, _ = read("score", score)

    def attention(query_size: int, state_size: int) -> Attention:
        return Attention(
            make_score(query_size, query_size), mechanism.selector, nn.Linear(state_size, query_size)
        )

    sizes = {"embedding_size": 3, "hidden_size": 4, "readout_size": 5}
    net: Seq2Seq = make_model(9, 8, attention, **{**settings, **sizes}).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net, mechanism


def negative_log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    """K B T V and B T -> K B T."""
    return logits.logsumexp(-1) - logits.gather(-1, target.expand(len(logits), -1, -1)[..., None])[..., 0]


def independently(net: Seq2Seq, variant: Variant, beta: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The loss of given weights and the distribution over positions, from the model's parts but not its
    attention."""
    mask = SOURCE != PAD
    states = net.encoder(SOURCE, mask, torch.Generator())
    values = states @ net.decoder.from_context.weight.T
    previous = torch.cat((torch.full((3, 1), BOS), TARGET[:, :-1]), 1)
    hidden, _ = net.decoder(net.decoder.embedding(previous), (), torch.Generator())
    scores = net.attention.score(hidden, net.attention.project(states))

    def loss(weights: Tensor) -> Tensor:
        context = torch.einsum("kbts,bsr->kbtr", weights, values)
        logits = net.decoder.output(torch.tanh(net.decoder.from_state(hidden) + context))
        return negative_log_likelihood(logits, TARGET)

    return loss, distribution(variant, scores, mask[:, None], beta, BATCH.gold)


def averaged_over_draws(net: Seq2Seq, variant: Variant, mechanism: Mechanism, probs: Tensor) -> Tensor:
    """The surrogate of the model, weighted by the chance of each draw; the outcomes lie along the batch."""
    outcomes = law(variant, probs)
    drawn = torch.stack([outcome.forced for outcome in outcomes])
    batch = Batch(*(x.repeat(len(drawn), *[1] * (x.ndim - 1)) for x in BATCH))
    forced = drawn.repeat_interleave(3, 0).T[..., None]  # K (O B) 1
    taken = taken_by(net, batch, mechanism.selector, Forced(forced))
    losses = negative_log_likelihood(taken.logits, batch.target)
    surrogate = mechanism.estimator(losses, taken, batch.target != PAD).loss
    chance = torch.cat([outcome.chance for outcome in outcomes])
    return torch.where(chance > 0, chance * surrogate, 0.0).sum()


# which know nothing of score and model
WITH_ALL = ("soft", "hard_exact", "hard_straight_through", "hard_reinforce")
COMBINATIONS = [
    pytest.param(variant, model, score, id=f"{variant}-{model}-{score}")
    for variant in enumerable()
    for model, score in itertools.product(
        # those whose parts `independently` knows; the others have tests of their own
        [name for name in names("model") if "readout_size" in read("model", name)[1]],
        names("score"),
    )
    # what is learned of a distribution is not among what `independently` knows
    if (
        (model, score) in (("lstm", "additive"), ("gru", "scaled_dot"))
        and not read("attention", variant.name)[1].get("learned")
    )
    or (variant.name in WITH_ALL and variant.settings.get("baseline", "leave_one_out") == "leave_one_out")
]


@pytest.mark.parametrize(("variant", "model", "score"), COMBINATIONS)
def test_every_parameter_of_the_model_gets_the_gradient_of_the_objective(
    variant: Variant, model: str, score: str
):
    net, mechanism = seq2seq(variant, model, score)
    with_history(mechanism)
    loss, probs = independently(net, variant, 2.0)
    exact = (certificate(variant, mechanism, loss, probs) * (TARGET != PAD)).sum()
    mean = averaged_over_draws(net, variant, mechanism, probs)
    parameters = list(net.parameters())
    assert_same_gradient(gradients(mean, parameters), gradients(exact, parameters))
    for name, parameter in net.named_parameters():
        theirs = gradients(exact, [parameter])
        torch.testing.assert_close(gradients(mean, [parameter]), theirs, rtol=1e-10, atol=1e-10, msg=name)
        if variant.name in CONTROLS and name.startswith("attention."):
            assert (theirs == 0).all()
        elif name != "attention.project.bias":  # q . b is the same for all keys, and cancels in the softmax
            assert theirs.norm() > 1e-8, f"{name} is not trained"


@pytest.mark.parametrize("variant", INDEPENDENT, ids=str)
def test_draws_of_different_steps_do_not_interact(variant: Variant):
    """Why one position at all steps enumerates exactly: a step's loss is the same whatever other steps
    chose."""
    net, mechanism = seq2seq(variant, "gru", "scaled_dot")
    alternatives = number_of_draws(mechanism)

    def losses(forced: Tensor) -> Tensor:
        taken = taken_by(net, BATCH, mechanism.selector, Forced(forced.expand(alternatives, 3, 3)))
        return negative_log_likelihood(taken.logits[:alternatives], TARGET)

    found = {}
    for choice in itertools.product(range(3), repeat=3):
        values = losses(torch.tensor(choice).view(1, 1, 3))
        for step in range(3):
            expected = found.setdefault((step, choice[step]), values[..., step])
            torch.testing.assert_close(values[..., step], expected, rtol=1e-14, atol=1e-14)
    assert not found[0, 0].equal(found[0, 1])


def test_every_one_hot_row_is_what_it_says():
    assert one_hot(2, torch.zeros(2, 3, 5)).equal(torch.tensor([0.0, 0, 1, 0, 0]).expand(2, 3, 5))
