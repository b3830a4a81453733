"""What must hold whatever the scores, the mask and the loss are, over every mechanism on disk.

Problems are made by hypothesis, the same ones in every run. Masked scores are -inf and are themselves
differentiated, so that a NaN on its way to them is seen.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import NamedTuple

import entmax
import pytest
import reinmax
import torch
from enumeration import (
    CONTINUOUS,
    CONTROLS,
    Forced,
    Variant,
    asked,
    controls_of,
    is_random,
    law,
    objective,
    passed,
    select,
    softmax,
    surrogate_of,
    variants,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import Unnormalised
from attnlab.core.interfaces import Mechanism, Selection
from attnlab.core.selectors import Enumeration
from attnlab.mechanisms.sets import SetMean, log_completion
from attnlab.microscope.gradients import exact_gradient, sample_gradients
from attnlab.randomness import Randomness

BETA = 1.25
FREE = torch.full((1, 1, 1), -1)
"""Nothing is forced."""


def made(variant: Variant) -> Mechanism:
    """With no setting at 1, where a mistake could hide, and a moving average that remembers something."""
    mechanism = variant.build(beta=BETA, temperature=0.5 if variant.name in CONTINUOUS else 1.5)
    mechanism.estimator.update(
        torch.full((2, 3, 5), 0.75, dtype=torch.float64), torch.ones(3, 5, dtype=torch.bool)
    )
    return mechanism


VARIANTS = {str(variant): variant for variant in variants()}
MECHANISMS = {name: made(variant) for name, variant in VARIANTS.items()}
BLIND = [
    name
    for name, variant in VARIANTS.items()
    if variant.settings.get("baseline") in ("none", "moving_average", "learned")
]
"""Their baseline does not move with the loss: a constant in the loss is noise of mean zero, and reaches every
sample."""
SEEING = [name for name in MECHANISMS if name not in BLIND]
LINEAR = [
    name
    for name, m in MECHANISMS.items()
    if (m.facts.objective != "marginal" or m.facts.bound == 1)
    and name not in BLIND
    or "baseline=none" in name
]
"""Those whose gradient scales with the loss. -log E exp(-loss) is not linear in it (hard_marginal, vimco,
hard_chain), but for its bound of one draw, the expected loss; and a baseline that remembers or has learned
something keeps its size while the loss grows."""
DETERMINISTIC = [name for name, mechanism in MECHANISMS.items() if not is_random(mechanism)]
HARD = [
    name
    for name, mechanism in MECHANISMS.items()
    if mechanism.facts.needs != "mixture" or "hard_reinforce" in name or name == "rebar"
]


def tries_all(mechanism: Mechanism) -> bool:
    """Whether every position is an alternative, the masked ones too."""
    return isinstance(getattr(mechanism.selector, "posterior", mechanism.selector), Enumeration)


every = pytest.mark.parametrize("name", MECHANISMS)
NOT_CHAINED = [name for name, mechanism in MECHANISMS.items() if mechanism.distribution.apart]
PLACED = ("local", "stick_breaking")
"""They choose by where a position stands."""
WHOLE = [name for name, m in MECHANISMS.items() if not isinstance(m.distribution, Unnormalised)]
"""Those that read one whole value."""
every_but_chains = pytest.mark.parametrize("name", NOT_CHAINED)
"""A chain knows how far positions are from each other, and its steps depend on each other."""
few = settings(deadline=None, derandomize=True, max_examples=4)
many = settings(deadline=None, derandomize=True, max_examples=12)


# --- problems ---


class Problem(NamedTuple):
    """Scores to choose by, and a loss of the choice for each row and step."""

    scores: Tensor  # B T S
    mask: Tensor  # B #T S
    gold: Tensor  # B #T S
    kind: str
    costs: Tensor  # B T S
    bends: Tensor  # B T S S

    def loss(self, weights: Tensor) -> Tensor:
        """Weights K B #T S -> losses K B T."""
        affine = (weights * self.costs).sum(-1) + 0.5
        bent = (weights[..., None, :] @ self.bends @ weights[..., None]).squeeze((-1, -2))
        return {
            "linear": affine,
            "quadratic": affine + bent,
            "exponential": affine.exp() + torch.sin(3 * bent),
        }[self.kind]

    def at(self, positions: Tensor) -> "Problem":
        """The problem that has these positions only, in this order."""
        scores, mask, gold, costs = (
            x[..., positions] for x in (self.scores, self.mask, self.gold, self.costs)
        )
        return Problem(scores, mask, gold, self.kind, costs, self.bends[..., positions, :][..., positions])

    @property
    def hidden(self) -> Tensor:
        """What may not be attended, B T S."""
        return ~self.mask.expand_as(self.scores)


@st.composite
def problems(draw: st.DrawFn, ties: bool = False, most: int = 7) -> Problem:
    """S in 2..7, T in 1..3, B in 1..4, scores of at most about 6 on a grid of tenths, off it by a little
    unless `ties`."""
    batch, steps, positions = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(2, most))
    shape, size = (batch, steps, positions), batch * steps * positions
    grid = (
        torch.tensor(draw(st.lists(st.integers(-60, 60), min_size=size, max_size=size))).view(shape).double()
        / 10
    )
    rows = (batch, draw(st.sampled_from((1, steps))))
    size = rows[0] * rows[1] * positions
    hidden = torch.tensor(draw(st.lists(st.booleans(), min_size=size, max_size=size))).view(*rows, positions)
    open_ = torch.tensor(
        draw(st.lists(st.integers(0, positions - 1), min_size=size // positions, max_size=size // positions))
    )
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    costs = 3 * torch.rand(shape, generator=source, dtype=torch.float64) - 1.5
    bends = 2 * torch.rand(*shape, positions, generator=source, dtype=torch.float64) - 1
    return Problem(
        grid if ties else grid + torch.arange(positions).double().sin() / 100,
        ~hidden | torch.nn.functional.one_hot(open_.view(rows), positions).bool(),
        torch.rand(*rows, positions, generator=source) < 0.3,
        draw(st.sampled_from(("linear", "quadratic", "exponential"))),
        costs,
        bends,
    )


def only(mask: Tensor) -> Tensor:
    """The first position of each row that may be attended, and no other."""
    return mask & (mask.cumsum(-1) == 1)


class Estimate(NamedTuple):
    selection: Selection
    value: Tensor  # the surrogate, B T
    gradient: Tensor  # of its sum in the scores, B T S


def estimate(
    mechanism: Mechanism,
    problem: Problem,
    forced: Tensor = FREE,
    seed: int = 0,
    loss: Callable[[Tensor], Tensor] | None = None,
) -> Estimate:
    """One sample, through the selector and the estimator."""
    scores = problem.scores.masked_fill(problem.hidden, -torch.inf).requires_grad_()
    selection = mechanism.selector(asked(scores, problem.mask, problem.gold), Forced(forced, seed))
    losses = (loss or problem.loss)(selection.weights)
    valid = torch.ones_like(scores[..., 0], dtype=torch.bool)
    state = torch.linspace(-1, 1, valid.numel(), dtype=scores.dtype).view(*valid.shape, 1)
    value = surrogate_of(mechanism, losses, selection, valid, state).loss
    total = value.sum() + 0 * scores.masked_fill(problem.hidden, 0.0).sum()  # a control has no gradient
    return Estimate(selection, value.detach(), torch.autograd.grad(total, scores)[0])


def positions_of(mechanism: Mechanism, selection: Selection) -> Tensor:
    """What to force to have the same draw again, K B T; -1 where a set had nothing left to take."""
    weights = selection.weights[: len(selection.weights) - len(controls_of(mechanism))]
    weights = weights[:1] if mechanism is MECHANISMS["rebar"] else weights  # the others are relaxed
    weights = weights.expand(*weights.shape[:2], *selection.probs.shape[2:])
    return torch.where(weights.any(-1), weights.argmax(-1), -1)


@contextmanager
def noise_of(positions: Tensor, total: int) -> Iterator[None]:
    """The relaxations' noise is that of `total` fixed positions, read at some of them in some order."""
    calls = itertools.count()

    def noise(self: Randomness, like: Tensor) -> Tensor:
        wide = torch.empty(*like.shape[:-1], total, dtype=like.dtype)
        return wide.exponential_(generator=torch.Generator().manual_seed(next(calls)))[..., positions]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Randomness, "noise", noise)
        yield


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# --- over every mechanism ---


@pytest.mark.parametrize("name", WHOLE)
@few
@given(problems(ties=True))
def test_weights_are_shares_of_one_and_none_lies_on_a_masked_position(name: str, problem: Problem):
    mechanism = MECHANISMS[name]
    found = estimate(mechanism, problem).selection
    weights, mass, probs = found.weights, found.mass, found.probs[0]
    absent = (mass == 0) & (weights == 0).all(-1)  # of a set that the source is too short for
    assert (weights >= 0).all() and (probs >= 0).all() and (probs[problem.hidden] == 0).all()
    assert not absent.any() or VARIANTS[name].name in ("unordered_set", "sum_and_sample")
    total = weights.sum(-1) + absent.to(weights.dtype)
    close(total, torch.ones_like(total), 1e-12)
    close(probs.sum(-1), torch.ones_like(probs[..., 0]), 1e-12)
    close(mass.sum(0), torch.ones_like(mass[0]), 1e-12)
    # which tries every position, and counts the masked ones for nothing
    if tries_all(mechanism):
        weights = weights * mass[..., None]
    assert (weights.masked_select(problem.hidden) == 0).all()


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name not in WHOLE])
@few
@given(problems(ties=True))
def test_probabilities_are_the_shares_of_weights_that_need_not_sum_to_one(name: str, problem: Problem):
    weights, _, _, probs, _ = estimate(MECHANISMS[name], problem).selection
    total = weights.sum(-1, keepdim=True)
    close(weights, probs * total, 1e-12)
    close(probs.sum(-1), torch.ones_like(probs[..., 0]), 1e-12)
    assert (weights >= 0).all() and (weights <= 1).all() and (weights[0][problem.hidden] == 0).all()


@every
@few
@given(problems(ties=True))
def test_the_gradient_is_finite_and_exactly_zero_on_masked_positions(name: str, problem: Problem):
    gradient = estimate(MECHANISMS[name], problem).gradient
    assert gradient.isfinite().all() and (gradient[problem.hidden] == 0).all()


@pytest.mark.parametrize("name", WHOLE)
@few
@given(problems(ties=True))
def test_the_gradient_sums_to_zero(name: str, problem: Problem):
    gradient = estimate(MECHANISMS[name], problem).gradient
    close(gradient.sum(-1), torch.zeros_like(gradient[..., 0]))


@every
@few
@given(problems())
def test_a_single_position_leaves_no_entropy_and_where_it_is_read_whole_no_gradient(
    name: str, problem: Problem
):
    found = estimate(MECHANISMS[name], problem._replace(mask=only(problem.mask)))
    assert found.selection.probs[0].equal(only(problem.mask).expand_as(problem.scores).double())
    assert (functional.entropy(found.selection.probs) == 0).all()
    close((name in WHOLE) * found.gradient, torch.zeros_like(found.gradient), 1e-12)


@pytest.mark.parametrize("name", WHOLE)
@few
@given(problems(), st.lists(st.integers(-500, 500), min_size=12, max_size=12))
def test_a_shift_of_the_scores_changes_neither_the_choice_nor_the_gradient(
    name: str, problem: Problem, shifts: list[int]
):
    shift = (
        torch.tensor(shifts, dtype=torch.float64)[: problem.scores[..., 0].numel()].view_as(
            problem.scores[..., 0]
        )
        / 10
    )
    plain = estimate(MECHANISMS[name], problem)
    shifted = estimate(MECHANISMS[name], problem._replace(scores=problem.scores + shift[..., None]))
    close(shifted.selection.weights, plain.selection.weights)
    close(shifted.gradient, plain.gradient)


@pytest.mark.parametrize("name", [name for name in NOT_CHAINED if VARIANTS[name].name not in PLACED])
@few
@given(problems(), st.randoms(use_true_random=False))
def test_permuting_positions_permutes_the_gradient(name: str, problem: Problem, random: Random):
    mechanism, total = MECHANISMS[name], problem.scores.size(-1)
    order = torch.tensor(random.sample(range(total), total))
    with noise_of(torch.arange(total), total):
        plain = estimate(mechanism, problem)
    drawn = positions_of(mechanism, plain.selection)
    forced = torch.where(drawn >= 0, order.argsort()[drawn], -1)
    with noise_of(order, total):
        permuted = estimate(mechanism, problem.at(order), forced, seed=1)
    close(permuted.value, plain.value)
    close(permuted.gradient, plain.gradient[..., order])


@every_but_chains
@few
@given(problems(), st.sets(st.integers(0, 6), min_size=1))
def test_masked_positions_can_be_dropped(name: str, problem: Problem, chosen: set[int]):
    mechanism, total = MECHANISMS[name], problem.scores.size(-1)
    kept = torch.tensor(sorted({position % total for position in chosen}))
    mask = torch.zeros_like(problem.mask).index_copy(-1, kept, problem.mask[..., kept])
    mask[..., kept[0]] |= ~mask.any(-1)
    problem = problem._replace(mask=mask)
    with noise_of(kept, total):
        short = estimate(mechanism, problem.at(kept))
    drawn = positions_of(mechanism, short.selection)
    forced = torch.where(drawn >= 0, kept[drawn], -1)
    with noise_of(torch.arange(total), total):
        padded = estimate(mechanism, problem, forced, seed=1)
    close(padded.gradient, torch.zeros_like(padded.gradient).index_copy(-1, kept, short.gradient))


@every_but_chains
@few
@given(problems(), st.integers(0, 11))
def test_a_row_does_not_feel_the_scores_of_another(name: str, problem: Problem, number: int):
    rows = torch.arange(problem.scores[..., 0].numel()).view_as(problem.scores[..., 0])
    own = rows == number % rows.numel()
    others = problem._replace(scores=torch.where(own[..., None], problem.scores, problem.scores.flip(-1) - 1))
    plain, changed = estimate(MECHANISMS[name], problem), estimate(MECHANISMS[name], others)
    assert changed.gradient[own].equal(plain.gradient[own]) and changed.value[own].equal(plain.value[own])


@every
@few
@given(problems(), st.integers(0, 2**32))
def test_a_draw_is_a_function_of_the_generator_alone_and_nothing_is_written(
    name: str, problem: Problem, seed: int
):
    mechanism = MECHANISMS[name]
    state, buffers = (
        torch.get_rng_state(),
        {key: x.clone() for part in mechanism[:3] for key, x in part.state_dict().items()},
    )
    one, again = (estimate(mechanism, problem, seed=seed) for _ in range(2))
    assert all(
        x.equal(y) for x, y in zip(one.selection, again.selection, strict=True)
    ) and one.gradient.equal(again.gradient)
    assert torch.get_rng_state().equal(state)
    assert all(x.equal(buffers[key]) for part in mechanism[:3] for key, x in part.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", HARD)
@settings(few, max_examples=3)
@given(problems(ties=True))
def test_hard_weights_are_one_hot_bit_for_bit_and_never_on_a_masked_position(
    name: str, dtype: torch.dtype, problem: Problem
):
    mechanism = made(VARIANTS[name])
    for part in mechanism[:3]:
        part.to(dtype)
    scores = problem.scores.to(dtype).masked_fill(problem.hidden, -torch.inf)
    weights, mass, *_ = select(mechanism, scores, problem.mask, FREE, gold=problem.gold)
    mass = mass.expand(-1, *scores.shape[:2])
    hard = 1 if name == "rebar" else len(weights) - controls_of(mechanism).count("soft")
    weights, mass = weights[:hard], mass[:hard]
    absent = (mass == 0) & (weights == 0).all(-1)
    assert weights.dtype == dtype and ((weights == 0) | (weights == 1)).all()
    assert ((weights.sum(-1) == 1) | absent).all()
    if not tries_all(mechanism):
        assert (weights.masked_select(problem.hidden) == 0).all()


# --- constants and scales of the loss ---


@pytest.mark.parametrize("name", SEEING)
@few
@given(problems(), st.integers(-10, 10))
def test_a_constant_loss_gives_every_sample_a_zero_gradient(name: str, problem: Problem, constant: int):
    found = estimate(MECHANISMS[name], problem, loss=lambda w: 0 * problem.loss(w) + constant)
    close(found.gradient, torch.zeros_like(found.gradient), 1e-12)


@pytest.mark.parametrize("name", BLIND)
@settings(few, max_examples=3)
@given(problems(most=4))
def test_a_constant_loss_gives_a_baseline_that_does_not_see_it_a_zero_gradient_in_the_mean(
    name: str, problem: Problem
):
    mean, largest = torch.zeros_like(problem.scores), 0.0
    for outcome in law(VARIANTS[name], softmax(problem.scores, problem.mask, BETA)):
        found = estimate(
            MECHANISMS[name], problem, outcome.forced.view(-1, 1, 1), loss=lambda w: 0 * problem.loss(w) + 3
        )
        part = torch.where(outcome.chance[..., None] > 0, outcome.chance[..., None] * found.gradient, 0.0)
        mean, largest = mean + part, max(largest, part.abs().max().item())
    close(mean, torch.zeros_like(mean), 1e-12)
    assert largest > 0 or (problem.mask.sum(-1) == 1).all()


@pytest.mark.parametrize("name", SEEING)
@few
@given(problems(), st.integers(-10, 10))
def test_a_constant_added_to_the_loss_changes_no_sample(name: str, problem: Problem, constant: int):
    plain = estimate(MECHANISMS[name], problem)
    raised = estimate(MECHANISMS[name], problem, loss=lambda w: problem.loss(w) + constant)
    close(raised.gradient, plain.gradient)


@pytest.mark.parametrize("name", [*BLIND, "rebar with eta 0.75"])
@few
@given(problems(), st.integers(-10, 10))
def test_a_constant_that_the_baseline_does_not_see_multiplies_the_gradient_of_log_p(
    name: str, problem: Problem, constant: int
):
    """The mechanisms that the tests above leave out, and how far off each is: rebar subtracts eta of the
    constant."""
    blind = name in BLIND
    mechanism, unseen = (
        (MECHANISMS[name], 1.0) if blind else (Variant("rebar", {"eta": 0.75}).build(beta=BETA), 0.25)
    )
    plain = estimate(mechanism, problem)
    raised = estimate(mechanism, problem, loss=lambda w: problem.loss(w) + constant)
    drawn = plain.selection.weights.mean(0) if blind else plain.selection.weights[0].detach()
    slope = BETA * (drawn - softmax(problem.scores, problem.mask, BETA))
    close(raised.gradient - plain.gradient, unseen * constant * slope)


@pytest.mark.parametrize("name", LINEAR)
@few
@given(problems(), st.integers(-30, 30))
def test_scaling_the_loss_scales_the_gradient(name: str, problem: Problem, tenths: int):
    plain = estimate(MECHANISMS[name], problem)
    scaled = estimate(MECHANISMS[name], problem, loss=lambda w: tenths / 10 * problem.loss(w))
    close(scaled.gradient, tenths / 10 * plain.gradient)


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name not in LINEAR])
def test_where_scaling_is_not_promised_it_does_not_hold(name: str):
    scores = torch.tensor([[[0.5, -0.25, 1.0]]], dtype=torch.float64)
    mask = torch.ones(1, 1, 3, dtype=torch.bool)
    problem = Problem(
        scores, mask, ~mask, "linear", 2 * scores.flip(-1), torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    )
    forced = torch.tensor([0, 1, 2]).view(3, 1, 1)[: VARIANTS[name].settings.get("samples", 1)]
    plain, scaled = (
        estimate(MECHANISMS[name], problem, forced, loss=lambda w, a=a: a * problem.loss(w)) for a in (1, 3)
    )
    assert (scaled.gradient - 3 * plain.gradient).abs().max() > 0.01


# --- peers ---


@pytest.mark.parametrize("name", ["sparsemax", "entmax15"])
@many
@given(problems(), st.randoms(use_true_random=False))
def test_sparse_weights_and_their_gradient_are_those_of_the_entmax_package(
    name: str, problem: Problem, random: Random
):
    scores = problem.scores.masked_fill(problem.hidden, -torch.inf).requires_grad_()
    ours, theirs = getattr(functional, name)(scores), getattr(entmax, name)(scores, dim=-1)
    close(ours, theirs, 1e-12)
    for_each = torch.tensor(
        [random.uniform(-1, 1) for _ in range(scores.numel())], dtype=torch.float64
    ).view_as(scores)
    gradients = [torch.autograd.grad((probs * for_each).sum(), scores)[0] for probs in (ours, theirs)]
    close(gradients[0], gradients[1], 1e-12)


@many
@given(problems(), st.sampled_from([1.0, 1.5, 3.0]))
def test_every_sample_of_reinmax_has_the_gradient_of_the_reinmax_package_for_the_same_draw(
    problem: Problem, temperature: float
):
    mechanism = Variant("reinmax", {}).build(beta=BETA, temperature=temperature)
    ours = estimate(mechanism, problem)
    index = ours.selection.weights[0].argmax(-1).view(-1, 1)
    scores = problem.scores.masked_fill(problem.hidden, -torch.inf).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "multinomial", lambda probs, **_: index)
        weights, _ = reinmax.reinmax(BETA * scores, temperature)
    assert weights.equal(ours.selection.weights[0])
    (theirs,) = torch.autograd.grad(problem.loss(weights[None]).sum(), scores)
    close(ours.gradient, theirs, 1e-12)


# --- top-k ---


@many
@given(problems(), st.integers(1, 9))
def test_topk_keeps_k_positions_and_is_softmax_where_there_are_no_more(problem: Problem, k: int):
    found = estimate(Variant("topk", {"k": k}).build(beta=BETA), problem)
    there = problem.mask.sum(-1).expand_as(problem.scores[..., 0])
    assert (found.selection.probs[0] > 0).sum(-1).equal(there.clamp_max(k))
    soft = estimate(Variant("soft", {}).build(beta=BETA), problem)
    all_kept = there <= k
    close(found.selection.weights[0][all_kept], soft.selection.weights[0][all_kept], 1e-12)
    close(found.gradient[all_kept], soft.gradient[all_kept], 1e-12)


# --- sets ---


def in_any_order(members: Sequence[int], probs: Sequence[float], first: Sequence[int] = ()) -> float:
    """The chance that `members` are drawn next without replacement after `first`: a sum over all orders."""
    total = 0.0
    for order in itertools.permutations(members):
        chance, gone = 1.0, set(first)
        for member in order:
            chance *= probs[member] / sum(p for position, p in enumerate(probs) if position not in gone)
            gone.add(member)
        total += chance
    return total


def set_of(members: Sequence[int], scores: Tensor) -> Selection:
    """The selection of a set in one row."""
    mask = torch.ones(1, 1, scores.size(-1), dtype=torch.bool)
    mechanism = Variant("unordered_set", {"samples": len(members)}).build(beta=BETA)
    mechanism.selector.to(scores.dtype)
    return select(mechanism, scores.view(1, 1, -1), mask, torch.tensor(members).view(-1, 1, 1))


def without(members: Sequence[int], *gone: int) -> list[int]:
    return [member for member in members if member not in gone]


@st.composite
def sets(draw: st.DrawFn, size: int) -> tuple[list[int], Tensor]:
    """`size` members and the scores of a row which they leave some of, or nothing."""
    total = draw(st.integers(size, 7))
    scores = torch.tensor(
        draw(st.lists(st.floats(-6, 6), min_size=total, max_size=total)), dtype=torch.float64
    )
    return draw(st.permutations(range(total)))[:size], scores


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@settings(few, max_examples=10)
@given(st.data())
def test_the_probability_of_a_set_is_the_sum_over_all_orders(size: int, data: st.DataObject):
    members, scores = data.draw(sets(size))
    probs = torch.softmax(BETA * scores, -1).tolist()
    weights, mass, log_prob, law_, _ = set_of(members, scores)
    found = log_completion(weights, log_prob, law_[0]).exp().flatten().tolist()
    members = weights.argmax(-1).flatten().tolist()  # in the order of the selection
    for subset, chance in enumerate(found):
        held = [member for number, member in enumerate(members) if subset >> number & 1]
        assert chance == pytest.approx(in_any_order(without(members, *held), probs, held), rel=1e-12)
    whole = in_any_order(members, probs)
    expected = [probs[s] * in_any_order(without(members, s), probs, [s]) / whole for s in members]
    assert mass.flatten().tolist() == pytest.approx(expected, rel=1e-12) and sum(expected) == pytest.approx(
        1, abs=1e-12
    )


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@settings(few, max_examples=10)
@given(st.data())
def test_the_baseline_of_a_member_weighs_the_set_by_shares_of_one(size: int, data: st.DataObject):
    """p(s') P(the rest | s, s' are drawn) / P(the rest and s' | s is drawn), from the sum over all orders."""
    members, scores = data.draw(sets(size))
    probs = torch.softmax(BETA * scores, -1).tolist()
    selection = set_of(members, scores)
    members = selection.weights.argmax(-1).flatten().tolist()
    valid, state = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, 1, dtype=torch.float64)
    site = passed(selection, state).sites["attention"]
    returns = torch.eye(size, dtype=torch.float64)[..., None, None]  # one member's loss at a time
    # s s'
    shares = torch.stack([SetMean()(single, site, valid).flatten() for single in returns], 1)
    for row, s in zip(shares.tolist(), members, strict=True):
        rest = in_any_order(without(members, s), probs, [s])
        expected = [probs[o] * in_any_order(without(members, s, o), probs, [s, o]) / rest for o in members]
        assert row == pytest.approx(expected, rel=1e-11) and sum(row) == pytest.approx(1, abs=1e-12)


@few
@given(problems(), st.integers(2, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter(problem: Problem, samples: int, random: Random):
    mechanism = Variant("unordered_set", {"samples": samples}).build(beta=BETA)
    scores = problem.scores.masked_fill(problem.hidden, -torch.inf).requires_grad_()
    drawn = select(mechanism, scores, problem.mask, FREE)
    weights, mass, log_prob, *_ = drawn
    order = torch.tensor(random.sample(range(len(mass)), len(mass)))
    valid, state = torch.ones_like(mass[0], dtype=torch.bool), torch.zeros_like(scores[..., :1])
    found = []
    for selection in (
        drawn,
        drawn._replace(weights=weights[order], mass=mass[order], log_prob=log_prob[order]),
    ):
        losses = problem.loss(selection.weights)
        value = surrogate_of(mechanism, losses, selection, valid, state).loss
        found.append(torch.autograd.grad(value.sum(), scores, retain_graph=True)[0])
        found.append(log_completion(selection.weights, selection.log_prob, selection.probs[0])[0].exp())
    close(found[2], found[0], 1e-12)
    close(found[3], found[1], 1e-12)


@settings(few, max_examples=10)
@given(st.lists(st.floats(19, 24), min_size=4, max_size=4), st.integers(2, 4))
def test_what_a_set_leaves_may_be_tiny_in_float32(gaps: list[float], size: int):
    """The chance outside the first member is near 1e-9, which 1 - p would round to 0 or to 6e-8."""
    scores = torch.tensor([0.0, *(-gap / BETA for gap in gaps)], dtype=torch.float32)
    probs = torch.softmax(BETA * scores.double(), -1).tolist()
    assert sum(probs[1:]) < 2.5e-8 and 1 - torch.tensor(probs[0], dtype=torch.float32) == 0
    for members in itertools.combinations(range(5), size):
        weights, mass, log_prob, law_, _ = set_of(members, scores)
        assert mass.dtype == torch.float32
        members = weights.argmax(-1).flatten().tolist()
        whole = in_any_order(members, probs)
        expected = [probs[s] * in_any_order(without(members, s), probs, [s]) / whole for s in members]
        assert log_completion(weights, log_prob, law_[0])[0].exp().item() == pytest.approx(whole, rel=1e-4)
        assert mass.flatten().tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["unordered_set", "sum_and_sample"])
@many
@given(problems(), st.integers(0, 6), st.integers(0, 99))
def test_samples_enough_for_all_positions_give_the_exact_gradient_in_every_draw(
    name: str, problem: Problem, more: int, seed: int
):
    there = problem.mask.sum(-1)
    samples = max(2, min(int(there.max()) + more, 8))
    found = estimate(Variant(name, {"samples": samples}).build(beta=BETA), problem, seed=seed)
    scores = problem.scores.clone().requires_grad_()
    value = objective("expected", problem.loss, softmax(scores, problem.mask, BETA))
    weights, mass, *_ = found.selection
    close((mass * problem.loss(weights)).sum(0), value)
    close(found.gradient, torch.autograd.grad(value.sum(), scores)[0])


@pytest.mark.parametrize("name", ["unordered_set", "sum_and_sample"])
def test_members_that_a_short_source_does_not_have_are_absent(name: str):
    mask = torch.tensor(
        [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool
    )[:, None]
    scores = torch.linspace(-1, 1, 20, dtype=torch.float64).sin().view(4, 1, 5)
    mechanism = Variant(name, {"samples": 4}).build(beta=BETA)
    weights, mass, log_prob, *_ = select(mechanism, scores, mask, FREE)
    present = mass > 0  # K B T
    assert present.sum(0).flatten().tolist() == [4, 3, 2, 1]
    # different ones, and none that is masked
    assert ((weights * present[..., None]).sum(0) <= mask.double()).all()
    assert (log_prob < 0).flatten(1)[:, :3].equal(present.flatten(1)[:, :3]) and (
        log_prob[~present] == 0
    ).all()
    # what is absent reads what is there
    assert ((weights == 1).sum(-1) == 1).all() and (weights * ~mask == 0).all()


@pytest.mark.parametrize(
    "name", ["unordered_set", "sum_and_sample", "sparsemax_expected", "entmax15_expected", "hard_exact"]
)
def test_a_loss_that_is_infinite_where_nothing_can_be_chosen_leaves_the_gradient_finite(name: str):
    """-log of what is read, at masked positions and off the support; no weights at all would read 0."""
    scores = torch.tensor([0.0, -torch.inf, 1.0, -9.0], dtype=torch.float64)
    chances = torch.tensor([0.2, 0.0, 0.5, 0.3], dtype=torch.float64)
    off_support = name.startswith(("sparsemax", "entmax"))
    chances[3] = 0.0 if off_support else 0.3

    def loss(weights: Tensor) -> Tensor:
        return -(weights @ chances).log()

    found, exact = (
        sample_gradients([f"attention={name}"], scores, loss, 3000),
        exact_gradient(scores, loss, "expected", [f"attention={name}"]),
    )
    assert found.isfinite().all()
    assert (found.mean(0) - exact).norm() <= 5 * (found.var(0).sum() / len(found)).sqrt() + 1e-12


@many
@given(problems(), st.integers(2, 6), st.integers(0, 99))
def test_what_sum_and_sample_draws_is_never_among_the_most_probable_that_it_sums(
    problem: Problem, samples: int, seed: int
):
    found = estimate(
        Variant("sum_and_sample", {"samples": samples}).build(beta=BETA), problem, seed=seed
    ).selection
    probs = softmax(problem.scores, problem.mask, BETA)
    # the last one left need not be summed, it is sure to be drawn
    most = min(samples, problem.scores.size(-1)) - 1
    present = (found.mass > 0)[..., None]
    summed, drawn = (found.weights * present)[:-1].sum(0), (found.weights * present)[-1]
    assert (summed.sum(-1) == problem.mask.sum(-1).clamp_max(most)).all() and (summed <= 1).all()
    least = torch.where(summed > 0, probs, torch.inf).amin(-1, keepdim=True)
    assert ((probs <= least) | (summed > 0)).all()
    left = (probs * (1 - summed)).sum(-1)
    assert ((summed * drawn).sum(-1)[left > 0] == 0).all() and (drawn.sum(-1)[left > 0] == 1).all()
    close(found.mass[:-1], (found.weights * present * probs)[:-1].sum(-1), 1e-12)
    close(found.mass[-1], left, 1e-12)


# --- vmap ---


@pytest.mark.parametrize("name", DETERMINISTIC)
@few
@given(problems(ties=True))
def test_vmap_over_a_leading_axis_gives_what_a_loop_gives(name: str, problem: Problem):
    selector = MECHANISMS[name].selector
    scores = problem.scores.masked_fill(problem.hidden, -torch.inf)
    stacked = [torch.stack((x, x.flip(-1), x.roll(1, -1))) for x in (scores, problem.mask, problem.gold)]

    def choose(scores: Tensor, mask: Tensor, gold: Tensor) -> Selection:
        return selector(asked(scores, mask, gold), Randomness(torch.Generator()))

    mapped = torch.func.vmap(choose)(*stacked)
    assert isinstance(mapped, Selection)
    for found, expected in zip(mapped, zip(*map(choose, *stacked), strict=True), strict=True):
        close(found, torch.stack(expected), 1e-14)


def test_all_kinds_of_mechanism_take_part():
    assert {"soft", "sparsemax", "entmax15", "topk", "hard_exact", *CONTROLS} <= set(DETERMINISTIC)
    assert set(CONTINUOUS) <= {variant.name for variant in VARIANTS.values()}
    assert {"rebar", "reinmax", "unordered_set-samples=3", "hard_reinforce-baseline=none-samples=2"} <= set(
        LINEAR
    )
    assert {variant.name for name, variant in VARIANTS.items() if name not in LINEAR} == {
        "hard_chain",
        "hard_marginal",
        "hard_reinforce",
        "vimco",
    }
