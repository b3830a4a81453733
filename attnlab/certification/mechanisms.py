"""Mechanisms of attnlab as subjects: every position forced, in all rows and steps of a batch at once; or
every path of positions, where steps hang together."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.certification import estimands
from attnlab.certification.outcomes import Choices, ForcedRandomness
from attnlab.certification.paths import along, influence, law_of, paid, paths_of
from attnlab.certification.problems import Rows, loss_of, row_problem
from attnlab.certification.subject import Estimate, Subject, Truth
from attnlab.core.interfaces import AttentionInput, Mechanism, Reach
from attnlab.microscope.gradients import (
    mechanism_of,
    objective_value,
    sample_gradients,
    surrogate_at,
)
from attnlab.randomness import generator_for


def subject_of(overrides: Sequence[str], name: str, seed: int, reach: Reach = "step") -> Subject:
    """The mechanism that overrides describe, on rows of several steps. Where a choice may change the losses
    of other steps too, or depends on the step before, every path of choices is met.

    Raises ValueError for a mechanism whose choices can reach their own step alone.
    """
    mechanism = mechanism_of(overrides)
    facts, apart = mechanism.facts, mechanism.distribution.apart
    if reach != "step" and not (mechanism.selector.anywhere and mechanism.estimator.anywhere):
        raise ValueError(
            f"{name} tries positions step by step, so its choices reach their own step, got {reach}"
        )
    if not apart:
        _move(mechanism.distribution, seed)
    hang = reach != "step" or not apart
    steps, positions = (3, 4) if not apart else (2, 3) if hang else (2, 5)
    problem = row_problem(seed, steps, positions)

    def estimate(problem: Rows, choices: Choices) -> Estimate:
        return _estimate(mechanism, problem, ForcedRandomness(choices, steps if hang else 0), reach)

    def truth(problem: Rows, objective: str) -> Truth:
        return _truth(mechanism, problem, objective, reach, hang)

    def companions(problem: Rows) -> Rows:
        other = row_problem(seed + 1, steps, positions)
        scores, values = (
            torch.cat([x[:1], y[1:]])
            for x, y in ((problem.scores, other.scores), (problem.values, 2 * other.values))
        )
        return problem._replace(scores=scores, values=values)

    def redrawn(row: int, draws: int, seed: int) -> tuple[Tensor, float]:
        scores, values = problem.scores.flatten(0, 1)[row], problem.values.flatten(0, 1)[row]
        cost = 0

        def counted(weights: Tensor) -> Tensor:
            nonlocal cost
            cost = len(weights)
            return loss_of(weights, values)

        return sample_gradients(overrides, scores, counted, draws, seed), float(cost)

    words = dict(estimands.PATH_WORDS if hang else estimands.MECHANISM_WORDS)
    if facts.bound:
        words[facts.objective] += f", bound of {facts.bound} draws"
    return Subject(
        name,
        "mechanism of attnlab",
        words,
        facts.objective,
        [problem],
        estimate,
        truth,
        lambda problem, factor: [problem._replace(scores=problem.scores * factor)],
        companions,
        None if hang else redrawn,
        rows=() if hang else tuple(range(0, problem.valid.numel(), problem.valid.size(1))),
    )


def _move(distribution: torch.nn.Module, seed: int) -> None:
    """Parameters away from their start, where the steps of a chain do not depend on each other."""
    generator = generator_for(seed, "certification of chains")
    for parameter in distribution.parameters():
        torch.nn.init.normal_(parameter, generator=generator)


def _estimate(mechanism: Mechanism, problem: Rows, randomness: ForcedRandomness, reach: Reach) -> Estimate:
    scores = problem.scores[None].clone().requires_grad_()
    values = problem.values.clone().requires_grad_()
    fresh = mechanism._replace(estimator=copy.deepcopy(mechanism.estimator))
    reached = influence(problem.valid, reach)
    surrogate, losses = surrogate_at(
        fresh, scores, lambda weights: paid(weights, values, reached), randomness, problem.valid, reach
    )
    slope, behind = torch.autograd.grad(
        surrogate.sum(), (scores, values), allow_unused=True, materialize_grads=True
    )
    return Estimate(
        slope[0].flatten(0, 1), behind.flatten(0, 1), losses.detach().mean(0).flatten(), float(len(losses))
    )


def _truth(mechanism: Mechanism, problem: Rows, objective: str, reach: Reach, hang: bool) -> Truth:
    scores = problem.scores.clone().requires_grad_()
    values = problem.values.clone().requires_grad_()
    bound = mechanism.facts.bound if objective == mechanism.facts.objective else 0
    leaves = problem._replace(scores=scores, values=values)
    value = (
        _over_paths(mechanism, leaves, objective, reach, bound)
        if hang
        else _step_by_step(mechanism, leaves, objective, bound)
    )
    slope, behind = torch.autograd.grad(value, (scores, values), allow_unused=True, materialize_grads=True)
    return Truth(slope.flatten(0, 1), behind.flatten(0, 1))


def _asked(scores: Tensor) -> AttentionInput:
    """What a distribution is asked with, scores (B T S)."""
    mask = scores.detach() > -torch.inf
    return AttentionInput(
        scores[None], mask[None], torch.zeros_like(mask)[None], torch.arange(scores.size(1))
    )


def _step_by_step(mechanism: Mechanism, problem: Rows, objective: str, bound: int) -> Tensor:
    """The objective of every step that is no padding, added up."""
    weights, probs = mechanism.distribution.mixed(_asked(problem.scores))
    law = (weights if objective == "soft" else probs)[0].expand_as(problem.scores)
    total = torch.zeros((), dtype=law.dtype)
    for b, t in problem.valid.nonzero().tolist():
        row = problem.values[b, t]
        total = total + objective_value(
            law[b, t],
            lambda weights, row=row: loss_of(weights, row),
            objective,  # pyright: ignore[reportArgumentType]
            bound,
        )
    return total


def _over_paths(mechanism: Mechanism, problem: Rows, objective: str, reach: Reach, bound: int) -> Tensor:
    """The objective of all steps of a row together, over every path of their choices; a bound of one draw is
    the expected loss."""
    steps, positions = int(problem.valid[0].sum()), problem.scores.size(-1)
    asked, values = _asked(problem.scores[:, :steps]), problem.values[:, :steps]
    reached = influence(problem.valid, reach)[:steps, :steps]
    if objective == "soft":
        weights, _ = mechanism.distribution.mixed(asked)
        return paid(weights.expand(-1, *asked.scores.shape[1:]), values, reached).sum()
    each = torch.nn.functional.one_hot(paths_of(steps, positions), positions).to(values)  # P T S
    losses = paid(each[:, None].expand(-1, len(values), -1, -1), values, reached)
    return along(law_of(mechanism, asked), losses, "expected" if bound == 1 else objective)
