"""Gradient estimates of any mechanism for any loss, and the exact gradient to hold them against.

A loss takes weights (K, N, S), K alternatives in N rows over S positions, to one number each, (K, N). Rows
are independent.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab import functional
from attnlab.building import make_part
from attnlab.config.single import chosen
from attnlab.core.interfaces import AttentionInput, Mechanism, Pass, Placement, Reach, Site
from attnlab.core.schedules import move_all
from attnlab.facts import Needs, Objective
from attnlab.microscope import bounds
from attnlab.randomness import Randomness, generator_for

Loss = Callable[[Tensor], Tensor]
"""Weights (K, N, S) -> losses (K, N)."""

ROWS = 2**14  # estimates made at once
_SITES = {"attention": Placement(query_size=1)}


def mechanism_of(
    overrides: Sequence[str], dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Mechanism:
    """The mechanism that overrides such as `["attention=hard_reinforce", "attention.samples=2"]` describe,
    before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mechanism: Mechanism = make_part("attention", settings(*overrides))
        mechanism.estimator.prepare(_SITES)
    for part in (mechanism.distribution, mechanism.selector, mechanism.estimator):
        part.to(device, dtype)
        move_all(part, 0)  # not rounded to float32 on the way
    return mechanism


@functools.cache
def settings(*overrides: str) -> dict[str, Any]:
    """The settings of attention that overrides describe."""
    return chosen("attention", overrides)


@torch.enable_grad()
def sample_gradients(
    overrides: Sequence[str], scores: Float[Tensor, "S"], loss: Loss, draws: int, seed: int = 0
) -> Float[Tensor, "draws S"]:
    """`draws` independent estimates of the gradient in the scores, by the mechanism that overrides describe.

    -inf marks a position that is not there. Works in the dtype of the scores, on their device; the same seed
    gives the same estimates. Raises ConfigurationError for overrides that cannot be, ValueError for a loss
    without the gradient that the mechanism needs.
    """
    _check_scores(scores)
    mechanism = mechanism_of(overrides, scores.dtype, scores.device)
    starts = range(0, draws, ROWS)
    parts = [_estimates(mechanism, scores, loss, min(ROWS, draws - start), seed, start) for start in starts]
    return torch.cat([scores.new_empty(0, len(scores)), *parts])


def _estimates(mechanism: Mechanism, scores: Tensor, loss: Loss, rows: int, seed: int, start: int) -> Tensor:
    leaf = scores.detach().expand(1, rows, 1, -1).clone().requires_grad_()
    randomness = Randomness(generator_for(seed, "microscope", start, device=scores.device))

    def each(weights: Tensor) -> Tensor:  # a copy: a loss may work in place
        return _losses(loss, weights.squeeze(2).clone(), mechanism.facts.needs)[..., None]

    surrogate, _ = surrogate_at(mechanism, leaf, each, randomness)
    if not surrogate.requires_grad:  # a control, which the scores do not enter
        return torch.zeros_like(leaf[0, :, 0])
    (gradient,) = torch.autograd.grad(surrogate.sum(), leaf, allow_unused=True, materialize_grads=True)
    return gradient[0, :, 0]


def surrogate_at(
    mechanism: Mechanism,
    scores: Float[Tensor, "1 B T S"],
    loss: Loss,
    randomness: Randomness,
    valid: Bool[Tensor, "B T"] | None = None,
    reach: Reach = "step",
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "K B T"]]:
    """What a mechanism minimises at scores, for a loss of weights K B T S -> K B T, and those losses; all
    steps are valid, and a choice reaches its own alone, unless said."""
    mask = scores.detach() > -torch.inf
    step = torch.arange(scores.size(2), device=scores.device)
    selection = mechanism.selector(AttentionInput(scores, mask, torch.zeros_like(mask), step), randomness)
    losses = loss(selection.weights.expand(-1, *scores.shape[1:]))
    counts = torch.ones_like(mask[0, ..., 0]) if valid is None else valid
    site = Site(selection, torch.zeros_like(scores[..., :1]), reach, counts)
    taken = Pass(losses[..., None], {"attention": site})
    return mechanism.estimator(losses, taken, counts).loss, losses


def _losses(loss: Loss, weights: Tensor, needs: Needs) -> Tensor:
    """The losses of weights, in their dtype. Raises ValueError for another shape, and without a gradient that
    is needed."""
    losses = loss(weights)
    if losses.shape != weights.shape[:2]:
        raise ValueError(
            f"a loss takes weights (K, N, S) to losses (K, N); for weights {tuple(weights.shape)} it "
            f"gave {tuple(losses.shape)}"
        )
    if needs != "value" and weights.requires_grad and not losses.requires_grad:
        raise ValueError(
            f"the gradient of the loss in the weights is needed (needs: {needs}), and this loss has "
            "none; hard_reinforce, "
            "sum_and_sample, unordered_set, vimco and the enumerated mechanisms need its values alone"
        )
    return losses.to(weights.dtype)


def _first(like: Tensor) -> Tensor:
    """The first target step, on the device of the scores."""
    return torch.zeros(1, dtype=torch.int64, device=like.device)


def _check_scores(scores: Tensor) -> None:
    if scores.ndim != 1 or not scores.is_floating_point():
        raise ValueError(
            f"scores must be one row (S,) of real numbers, got {tuple(scores.shape)} of {scores.dtype}"
        )


@torch.enable_grad()
def exact_gradient(
    scores: Float[Tensor, "S"], loss: Loss, objective: Objective = "expected", overrides: Sequence[str] = ()
) -> Float[Tensor, "S"]:
    """The gradient in the scores, by enumeration, of what a mechanism estimates.

    soft: loss(p).  expected: sum_s p_s loss(e_s).  marginal: -log sum_s p_s exp(-loss(e_s)). Here p =
    softmax(scores); with `overrides`, p and the objective are those of that mechanism (of `vimco`, its own
    bound).
    """
    _check_scores(scores)
    leaf = scores.detach().clone().requires_grad_()
    if overrides:
        mechanism = mechanism_of(overrides, scores.dtype, scores.device)
        mask = (scores > -torch.inf)[None, None, None]
        inputs = AttentionInput(leaf[None, None, None], mask, torch.zeros_like(mask), _first(leaf))
        facts, (weights, probs) = mechanism.facts, mechanism.distribution.mixed(inputs)
        law = (weights if facts.objective == "soft" else probs)[0, 0, 0]
        value = objective_value(law, loss, facts.objective, facts.bound)
    else:
        value = objective_value(functional.softmax(leaf), loss, objective)
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    return torch.autograd.grad(value, leaf, allow_unused=True, materialize_grads=True)[0]


def objective_value(
    probs: Float[Tensor, "S"], loss: Loss, objective: Objective, bound: int = 0
) -> Float[Tensor, ""]:
    """The objective at a distribution; with `bound` > 0, -E log mean_k exp(-loss(z_k)) of so many draws from
    it.

    Raises ValueError for an objective that does not exist, and for a bound of more terms than can be added
    up.
    """
    if objective == "soft":
        return _losses(loss, probs[None, None], "mixture")[0, 0]
    each = torch.eye(len(probs), dtype=probs.dtype, device=probs.device)[:, None]  # S 1 S
    losses = _losses(loss, each, "value")[:, 0]
    there = probs.detach() > 0
    probs, losses = probs[there], losses[there]
    if objective == "expected":
        return (probs * losses).sum()
    if objective == "marginal":
        return (
            bounds.bound(probs.log(), losses, bound) if bound else -torch.logsumexp(probs.log() - losses, 0)
        )
    raise ValueError(f"objective must be soft, expected or marginal, got {objective!r}")
