"""What an estimator may follow, and its exact gradient."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.certification.problems import Answers, OneChoice, loss_of
from attnlab.microscope.gradients import objective_value

CHOICE_WORDS: Mapping[str, str] = {
    "expected": "the expected loss of one choice from softmax(scores)",
    "soft": "the loss at the average, softmax(scores) . values",
    "marginal": "-log of the expected exp(-loss)",
    "reverse_kl": "KL(softmax(scores) || reference)",
    "forward_kl": "KL(reference || softmax(scores))",
    "entropy": "the entropy of softmax(scores)",
}
ROUTER_WORDS: Mapping[str, str] = {
    "expected": "the expected loss of one expert from softmax(logits)",
    "soft": "the loss at the average of all experts, softmax(logits) . experts",
    "forward": "the expected loss of its own forward pass",
}
ANSWER_WORDS: Mapping[str, str] = {
    "expected": "the expected reward of one answer",
    "per_token": "the expected reward of one answer divided by its length",
    "best": "the expected best reward of a group",
    "reverse_kl": "KL(policy || reference)",
    "entropy": "the entropy of the policy",
}
MECHANISM_WORDS: Mapping[str, str] = {
    "expected": "the expected loss of one choice",
    "soft": "the loss at the averaged value",
    "marginal": "-log of the expected exp(-loss)",
}
PATH_WORDS: Mapping[str, str] = {
    "expected": "the expected loss of all steps together, over every path of choices",
    "soft": "the loss of all steps at the averaged values",
    "marginal": "-log of the expected exp(-loss of all steps together), over every path of choices",
}


def of_choice(problem: OneChoice, objective: str) -> tuple[Float[Tensor, "1 S"], Float[Tensor, "1 S E"]]:
    """The gradient in the scores, and in the values behind the choice."""
    scores, values = (x.clone().requires_grad_() for x in (problem.scores, problem.values))
    policy = scores.log_softmax(-1)
    if objective == "reverse_kl":
        value = (policy.exp() * (policy - problem.reference)).sum()
    elif objective == "entropy":
        value = -(policy.exp() * policy).sum()
    elif objective == "forward_kl":
        value = (problem.reference.exp() * (problem.reference - policy)).sum()
    else:
        value = objective_value(policy.exp(), lambda weights: loss_of(weights, values), objective)  # pyright: ignore[reportArgumentType]
    slope, behind = torch.autograd.grad(value, (scores, values), allow_unused=True, materialize_grads=True)
    return slope[None], behind[None]


def of_answers(problem: Answers, objective: str) -> Float[Tensor, "1 A"]:
    """The gradient in the first question's scores; rewards are to rise."""
    scores = problem.scores[0].clone().requires_grad_()
    policy, rewards = scores.softmax(-1), problem.rewards[0]
    if objective == "reverse_kl":
        value = (policy * (policy.log() - problem.reference[0])).sum()
    elif objective == "entropy":
        value = -(policy * policy.log()).sum()
    elif objective == "best":
        order = rewards.argsort()  # P(max <= r) = F(r)^n
        below = policy[order].cumsum(0) ** problem.size
        value = (rewards[order] * torch.diff(below, prepend=below.new_zeros(1))).sum()
    else:
        value = (policy * (rewards / problem.lengths[0] if objective == "per_token" else rewards)).sum()
    return torch.autograd.grad(value, scores)[0][None]


def by_differences(
    value: Callable[[Tensor], float], at: Float[Tensor, "S"], step: float = 2e-3
) -> Float[Tensor, "1 S"]:
    """The gradient of a smooth function by central differences of fourth order: what a forward pass says of
    itself, whatever its backward pass says."""
    slopes = []
    for unit in torch.eye(len(at), dtype=at.dtype) * step:
        near, far = (value(at + k * unit) - value(at - k * unit) for k in (1, 2))
        slopes.append((8 * near - far) / (12 * step))
    return torch.tensor([slopes], dtype=at.dtype)
