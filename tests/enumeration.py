"""Brute force beside the tests: every mechanism on disk, every outcome of its draws, and its objective by a plain loop.

A mechanism is known by what configs/attention/ says. Its surrogate is averaged over every possible draw, without Monte
Carlo, and the objective it claims is computed from torch alone: nothing here calls the library's distributions,
selectors or estimators to find out what is right.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
import torch
import yaml
from torch import Tensor

from attnlab.base import AttentionInput, Mechanism, Randomness, Selection

CONFIGS = Path(__file__).parents[1] / "configs"

Loss = Callable[[Tensor], Tensor]
"""Weights (K, B, #T, S) -> losses (K, B, T)."""


def read(group: str, name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The factory that a yaml names, and its settings."""
    settings = yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text())
    module, factory = settings.pop("_target_").rsplit(".", 1)
    return getattr(import_module(module), factory), settings


def names(group: str) -> list[str]:
    """What a group offers, by the names of its files."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


class Variant(NamedTuple):
    """A mechanism on disk with one choice of its discrete settings."""

    name: str
    settings: dict[str, Any]

    def build(self, **overrides: Any) -> Mechanism:
        """In double precision."""
        factory, defaults = read("attention", self.name)
        mechanism: Mechanism = factory(**{**defaults, **self.settings, **overrides})
        for part in mechanism[:3]:
            part.double()
        return mechanism

    def __str__(self) -> str:
        return "-".join((self.name, *(f"{key}={value}" for key, value in self.settings.items())))


def variants(samples: Iterable[int] = (1, 2)) -> list[Variant]:
    """Every mechanism on disk with each of its baselines and numbers of samples."""
    found = []
    for name in names("attention"):
        factory, settings = read("attention", name)
        options: dict[str, Iterable[Any]] = {}
        if "baseline" in settings:
            options["baseline"] = get_args(get_type_hints(factory)["baseline"])
        if "samples" in settings:
            options["samples"] = samples
        for values in itertools.product(*options.values()):
            chosen = dict(zip(options, values, strict=True))
            if chosen.get("baseline") == "leave_one_out" and chosen["samples"] < 2:
                continue  # refused, which has a test of its own
            found.append(Variant(name, chosen))
    return found


# --- every outcome ---


def select(mechanism: Mechanism, scores: Tensor, mask: Tensor, forced: Tensor, seed: int = 0) -> Selection:
    """A selection with the controls that the estimator wants; forced (K B T, or 1 where they are alike), -1 = draw."""
    inputs = AttentionInput(scores.masked_fill(~mask, -torch.inf), mask, torch.zeros_like(mask))
    randomness = Randomness(torch.Generator().manual_seed(seed), forced)
    return mechanism.selector(inputs, randomness, mechanism.estimator.controls)


def is_random(mechanism: Mechanism) -> bool:
    """Whether anything depends on the generator when nothing is forced."""
    scores, mask = torch.zeros(1, 50, 8, dtype=torch.float64), torch.ones(1, 1, 8, dtype=torch.bool)
    one, other = (select(mechanism, scores, mask, torch.full((1, 1, 1), -1), seed) for seed in (0, 1))
    return not all(x.equal(y) for x, y in zip(one, other, strict=True))


def number_of_draws(mechanism: Mechanism) -> int:
    """How many positions a mechanism draws at a step, found by forcing. Randomness beyond reach is an error."""
    scores, mask = torch.linspace(-1, 1, 8, dtype=torch.float64).view(1, 1, 8), torch.ones(1, 1, 8, dtype=torch.bool)
    at = [select(mechanism, scores, mask, torch.full((1, 1, 1), position)) for position in (0, 1)]
    for position, selection in enumerate(at):
        for seed in range(1, 6):
            again = select(mechanism, scores, mask, torch.full((1, 1, 1), position), seed)
            if not all(x.equal(y) for x, y in zip(selection, again, strict=True)):
                raise AssertionError("forced positions leave something random: this mechanism needs an enumeration of its own")
    if at[0].weights.equal(at[1].weights):
        return 0
    return len(at[0].weights) - len(mechanism.estimator.controls)


def outcomes(mechanism: Mechanism, positions: int) -> Tensor:
    """Every possible draw, O K; a single row of -1 where nothing is drawn."""
    draws = number_of_draws(mechanism)
    return torch.tensor(list(itertools.product(range(positions), repeat=draws)) if draws else [[-1]])


def probability(outcome: Tensor, probs: Tensor) -> Tensor:
    """Of independent draws at every step: prod_k p(s_k), ... T S -> ... T, no gradient; 1 where nothing is drawn."""
    if (outcome == -1).all():
        return torch.ones_like(probs[..., 0])
    return probs[..., outcome].detach().prod(-1)


def expectation(chance: Tensor, value: Tensor) -> Tensor:
    """Sum of chance * value, where what cannot happen may be infinite."""
    return torch.where(chance > 0, chance * value, 0.0).sum()


def mean_surrogate(mechanism: Mechanism, loss: Loss, scores: Tensor, mask: Tensor, valid: Tensor, beta: float) -> Tensor:
    """The surrogate averaged over every outcome, summed over steps.

    Choices at different steps do not interact, so one position is forced at all steps and each step's surrogate is
    weighed by its own probability. The returns come with their gradient: a surrogate that lets it through is wrong.
    """
    probs = softmax(scores, mask, beta)
    state = torch.zeros(*valid.shape, 1, dtype=scores.dtype)
    total = torch.zeros((), dtype=scores.dtype)
    for outcome in outcomes(mechanism, scores.size(-1)):
        selection = select(mechanism, scores, mask, outcome.view(-1, 1, 1))
        losses = loss(selection.weights)
        surrogate = mechanism.estimator(losses, losses, selection, valid, state).loss
        total = total + expectation(probability(outcome, probs), surrogate)
    return total


# --- what is right ---


def softmax(scores: Tensor, mask: Tensor, beta: float) -> Tensor:
    return torch.softmax((beta * scores).masked_fill(~mask, -torch.inf), -1)


def one_hot(position: int, like: Tensor) -> Tensor:
    """A one-hot row for every step of `like` (B T S)."""
    return torch.nn.functional.one_hot(torch.full(like.shape[:-1], position), like.size(-1)).to(like.dtype)


def objective(kind: str, loss: Loss, probs: Tensor) -> Tensor:
    """The loss of every step that `soft`, `expected` or `marginal` names, by a loop over positions: B T."""
    if kind == "soft":
        return loss(probs[None])[0]
    positions = range(probs.size(-1))
    each = [loss(one_hot(position, probs)[None])[0] for position in positions]
    if kind == "expected":
        return torch.stack([probs[..., position] * each[position] for position in positions]).sum(0)
    if kind == "marginal":
        return -torch.stack([probs[..., position] * torch.exp(-each[position]) for position in positions]).sum(0).log()
    raise AssertionError(f"objective {kind!r} has no enumeration")


def straight_through(chance: Tensor, loss: Loss, probs: Tensor) -> Tensor:
    """The estimate that straight-through defines, averaged under `chance` (B T S): dL/dw at one-hot weights, times dp.

    What lies behind the choice gets the gradient of the loss at the one-hot weights.
    """
    total = torch.zeros_like(probs[..., 0])
    for position in range(probs.size(-1)):
        weights = one_hot(position, probs)[None].requires_grad_()
        value = loss(weights)
        (slope,) = torch.autograd.grad(value.sum(), weights, retain_graph=True)
        total = total + chance[..., position] * (loss(weights.detach()) + (slope.detach() * probs).sum(-1))[0]
    return total


def certificate(variant: Variant, mechanism: Mechanism, loss: Loss, probs: Tensor) -> Tensor:
    """A loss per step, B T, with the gradient that the mechanism's mean must have. No mechanism passes without one."""
    if mechanism.needs != "gradient":
        return objective(mechanism.objective, loss, probs)
    if variant.name == "hard_straight_through":
        return straight_through(probs.detach(), loss, probs)
    if variant.name == "argmax_straight_through":
        return straight_through(torch.nn.functional.one_hot(probs.argmax(-1), probs.size(-1)), loss, probs)
    return pytest.fail(f"{variant.name} is biased for its objective, and what its mean should be is written nowhere here")


# --- comparison ---


def gradients(value: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """The gradient of a scalar in all leaves, as one vector."""
    found = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(x) if g is None else g).flatten() for x, g in zip(leaves, found, strict=True)])


def assert_same_gradient(estimate: Tensor, exact: Tensor, tolerance: float = 1e-10) -> None:
    """Direction, length and every entry. Direction alone would not see a baseline that contains its own sample."""
    assert exact.norm() > 1e-3, "a comparison with nothing"
    cosine = torch.nn.functional.cosine_similarity(estimate, exact, 0).item()
    ratio = (estimate.norm() / exact.norm()).item()
    assert cosine == pytest.approx(1, abs=tolerance), f"cosine {cosine}, ratio of norms {ratio}"
    assert ratio == pytest.approx(1, abs=tolerance), f"cosine {cosine}, ratio of norms {ratio}"
    torch.testing.assert_close(estimate, exact, rtol=tolerance, atol=tolerance)
