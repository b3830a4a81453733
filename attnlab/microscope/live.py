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
from attnlab.core.interfaces import AttentionInput, Distribution, Estimator, Mechanism, Selection, Selector
from attnlab.core.selectors import Draws, Enumeration, Mixture
from attnlab.microscope.bounds import Bound, Seldom
from attnlab.microscope.moments import RARE, Moments, moments, products, together
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


class Sampled(NamedTuple):
    """Estimates of a gradient by one mechanism, each the mean of several."""

    at: dict[str, Float[Tensor, "n D"]]  # by place
    copies: int  # of which each is the mean
    cost: int  # evaluations of the loss for one of them
    milliseconds: float  # of one of them
    seldom: dict[str, float]  # squared length of what choices add that are hardly ever drawn, where known


class Found(NamedTuple):
    """A mechanism on the weights of a model."""

    own: dict[str, Moments]  # by place, against its own objective
    expected: dict[str, Moments]  # against the expected loss
    cost: int  # evaluations of the loss for one estimate
    milliseconds: float  # of one estimate
    exact: bool  # whether what it is held against is


class Probe:
    """A copy of a model in double precision, without dropout, and the batch on which gradients are taken; its
    scores are multiplied by beta, which makes every choice sharper or softer than the model's own."""

    def __init__(self, model: Model, batch: Batch, beta: float = 1.0):
        self.model = copy.deepcopy(model).double().eval()
        self.batch, self.beta = batch, beta
        self.alone = steps_alone(model)

    def gradients(
        self, selector: Selector, estimator: Estimator, randomness: Randomness, copies: int = 1
    ) -> tuple[Gradients, int]:
        """The gradient of the surrogate, a valid token, at every place; and the alternatives that it took. Of
        several copies of the batch, drawn apart: the mean of their gradients."""
        scores: list[Tensor] = []
        batch, model = self.batch.repeated(copies), self.model
        choose = choosing(selector, randomness, model.sites, batch.gold, selector.informed(*batch[:2]))

        def noted(site: str, inputs: AttentionInput) -> Selection:
            scores.append(inputs.scores)
            return choose(site, inputs._replace(scores=inputs.scores * self.beta))

        with torch.enable_grad():
            taken = model(batch, noted, randomness)
            losses, valid = token_losses(taken.readout, batch.target), batch.target != PAD
            surrogate = estimator(losses, taken, valid).loss.sum() / valid.sum()
        # where choices reach on, later scores differ between alternatives, and no two estimates have the same
        places = {SCORES: scores} if self.alone else {}
        places |= {name: list(part.parameters()) for name, part in model.named_children()}
        leaves = [leaf for part in places.values() for leaf in part]
        grads = iter(torch.autograd.grad(surrogate, leaves, allow_unused=True, materialize_grads=True))
        found = {name: [next(grads) for _ in part] for name, part in places.items()}
        if self.alone:
            found[SCORES] = [grad.unflatten(1, (copies, -1)).sum(1) for grad in found[SCORES]]
        none = losses.new_zeros(0)
        flat = {name: torch.cat([none, *map(torch.flatten, part)]) for name, part in found.items()}
        return flat, len(losses)

    def expected(self, distribution: Distribution, draws: int, seed: int) -> Reference:
        """The gradient of the loss expected under a distribution: enumerated, or where choices reach on the
        mean of so many REINFORCE estimates."""
        if self.alone:
            return self._exact(Enumeration(distribution), Pathwise())
        parts = Draws(distribution, _ROLLOUTS), Reinforce(LeaveOneOut).double()
        parts[1].prepare(self.model.sites)
        found = self._sampled(*parts, draws, seed, "reference")
        errors = {name: (rows.var(0).sum() / len(rows)).item() for name, rows in found.at.items()}
        return Reference({name: rows.mean(0) for name, rows in found.at.items()}, errors)

    def reference(self, mechanism: Mechanism, draws: int, seed: int) -> Reference | None:
        """The gradient of a mechanism's own objective; None where the model allows no such thing."""
        distribution, facts = mechanism.distribution, mechanism.facts
        if not distribution.apart:  # a chain, which goes through every path itself
            return self._exact(mechanism.selector, mechanism.estimator)
        if facts.objective == "soft":
            return self._exact(Mixture(distribution), Pathwise())
        if facts.objective == "expected" or facts.bound == 1:
            return self.expected(distribution, draws, seed)
        if not self.alone:
            return None
        return self._exact(Enumeration(distribution), Bound(facts.bound) if facts.bound else Marginal())

    def _exact(self, selector: Selector, estimator: Estimator) -> Reference:
        mean, _ = self.gradients(selector, estimator, Randomness(None))
        return Reference(mean, dict.fromkeys(mean, 0.0))

    def estimates(self, mechanism: Mechanism, draws: int, seed: int) -> Sampled:
        """`draws` estimates of a mechanism as it is now, and how much of the gradient they hardly see."""
        found = self._sampled(mechanism.selector, mechanism.estimator, draws, seed, "draws")
        if not self.alone or len(found.at[SCORES]) == 1:
            return found
        rare = Seldom(RARE / draws)
        seldom, _ = self.gradients(Enumeration(mechanism.distribution), rare, Randomness(None))
        return found._replace(seldom={name: (part @ part).item() for name, part in seldom.items()})

    def _sampled(
        self, selector: Selector, estimator: Estimator, draws: int, seed: int, purpose: str
    ) -> Sampled:
        rows: list[Gradients] = []
        copies, cost, started = math.ceil(draws / PASSES), 0, time.perf_counter()
        for number in range(min(draws, PASSES)):
            randomness = Randomness(generator_for(seed, "probe", purpose, number))
            before = randomness.state
            one, cost = self.gradients(*copy.deepcopy((selector, estimator)), randomness, copies)
            rows.append(one)
            if randomness.state.equal(before):
                break
        milliseconds = (time.perf_counter() - started) / (len(rows) * copies) * 1000
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return Sampled(stacked, copies, cost, milliseconds, dict.fromkeys(stacked, 0.0))


def compared(held: Reference, sampled: Sampled) -> dict[str, Moments]:
    """Moments of estimates against a gradient, at every place and at all parameters together."""
    places = {
        name: products(rows, held.mean[name], held.error[name], sampled.seldom[name])
        for name, rows in sampled.at.items()
    }
    places[WEIGHTS] = together(part for name, part in places.items() if name != SCORES)
    return {name: moments(part, sampled.copies) for name, part in places.items()}


PASSES = 8
"""In which estimates are drawn, several at once on copies of the batch; one where nothing is random."""
_ROLLOUTS = 4
"""Of an estimate of the reference."""


def _same(mechanism: Mechanism) -> bool:
    """Whether its objective is the loss expected under softmax(scores) itself."""
    facts, distribution = mechanism.facts, mechanism.distribution
    plain = type(distribution) is Softmax and float(distribution.beta()) == 1
    return plain and (facts.objective == "expected" or facts.bound == 1)


def survey(
    probe: Probe, mechanisms: Mapping[str, Mechanism], draws: int, seed: int
) -> Iterator[tuple[str, Found]]:
    """Each mechanism by its name, as it is measured; those that the model does not allow, and those that look
    at no scores, are left out."""
    expected = probe.expected(Softmax(1.0).double(), 4 * draws, seed)
    for name, mechanism in mechanisms.items():
        if not (probe.alone or (mechanism.selector.anywhere and mechanism.estimator.anywhere)):
            continue
        own = expected if _same(mechanism) else probe.reference(mechanism, draws, seed)
        if own is None:
            continue
        estimates = probe.estimates(mechanism, draws, seed)
        ours, theirs = compared(own, estimates), compared(expected, estimates)
        if not math.isnan(ours[SCORES if probe.alone else WEIGHTS].relative_bias):
            exact = not any(own.error.values())
            yield name, Found(ours, theirs, estimates.cost, estimates.milliseconds, exact)
