"""Choices that hang together over the steps of a row: every path of them, and what is paid along it."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab import functional
from attnlab.core.interfaces import AttentionInput, Mechanism, Reach, Selection
from attnlab.randomness import Randomness

Law = Float[Tensor, "B T S S"]
"""p(a_t = s | a_{t-1} = r), r before s; at the first step, p(a_1 = s) whatever r is."""


def influence(valid: Bool[Tensor, "B T"], reach: Reach) -> Float[Tensor, "T T"]:
    """How much of what is read at a step (second) stands in the loss of another: 1 of its own, 1/2 of one
    that reaches it, nothing of padding."""
    own = torch.eye(valid.size(1), dtype=torch.float64)
    if reach == "step":
        return own
    others = 0.5 * valid[0].to(own).expand_as(own)
    return torch.where(own > 0, own, others.tril() if reach == "later" else others)


def paid(
    weights: Float[Tensor, "K B T S"], values: Float[Tensor, "B T S E"], reached: Float[Tensor, "T T"]
) -> Float[Tensor, "K B T"]:
    """-log softmax(sum over steps of reached * weights . values)_0."""
    reads = torch.einsum("kbts,btse->kbte", weights, values)
    return -(reached @ reads).log_softmax(-1)[..., 0]


def law_of(mechanism: Mechanism, inputs: AttentionInput) -> Law:
    """Where each step chooses, behind each choice of the step before; every position is asked for at once, or
    one after the other where a mechanism says what a choice becomes behind another."""
    positions = inputs.scores.size(-1)
    if mechanism.distribution.apart:
        probs = mechanism.distribution(inputs).probs[0].expand(inputs.scores.shape[1:])
        return probs[..., None, :].expand(-1, -1, positions, -1)
    alone = mechanism.selector(inputs, Randomness(None))
    steps = [_at(alone, step) for step in range(inputs.scores.size(2))]
    unpaid = torch.zeros_like(alone.log_prob[..., :1])
    laws = [mechanism.selector.given(steps[0], unpaid, None).log_prob.expand(-1, -1, positions)]
    for step, last in zip(steps[1:], steps, strict=False):
        behind = [
            mechanism.selector.given(step, unpaid, _certain(last, position)) for position in range(positions)
        ]
        laws.append(torch.cat([one.log_prob for one in behind], -1))
    return torch.stack([law.permute(1, 2, 0) for law in laws], 1).exp()  # each S B R


def _at(selection: Selection, step: int) -> Selection:
    """The choice of one step."""
    return selection._replace(
        mass=selection.mass[..., step : step + 1],
        log_prob=selection.log_prob[..., step : step + 1],
        probs=selection.probs[..., step : step + 1, :],
    )


def _certain(selection: Selection, position: int) -> Selection:
    """The choice of a step that is known to be a position."""
    probs = torch.zeros_like(selection.probs)
    probs[..., position] = 1.0
    log_prob = torch.full_like(selection.log_prob, functional.lowest(probs.dtype))
    log_prob[position] = 0.0
    return selection._replace(probs=probs, log_prob=log_prob)


def paths_of(steps: int, positions: int) -> Int[Tensor, "P T"]:
    """Every path of positions."""
    return torch.cartesian_prod(*[torch.arange(positions)] * steps).view(-1, steps)


def along(law: Law, losses: Float[Tensor, "P B T"], objective: str) -> Float[Tensor, ""]:
    """The sum over rows of the objective of all steps together: of `expected` the mean of a path's loss, of
    `marginal` -log of the mean of exp(-loss). The losses are those of `paths_of`, in its order."""
    steps, positions = law.shape[1:3]
    path = paths_of(steps, positions)
    before = path.roll(1, -1)  # the first step does not read it
    chance = law[:, torch.arange(steps), before, path].prod(-1)  # B P
    paid = losses.sum(-1).T
    if objective == "expected":
        return (chance * paid).sum()
    return -(chance * torch.exp(-paid)).sum(-1).log().sum()
