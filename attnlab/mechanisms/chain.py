"""Chains: where a step attends depends on where the step before did, and the likelihood of a whole sequence
is summed over every path of positions, exactly. Wu & Cotterell 2019 (1905.06319)."""

from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab import functional
from attnlab.core.choosing import before_each, in_turn
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Losses, Marginal, Valid
from attnlab.core.interfaces import Mechanism, Pass, Selection, Selector, Surrogate
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.core.selectors import Enumeration
from attnlab.facts import Facts
from attnlab.settings import Beta, Size

LogProb = Float[Tensor, "S B T"]
Jump = Float[Tensor, "S S"]


def moves(log_prob: LogProb, jump: Jump) -> Float[Tensor, "T B S S"]:
    """log p(a_t = s | a_{t-1} = r), r before s: the log-softmax over s of log_prob_t(s) + jump(r, s).

    log_prob: of each position by itself, which is also what follows a position from which there is no jump.
    -inf is a jump that cannot be.
    """
    alone = log_prob.permute(2, 1, 0)[..., None, :]
    alone = alone.masked_fill(alone <= functional.lowest(alone.dtype), -torch.inf)
    onward = alone + jump
    return functional.log_softmax(torch.where(onward.isneginf().all(-1, keepdim=True), alone, onward))


def filtered(
    log_prob: LogProb,
    earlier: Float[Tensor, "#S B T"],
    jump: Jump,
    follows: Bool[Tensor, "B T"],
    before: Float[Tensor, "S B"],
) -> LogProb:
    """log p(a_t = s | y_1 ... y_{t-1}) = log sum_r p(r | y_1 ... y_{t-1}) p(s | r): the forward algorithm,
    normalised at each step.

    earlier: the loss of y_{t-1} at each position of the step before; `before`: log p there of the step before
    the first. Where a step does not follow another, it is log_prob.
    """
    steps = []
    for move, alone, loss, on in zip(
        moves(log_prob, jump), log_prob.unbind(-1), earlier.unbind(-1), follows.unbind(-1), strict=True
    ):
        belief = torch.log_softmax((before - loss).T, -1)  # B S, of the step before
        moved = torch.logsumexp(belief[..., None] + move, 1).T
        before = torch.where(on, moved, alone)
        steps.append(before)
    return torch.stack(steps, -1)


def posterior(
    log_prob: LogProb, losses: Float[Tensor, "S B T"], jump: Jump, valid: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T S"]:
    """p(a_t = s | y), the whole target known; 0 at steps that are not valid.

    It is the gradient of the sequence's loss in the losses of the positions: backpropagation is the backward
    half of forward-backward. Eisner 2016.
    """

    def total(counted: Tensor) -> Tensor:
        log_probs = filtered(log_prob, before_each(counted), jump, _behind_the_first(valid), log_prob[..., 0])
        return -torch.where(valid, torch.logsumexp(log_probs - counted, 0), 0.0).sum()

    return torch.func.grad(total)(torch.where(valid, losses, 0.0)).movedim(0, -1)


def viterbi(
    log_prob: LogProb, losses: Float[Tensor, "S B T"], jump: Jump, valid: Bool[Tensor, "B T"]
) -> Int[Tensor, "B T"]:
    """The most probable path, argmax p(a_1 ... a_T | y); -1 at steps that are not valid. Viterbi 1967."""
    positions = torch.arange(len(log_prob), device=log_prob.device)
    best = (log_prob[..., 0] - torch.where(valid, losses, 0.0)[..., 0]).T  # B S, of the paths that end there
    origins = []
    for move, loss, on in zip(moves(log_prob, jump)[1:], losses.unbind(-1)[1:], valid.T[1:], strict=True):
        ways, origin = (best[..., None] + move).max(1)
        best = torch.where(on[:, None], ways - loss.T, best)
        origins.append(torch.where(on[:, None], origin, positions))
    path = [best.argmax(-1)]
    for origin in reversed(origins):
        path.append(origin.gather(-1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], -1).masked_fill(~valid, -1)


def _behind_the_first(there: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    return (torch.arange(there.size(-1), device=there.device) > 0).expand_as(there)


class Jumps(nn.Module):
    """jump(r, s): a learned weight for each distance s - r from -longest to `longest`, and those of the ends
    beyond; -inf backwards where `monotonic`. Vogel et al. 1996.

    Before training, all are 0: where it may go anywhere, no step depends on the one before.
    """

    def __init__(self, longest: int, monotonic: bool):
        super().__init__()
        self.back, self.longest, self.monotonic = 0 if monotonic else longest, longest, monotonic
        self.weights = nn.Parameter(torch.zeros(self.back + 1 + longest))

    def forward(self, positions: int) -> Jump:
        at = torch.arange(positions, device=self.weights.device)
        distance = at - at[:, None]
        known = distance.clamp(-self.back, self.longest) + self.back
        return self.weights[known].masked_fill((distance < 0) & self.monotonic, -torch.inf)


class Chained(Softmax):
    """p(a_t = s | a_{t-1} = r), proportional to exp(beta * score_t(s) + jump(r, s)); softmax(beta * scores)
    at the first step, behind one where nothing may be attended, and where no jump is possible."""

    apart = False

    def __init__(self, beta: float | Scheduled, jumps: Jumps):
        super().__init__(beta)
        self.jumps = jumps

    def given(
        self, selection: Selection, earlier: Float[Tensor, "#K B T"], before: Selection | None
    ) -> Selection:
        alone = selection.log_prob
        before = before or selection._replace(probs=torch.zeros_like(selection.probs))  # nowhere
        there = torch.cat([before.probs[0, :, -1:], selection.probs[0]], 1).any(-1)
        jump, last = self.jumps(len(alone)), before.log_prob[..., -1]
        log_prob = filtered(alone, earlier.to(alone.dtype), jump, there[:, :-1] & there[:, 1:], last)
        mass = log_prob.exp()
        probs = mass.movedim(0, -1) * there[:, 1:, None]
        return selection._replace(mass=mass, log_prob=log_prob, probs=probs[None])


class Chain(Marginal):
    """-log sum over paths of prod_t p(a_t | a_{t-1}) exp(-loss_t(a_t)), of each step its part given the
    symbols before: -log sum_s p(a_t = s | y_1 ... y_{t-1}) exp(-loss_t(s)). Wu & Cotterell 2019
    (1905.06319)."""

    def __init__(self, selector: Selector):
        super().__init__()
        self.selector = selector

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        earlier = before_each(torch.where(valid, losses, 0.0))
        return super().forward(losses, in_turn(self.selector, taken, earlier), valid)


@Facts(
    paper="Wu & Cotterell 2019 (1905.06319)",
    objective="marginal",
    unbiased=True,
    needs="value",
    evaluations="S",
)
def hard_chain(*, monotonic: bool, longest_jump: Size, **beta: Unpack[Beta]) -> Mechanism:
    """-log sum over paths of prod_t p(a_t | a_{t-1}) exp(-loss_t(a_t)): the marginal likelihood of the whole
    sequence, by the forward algorithm.

    p(a_t = s | a_{t-1} = r) is proportional to exp(beta * score_t(s) + jump(s - r)), with a learned weight
    for each distance; monotonic: s >= r. At a single step it is hard_marginal.
    """
    distribution = Chained(scheduled("beta", beta), Jumps(longest_jump, monotonic))
    selector = Enumeration(distribution)
    return Mechanism(distribution, selector, Chain(selector))
