"""Mechanisms of attnlab as subjects: every position forced, in all rows and steps of a batch at once."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.certification import estimands
from attnlab.certification.outcomes import Choices, ForcedRandomness
from attnlab.certification.problems import Rows, loss_of, row_problem
from attnlab.certification.subject import Estimate, Subject, Truth
from attnlab.core.interfaces import AttentionInput, Mechanism
from attnlab.microscope.gradients import (
    mechanism_of,
    objective_value,
    sample_gradients,
    surrogate_at,
)


def subject_of(overrides: Sequence[str], name: str, seed: int) -> Subject:
    """The mechanism that overrides describe. Chains are met one step at a time: what a step chooses first."""
    mechanism = mechanism_of(overrides)
    apart = mechanism.distribution.apart
    problem = row_problem(seed, steps=2 if apart else 1)

    def estimate(problem: Rows, choices: Choices) -> Estimate:
        return _estimate(mechanism, problem, choices)

    def truth(problem: Rows, objective: str) -> Truth:
        return _truth(mechanism, problem, objective)

    def companions(problem: Rows) -> Rows:
        other = row_problem(seed + 1, problem.valid.size(1) - 1)
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

    facts = mechanism.facts
    bound = f", bound of {facts.bound} draws" if facts.bound else ""
    words = {
        **estimands.MECHANISM_WORDS,
        facts.objective: estimands.MECHANISM_WORDS[facts.objective] + bound,
    }
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
        redrawn,
        rows=tuple(range(0, problem.valid.numel(), problem.valid.size(1))),
    )


def _estimate(mechanism: Mechanism, problem: Rows, choices: Choices) -> Estimate:
    scores = problem.scores[None].clone().requires_grad_()
    values = problem.values.clone().requires_grad_()
    fresh = mechanism._replace(estimator=copy.deepcopy(mechanism.estimator))
    randomness = ForcedRandomness(choices)
    surrogate, losses = surrogate_at(
        fresh, scores, lambda weights: loss_of(weights, values), randomness, problem.valid
    )
    slope, behind = torch.autograd.grad(
        surrogate.sum(), (scores, values), allow_unused=True, materialize_grads=True
    )
    return Estimate(
        slope[0].flatten(0, 1), behind.flatten(0, 1), losses.detach().mean(0).flatten(), float(len(losses))
    )


def _truth(mechanism: Mechanism, problem: Rows, objective: str) -> Truth:
    scores = problem.scores.clone().requires_grad_()
    values = problem.values.clone().requires_grad_()
    mask = scores.detach() > -torch.inf
    step = torch.arange(scores.size(1))
    inputs = AttentionInput(scores[None], mask[None], torch.zeros_like(mask)[None], step)
    weights, probs = mechanism.distribution.mixed(inputs)
    law = (weights if objective == "soft" else probs)[0].expand_as(scores)
    bound = mechanism.facts.bound if objective == mechanism.facts.objective else 0
    total = torch.zeros((), dtype=scores.dtype)
    for b, t in problem.valid.nonzero().tolist():
        row = values[b, t]
        total = total + objective_value(
            law[b, t],
            lambda weights, row=row: loss_of(weights, row),
            objective,  # pyright: ignore[reportArgumentType]
            bound,
        )
    slope, behind = torch.autograd.grad(total, (scores, values), allow_unused=True, materialize_grads=True)
    return Truth(slope.flatten(0, 1), behind.flatten(0, 1))
