"""Relaxed and straight-through choices from Gumbel noise. Jang et al. 2017 (1611.01144); Paulus et al. 2021
(2010.04838).

The position D is drawn first and the noise given D after it, which has the same joint law as noise first and
D = argmax, and lets a position be forced.
"""

from typing import Unpack

import torch
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise
from attnlab.core.interfaces import AttentionInput, Distribution, Mechanism, Selection, Selector, single
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.facts import Facts
from attnlab.randomness import Randomness, draw, one_hot
from attnlab.settings import BetaAndTemperature, Size


def perturbed(position: Tensor, log_probs: Tensor, noise: Tensor) -> Tensor:
    """log p + Gumbel noise, given that its argmax is `position`; Exp(1) `noise` in. Maddison et al. 2014
    (1411.0030).

    With D the position (...): z_D = -log E_D, and z_i = -log(E_i / p_i + E_D) elsewhere. Returns (... S),
    differentiable in log_probs (... S) through the z_i.
    """
    log_noise = noise.log()
    chosen = one_hot(position, noise).bool()
    top = log_noise.gather(-1, position[..., None].clamp_min(0))
    return -torch.where(chosen, log_noise, torch.logaddexp(log_noise - log_probs.to(noise.dtype), top))


def reparametrised(position: Tensor, log_probs: Tensor, noise: Tensor) -> Tensor:
    """log p + G with the value of `perturbed` and the gradient of log p alone: the noise G given D is held
    fixed."""
    log_probs = log_probs.to(noise.dtype)
    return log_probs + (perturbed(position, log_probs, noise) - log_probs).detach()


def relax(logits: Tensor, temperature: Tensor, like: Tensor) -> Tensor:
    """softmax(logits / temperature), in the dtype of `like`: exactly 0 where the finite stand-in for log 0
    was given, and throughout a row where the distribution `like` is 0."""
    return torch.softmax(logits / temperature, -1).to(like.dtype) * (like > 0).any(-1, keepdim=True)


class GumbelSoftmax(Selector):
    """One relaxed draw: weights = softmax((log p + G) / temperature)."""

    def __init__(self, distribution: Distribution, temperature: Scheduled):
        super().__init__(distribution)
        self.temperature = temperature

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs, log_probs = self.distribution(inputs)
        position = draw(log_probs, randomness)
        logits = reparametrised(position, log_probs, randomness.noise(log_probs))
        return single(relax(logits, self.temperature(), probs), probs)


class _GumbelRao(Selector):
    """A one-hot draw D whose weights carry the gradient of the relaxed draw, averaged over `samples` noises
    given D."""

    def __init__(self, distribution: Distribution, temperature: Scheduled, samples: int):
        super().__init__(distribution)
        self.temperature = temperature
        self.samples = samples

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs, log_probs = self.distribution(inputs)
        position = draw(log_probs, randomness)
        noise = randomness.noise(log_probs.expand(self.samples, *log_probs.shape))
        logits = reparametrised(position.expand(self.samples, *position.shape), log_probs, noise)
        relaxed = relax(logits, self.temperature(), probs).mean(0)
        return single(functional.straight_through(one_hot(position, probs), relaxed), probs)


@Facts(
    paper="Jang et al. 2017 (1611.01144); Maddison et al. 2017 (1611.00712)",
    objective="expected",
    unbiased=False,
    needs="mixture",
    evaluations=1,
)
def gumbel_softmax(**settings: Unpack[BetaAndTemperature]) -> Mechanism:
    """weights = softmax((log p + G) / temperature) with Gumbel noise G and p = softmax(beta * scores).

    The bias goes to 0 with the temperature, while the variance grows.
    """
    distribution = Softmax(scheduled("beta", settings))
    selector = GumbelSoftmax(distribution, scheduled("temperature", settings))
    return Mechanism(distribution, selector, Pathwise())


@Facts(
    paper="Jang et al. 2017 (1611.01144)",
    objective="expected",
    unbiased=False,
    needs="gradient",
    evaluations=1,
)
def gumbel_straight_through(**settings: Unpack[BetaAndTemperature]) -> Mechanism:
    """weights = one-hot(D) + y - stop_gradient(y), y = softmax((log p + G) / temperature) and D its argmax.

    Biased at every temperature unless the loss is affine and the temperature goes to 0.
    """
    return _straight_through(1, settings)


@Facts(
    paper="Paulus et al. 2021 (2010.04838)",
    objective="expected",
    unbiased=False,
    needs="gradient",
    evaluations=1,
)
def gumbel_rao(*, samples: Size, **settings: Unpack[BetaAndTemperature]) -> Mechanism:
    """weights = one-hot(D) + y - stop_gradient(y), y = mean_j softmax((log p + G_j) / temperature) with G_j ~
    G | D.

    `samples` noises given D are averaged; the gradient holds them fixed.

    The bias is that of gumbel_straight_through, whatever the number of samples; the variance falls with
    it.
    """
    return _straight_through(samples, settings)


def _straight_through(samples: int, settings: BetaAndTemperature) -> Mechanism:
    distribution = Softmax(scheduled("beta", settings))
    selector = _GumbelRao(distribution, scheduled("temperature", settings), samples)
    return Mechanism(distribution, selector, Pathwise())
