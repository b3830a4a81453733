"""Bias and variance of gradients on the weights of a model as they are: every mechanism on the same batch and
the same parameters, against the exact gradient.

Exact, by enumeration in double precision, where a model has one choice a step that changes nothing later;
elsewhere the gradient of the expected loss is a mean of many REINFORCE estimates, whose error is stated.
"""

import copy
import math
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.building import steps_alone
from attnlab.core.baselines.leave_one_out import LeaveOneOut
from attnlab.core.choosing import choosing
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Marginal, Pathwise, Reinforce
from attnlab.core.interfaces import AttentionInput, Estimator, Mechanism, Selection, Selector
from attnlab.core.selectors import Draws, Enumeration, Mixture
from attnlab.microscope.bounds import Bound
from attnlab.microscope.moments import Moments, Products, moments, products, together
from attnlab.models.model import Model, token_losses
from attnlab.randomness import Randomness, generator_for
from attnlab.tasks.batch import PAD, Batch

Gradients = dict[str, Float[Tensor, " D"]]
"""At the scores, and at the parameters of each part of the model, by name."""
SCORES, WEIGHTS = "scores", "weights"
"""Places: the scores, and all parameters together."""


class Reference(NamedTuple):
    """A gradient to hold estimates against."""

    mean: Gradients
    error: dict[str, float]  # squared standard error; 0 where it is exact


class Found(NamedTuple):
    """A mechanism on the weights of a model."""

    own: dict[str, Moments]  # by place, against its own objective
    expected: dict[str, Moments]  # against the expected loss
    cost: int  # evaluations of the loss for one estimate
    milliseconds: float  # of one estimate
    exact: bool  # whether what it is held against is


class Probe:
    """A copy of a model in double precision, without dropout, and the batch on which gradients are taken."""

    def __init__(self, model: Model, batch: Batch):
        self.model = copy.deepcopy(model).double().eval()
        self.batch = batch
        self.alone = steps_alone(model)

    def gradients(
        self, selector: Selector, estimator: Estimator, randomness: Randomness
    ) -> tuple[Gradients, int]:
        """The gradient of the surrogate, a valid token, at every place; and the alternatives that it took."""
        scores: list[Tensor] = []
        batch, model = self.batch, self.model
        choose = choosing(selector, randomness, model.sites, batch.gold, selector.informed(*batch[:2]))

        def noted(site: str, inputs: AttentionInput) -> Selection:
            scores.append(inputs.scores)
            return choose(site, inputs)

        with torch.enable_grad():
            taken = model(batch, noted, randomness)
            losses, valid = token_losses(taken.logits, batch.target), batch.target != PAD
            surrogate = estimator(losses, taken, valid).loss.sum() / valid.sum()
        # where choices reach on, later scores differ between alternatives, and no two estimates have the same
        places = {SCORES: scores} if self.alone else {}
        places |= {name: list(part.parameters()) for name, part in model.named_children()}
        leaves = [leaf for part in places.values() for leaf in part]
        found = iter(torch.autograd.grad(surrogate, leaves, allow_unused=True, materialize_grads=True))
        none = losses.new_zeros(0)
        each = {
            name: torch.cat([none, *(next(found).flatten() for _ in part)]) for name, part in places.items()
        }
        return each, len(losses)

    def reference(self, mechanism: Mechanism, draws: int, seed: int) -> Reference | None:
        """The gradient of a mechanism's own objective; None where the model allows no such thing."""
        distribution, facts = mechanism.distribution, mechanism.facts
        nothing = Randomness(None)
        if not distribution.apart:  # a chain, which goes through every path itself
            return _exact(self.gradients(mechanism.selector, mechanism.estimator, nothing)[0])
        if facts.objective == "soft":
            return _exact(self.gradients(Mixture(distribution), Pathwise(), nothing)[0])
        if self.alone:
            estimator = Pathwise() if facts.objective == "expected" or facts.bound == 1 else Marginal()
            estimator = Bound(facts.bound) if facts.bound > 1 else estimator
            return _exact(self.gradients(Enumeration(distribution), estimator, nothing)[0])
        if facts.objective == "marginal" and facts.bound != 1:
            return None
        estimator = Reinforce(LeaveOneOut)
        estimator.prepare(self.model.sites)
        selector = Draws(distribution, _TOGETHER)
        every = [
            self.gradients(selector, estimator.double(), _drawn(seed, "reference", number))[0]
            for number in range(draws)
        ]
        stacked = {name: torch.stack([one[name] for one in every]) for name in every[0]}
        errors = {name: (rows.var(0).sum() / draws).item() for name, rows in stacked.items()}
        return Reference({name: rows.mean(0) for name, rows in stacked.items()}, errors)

    def measure(self, mechanism: Mechanism, draws: int, seed: int, expected: Reference) -> Found | None:
        """`draws` estimates of a mechanism; two where nothing in it is random."""
        own = expected if _same(mechanism) else self.reference(mechanism, draws, seed)
        if own is None:
            return None
        rows: list[Gradients] = []
        cost, started = 0, time.perf_counter()
        while len(rows) < draws:
            randomness = _drawn(seed, "draws", len(rows))
            one, cost = self.gradients(mechanism.selector, mechanism.estimator, randomness)
            rows.append(one)
            if len(rows) == 2 and all(one[name].equal(rows[0][name]) for name in one):
                break
        milliseconds = (time.perf_counter() - started) / len(rows) * 1000
        stacked = {name: torch.stack([one[name] for one in rows]) for name in rows[0]}
        among = {name: estimates @ estimates.T for name, estimates in stacked.items()}
        ours, theirs = (
            _moments(
                {
                    name: products(stacked[name], held.mean[name], held.error[name], among[name])
                    for name in stacked
                }
            )
            for held in (own, expected)
        )
        return Found(ours, theirs, cost, milliseconds, not any(own.error.values()))


def _moments(places: Mapping[str, Products]) -> dict[str, Moments]:
    """At every place, and at all parameters together."""
    weights = together(part for name, part in places.items() if name != SCORES)
    return {name: moments(part) for name, part in places.items()} | {WEIGHTS: moments(weights)}


_TOGETHER = 4
"""Rollouts of an estimate of the reference."""


def _drawn(seed: int, *purpose: str | int) -> Randomness:
    return Randomness(generator_for(seed, "probe", *purpose))


def _exact(mean: Gradients) -> Reference:
    return Reference(mean, dict.fromkeys(mean, 0.0))


def _same(mechanism: Mechanism) -> bool:
    """Whether its objective is the loss expected under softmax(scores) itself."""
    facts, distribution = mechanism.facts, mechanism.distribution
    plain = type(distribution) is Softmax and float(distribution.beta()) == 1
    return plain and (facts.objective == "expected" or facts.bound == 1)


def expected_under(mechanism: Mechanism) -> Mechanism:
    """The expected loss under a mechanism's distribution, as a mechanism without an estimator of its own."""
    return mechanism._replace(facts=mechanism.facts.model_copy(update={"objective": "expected", "bound": 0}))


def survey(
    probe: Probe, mechanisms: Mapping[str, Mechanism], draws: int, seed: int
) -> Iterator[tuple[str, Found]]:
    """Each mechanism by its name, as it is measured; those that the model does not allow, and those that look
    at no scores, are left out."""
    some = next(iter(mechanisms.values()))
    plain = expected_under(some._replace(distribution=Softmax(1.0).double()))
    expected = probe.reference(plain, 4 * draws, seed)
    assert expected is not None
    for name, mechanism in mechanisms.items():
        allowed = probe.alone or (mechanism.selector.anywhere and mechanism.estimator.anywhere)
        found = probe.measure(mechanism, draws, seed, expected) if allowed else None
        if found and not math.isnan(found.own[SCORES if probe.alone else WEIGHTS].relative_bias):
            yield name, found
