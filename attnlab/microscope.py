"""Gradient estimates of any mechanism for any loss, and the exact gradient to hold them against.

A loss takes weights (K, N, S), K alternatives in N rows over S positions, to one number each, (K, N). Rows are independent.
"""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.base import AttentionInput, Mechanism, Objective
from attnlab.building import make
from attnlab.config import compose
from attnlab.randomness import drawing, generator_for
from attnlab.schedules import move_all

Loss = Callable[[Tensor], Tensor]
"""Weights (K, N, S) -> losses (K, N)."""

ROWS = 2**17  # estimates made at once


def mechanism_of(overrides: Sequence[str], dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> Mechanism:
    """The mechanism that overrides such as `["attention=hard_reinforce", "attention.samples=2"]` describe, before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mechanism: Mechanism = make(settings(*overrides))
        mechanism.estimator.prepare(1)
    for part in (mechanism.selector, mechanism.estimator):
        part.to(device, dtype)
        move_all(part, 0)  # not rounded to float32 on the way
    return mechanism


@functools.cache
def settings(*overrides: str) -> dict[str, Any]:
    """The settings of attention that overrides describe; composed once, which takes longer than making the mechanism."""
    return compose(list(overrides)).tree["attention"]


def sample_gradients(
    overrides: Sequence[str], scores: Float[Tensor, "S"], loss: Loss, draws: int, seed: int = 0
) -> Float[Tensor, "draws S"]:
    """`draws` independent estimates of the gradient in the scores, by the mechanism that overrides describe.

    -inf marks a position that is not there. Works in the dtype of the scores, on their device; the same seed gives the same
    estimates. Raises ConfigurationError for overrides that cannot be, ValueError for a loss without the gradient that the
    mechanism needs.
    """
    mechanism = mechanism_of(overrides, scores.dtype, scores.device)
    starts = range(0, draws, ROWS)
    parts = [_estimates(mechanism, scores, loss, min(ROWS, draws - start), seed, start) for start in starts]
    return torch.cat([scores.new_empty(0, len(scores)), *parts])


def _estimates(mechanism: Mechanism, scores: Tensor, loss: Loss, rows: int, seed: int, start: int) -> Tensor:
    leaf = scores.detach().expand(rows, 1, -1).clone().requires_grad_()
    mask = leaf.detach() > -torch.inf
    inputs = AttentionInput(leaf, mask, torch.zeros_like(mask))
    randomness = drawing(generator_for(seed, "microscope", start, device=scores.device))
    selection = mechanism.selector(inputs, randomness, mechanism.estimator.controls)
    weights = selection.weights.expand(-1, rows, 1, -1).squeeze(2)
    losses = loss(weights)
    _check(losses, weights, mechanism)
    valid = torch.ones_like(mask[..., 0])
    state = torch.zeros_like(leaf[..., :1])
    surrogate = mechanism.estimator(losses[..., None], losses[..., None].detach(), selection, valid, state).loss
    if not surrogate.requires_grad:  # a control, which the scores do not enter
        return torch.zeros_like(leaf[:, 0])
    (gradient,) = torch.autograd.grad(surrogate.sum(), leaf, allow_unused=True, materialize_grads=True)
    return gradient[:, 0]


def _check(losses: Tensor, weights: Tensor, mechanism: Mechanism) -> None:
    if losses.shape != weights.shape[:2]:
        raise ValueError(
            f"a loss takes weights (K, N, S) to losses (K, N); for weights {tuple(weights.shape)} it gave {tuple(losses.shape)}"
        )
    if mechanism.needs != "value" and weights.requires_grad and not losses.requires_grad:
        raise ValueError(
            f"this mechanism needs the gradient of the loss in the weights (needs: {mechanism.needs}), and the loss has none; "
            "hard_reinforce, sum_and_sample, unordered_set, vimco and the enumerated mechanisms need its values alone"
        )


def exact_gradient(
    scores: Float[Tensor, "S"], loss: Loss, objective: Objective = "expected", overrides: Sequence[str] = ()
) -> Float[Tensor, "S"]:
    """The gradient in the scores, by enumeration, of what a mechanism estimates.

    soft: loss(p).  expected: sum_s p_s loss(e_s).  marginal: -log sum_s p_s exp(-loss(e_s)). Here p = softmax(scores); with
    `overrides`, p and the objective are those of that mechanism (of `vimco`, its own bound).
    """
    leaf = scores.detach().clone().requires_grad_()
    if overrides:
        mechanism = mechanism_of(overrides, scores.dtype, scores.device)
        mask = (scores > -torch.inf)[None, None]
        inputs = AttentionInput(leaf[None, None], mask, torch.zeros_like(mask))
        probs = mechanism.distribution(inputs).probs[0, 0]
        value = objective_value(probs, loss, mechanism.objective, mechanism.bound)
    else:
        value = objective_value(torch.softmax(leaf, 0), loss, objective)
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    return torch.autograd.grad(value, leaf, allow_unused=True, materialize_grads=True)[0]


def objective_value(probs: Float[Tensor, "S"], loss: Loss, objective: Objective, bound: int = 0) -> Float[Tensor, ""]:
    """The objective at a distribution; with `bound` > 0, -E log mean_k exp(-loss(z_k)) of so many draws from it."""
    if objective == "soft":
        return loss(probs[None, None])[0, 0]
    each = loss(torch.eye(len(probs), dtype=probs.dtype, device=probs.device)[:, None])[:, 0]  # S
    there = probs.detach() > 0
    probs, each = probs[there], each[there]
    if objective == "expected":
        return (probs * each).sum()
    return _bound(probs, each, bound) if bound else -torch.logsumexp(probs.log() - each, 0)


def _bound(probs: Tensor, each: Tensor, draws: int) -> Tensor:
    """Over every multiset of draws, each with the number of orders it can come in."""
    total = probs.new_zeros(())
    for drawn in itertools.combinations_with_replacement(range(len(probs)), draws):
        orders = math.factorial(draws) // math.prod(math.factorial(times) for times in Counter(drawn).values())
        index = torch.tensor(drawn, device=probs.device)
        total = total + orders * probs[index].prod() * (math.log(draws) - torch.logsumexp(-each[index], 0))
    return total
