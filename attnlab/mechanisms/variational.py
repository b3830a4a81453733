"""Variational attention: the position is a latent variable, and in training it is chosen by a posterior that
has seen the target. Deng et al. 2018 (1807.03756)."""

from collections.abc import Callable, Mapping
from typing import Unpack

from torch import Tensor, nn

from attnlab.core.baselines import baseline_class
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise, Reinforce
from attnlab.core.interfaces import AttentionInput, Estimator, Mechanism, Selection, Selector
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import Draws, Enumeration
from attnlab.facts import Facts
from attnlab.mechanisms.gumbel import GumbelSoftmax
from attnlab.randomness import Randomness
from attnlab.settings import BaselineName, Beta, BetaAndTemperature, Size


class Informed(Selector):
    """Chooses from a posterior q, the same distribution of scores that have seen the target, as `posterior`
    does; it costs KL(q || p). Without an inference network, q = p, and it costs nothing."""

    def __init__(self, posterior: Selector, size: int):
        super().__init__(posterior.distribution)
        self.posterior = posterior
        self.size = size
        self.inference: nn.Module | None = None
        self.anywhere = posterior.anywhere
        self.controls: tuple[str, ...] = getattr(posterior, "controls", ())

    def prepare(self, inference: Callable[[int], nn.Module]) -> None:
        self.inference = inference(self.size)

    def informed(self, source: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        return {} if self.inference is None else self.inference(source, target)

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        if inputs.informed is None:
            return self.posterior(inputs, randomness)
        seen = inputs._replace(scores=inputs.informed.expand_as(inputs.scores))
        probs, log_probs = self.distribution(seen)
        divergence = (probs * (log_probs - self.distribution(inputs).log_probs)).sum(-1)
        return self.posterior(seen, randomness)._replace(cost=divergence)


def _variational(posterior: Selector, estimator: Estimator, size: int) -> Mechanism:
    return Mechanism(posterior.distribution, Informed(posterior, size), estimator)


@Facts(
    paper="Deng et al. 2018 (1807.03756)",
    objective="marginal",
    unbiased=True,
    needs="value",
    evaluations="samples",
    bound=1,
)
def variational(
    *, samples: Size, baseline: BaselineName, inference_size: Size, **beta: Unpack[Beta]
) -> Mechanism:
    """E_q loss(z) + KL(q || p) with p = softmax(beta * scores) and a posterior q that has seen the target,
    by draws from q and REINFORCE; baseline=soft is that of the paper.

    A bound of the marginal likelihood, the tighter the closer q is to p(z | target). Evaluation knows p
    alone. Raises ValueError for fewer samples than the baseline needs.
    """
    make = baseline_class(baseline, samples)
    draws = Draws(Softmax(scheduled("beta", beta)), samples, make.controls)
    return _variational(draws, Reinforce(make), inference_size)


@Facts(
    paper="Deng et al. 2018 (1807.03756)",
    objective="marginal",
    unbiased=True,
    needs="value",
    evaluations="S",
    bound=1,
)
def variational_exact(*, inference_size: Size, **beta: Unpack[Beta]) -> Mechanism:
    """sum_s q(s) loss(s) + KL(q || p), the same bound enumerated: the reference of `variational`."""
    return _variational(Enumeration(Softmax(scheduled("beta", beta))), Pathwise(), inference_size)


@Facts(
    paper="Deng et al. 2018 (1807.03756); Jang et al. 2017 (1611.01144)",
    objective="marginal",
    unbiased=False,
    needs="mixture",
    evaluations=1,
    bound=1,
)
def variational_gumbel(*, inference_size: Size, **settings: Unpack[BetaAndTemperature]) -> Mechanism:
    """loss(w) + KL(q || p) with w = softmax((log q + G) / temperature), a relaxed draw from the posterior.

    Biased as gumbel_softmax is.
    """
    distribution = Softmax(scheduled("beta", settings))
    relaxed = GumbelSoftmax(distribution, scheduled("temperature", settings))
    return _variational(relaxed, Pathwise(), inference_size)
