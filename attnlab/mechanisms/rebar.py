"""REBAR: REINFORCE with a relaxed loss as control variate. Tucker et al. 2017 (1703.07370)."""

from functools import partial
from typing import Unpack

import torch
from torch import Tensor

from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import (
    AttentionInput,
    Baseline,
    Distribution,
    Mechanism,
    Selection,
    Selector,
    Site,
    costless,
)
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.core.selectors import alone
from attnlab.facts import Facts
from attnlab.mechanisms.gumbel import perturbed, relax, reparametrised
from attnlab.randomness import Randomness, draw, log_prob_of, one_hot
from attnlab.settings import BetaAndTemperature, Positive


class RelaxedPair(Selector):
    """Three alternatives: a draw D (mass 1), the relaxed draw with argmax D (mass eta), another one given D
    (mass -eta).

    The second holds its noise fixed; the third is differentiated through the law of its noise given D.
    """

    anywhere = False

    def __init__(self, distribution: Distribution, temperature: Scheduled, eta: float):
        super().__init__(distribution)
        self.temperature = temperature
        self.eta = eta

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs, log_probs = self.distribution(inputs)
        alone(probs, "rebar")
        position = draw(log_probs, randomness)
        one, other = (randomness.noise(log_probs) for _ in range(2))
        logits = torch.cat([reparametrised(position, log_probs, one), perturbed(position, log_probs, other)])
        weights = torch.cat([one_hot(position, probs), relax(logits, self.temperature(), probs)])
        chosen = log_prob_of(position, log_probs)
        mass = torch.ones_like(chosen).detach()
        nothing = torch.zeros_like(mass).expand(2, -1, -1)
        shares = torch.cat([mass, self.eta * mass, -self.eta * mass])
        return Selection(weights, shares, torch.cat([chosen, nothing]), probs, costless(probs))


class _RelaxedGivenDraw(Baseline):
    """eta times the loss of the third alternative, which depends on the draw; the other two make up for its
    mean."""

    def __init__(self, eta: float):
        super().__init__()
        self.eta = eta

    def forward(self, returns: Tensor, site: Site, valid: Tensor) -> Tensor:
        return self.eta * returns[2:]


@Facts(
    paper="Tucker et al. 2017 (1703.07370)",
    objective="expected",
    unbiased=True,
    needs="mixture",
    evaluations=3,
)
def rebar(*, eta: Positive, **settings: Unpack[BetaAndTemperature]) -> Mechanism:
    """loss(D) + stop_gradient(loss(D) - eta loss(y')) log p(D) + eta (loss(y) - loss(y')).

    D ~ p = softmax(beta * scores); y = softmax((log p + G) / temperature) with argmax D, and y' another one
    given D.

    Unbiased at every temperature and eta. Two of the evaluations are at mixtures.
    """
    distribution = Softmax(scheduled("beta", settings))
    selector = RelaxedPair(distribution, scheduled("temperature", settings), eta)
    return Mechanism(distribution, selector, Reinforce(partial(_RelaxedGivenDraw, eta)))
