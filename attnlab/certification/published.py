"""Estimators that people use, written from their published formulas and named by what they compute.

Advantages take the rewards of groups of answers (G N), as f(rewards, ...) -> weights; surrogates and routers
take the scores of one choice (S).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.certification.drawing import Draw

Groups = Float[Tensor, "G N"]


def reward_alone(rewards: Groups) -> Groups:
    """r. Williams 1992."""
    return rewards


def leave_one_out(rewards: Groups) -> Groups:
    """r - mean of the others. Kool et al. 2019; Ahmadian et al. 2024 (2402.14740)."""
    others = rewards.size(-1) - 1
    return rewards - (rewards.sum(-1, keepdim=True) - rewards) / others


def greedy_baseline(rewards: Groups, greedy: Float[Tensor, "G"]) -> Groups:
    """r - reward of the most probable answer. Rennie et al. 2017; Li et al. 2024 (2310.10505)."""
    return rewards - greedy[:, None]


def group_centred(rewards: Groups) -> Groups:
    """r - mean of the group, its own share included. Liu et al. 2025 (2503.20783)."""
    return rewards - rewards.mean(-1, keepdim=True)


def group_normalised(rewards: Groups) -> Groups:
    """(r - mean) / (standard deviation of the group + 1e-6). Shao et al. 2024 (2402.03300)."""
    return group_centred(rewards) / (rewards.std(-1, keepdim=True) + 1e-6)


def group_normalised_per_token(rewards: Groups, lengths: Groups) -> Groups:
    """The same, each answer divided by its own length. Shao et al. 2024 (2402.03300)."""
    return group_normalised(rewards) / lengths


def length_weighted_baseline(rewards: Groups, lengths: Groups) -> Groups:
    """r - sum of length * r / sum of lengths of the group. Hao et al. 2025 (2505.23585)."""
    return rewards - (lengths * rewards).sum(-1, keepdim=True) / lengths.sum(-1, keepdim=True)


def batch_whitened(rewards: Groups, lengths: Groups) -> Groups:
    """(r - mean) / standard deviation over all tokens of the batch. Hu et al. 2025 (2501.03262)."""
    tokens = lengths.sum()
    mean = (lengths * rewards).sum() / tokens
    variance = (lengths * (rewards - mean).square()).sum() / (tokens - 1)
    return (rewards - mean) * (variance + 1e-8).rsqrt()


def nonzero_count_normalised(rewards: Groups) -> Groups:
    """(r - mean of the group) * answers / answers of nonzero reward, of the batch. Chu et al. 2025
    (2504.02546)."""
    return group_centred(rewards) * rewards.numel() / rewards.count_nonzero().clamp_min(1)


def leave_one_out_normalised(rewards: Groups) -> Groups:
    """(r - mean of the others) / (standard deviation of the others + 1e-6)."""
    size = rewards.size(-1)
    apart = ~torch.eye(size, dtype=torch.bool)
    others = rewards[:, None].expand(-1, size, -1)[:, apart].view(-1, size, size - 1)
    return (rewards - others.mean(-1)) / (others.std(-1) + 1e-6)


def penalty_in_the_reward(rewards: Groups, log_probs: Groups, reference_log_probs: Groups) -> Groups:
    """r - log(policy / reference) / 10, detached. Ziegler et al. 2019 (1909.08593)."""
    return rewards - (log_probs.detach() - reference_log_probs) / 10


def penalty_with_its_gradient(rewards: Groups, log_probs: Groups, reference_log_probs: Groups) -> Groups:
    """r - log(policy / reference) / 10, and the logarithm is not detached."""
    return rewards - (log_probs - reference_log_probs) / 10


def score_function(scores: Tensor, draw: Draw) -> Tensor:
    """loss + stop(loss) log p of one draw. Williams 1992."""
    position = draw(scores.softmax(-1))
    loss = draw.loss(position)
    return loss + loss.detach() * scores.log_softmax(-1)[position]


def loss_with_its_gradient(scores: Tensor, draw: Draw) -> Tensor:
    """loss + loss log p: the loss is not detached, and what lies behind the choice is trained by both."""
    position = draw(scores.softmax(-1))
    return draw.loss(position) * (1 + scores.log_softmax(-1)[position])


def in_sample_baseline(scores: Tensor, draw: Draw) -> Tensor:
    """mean over 3 draws of (loss - mean of all 3) log p."""
    positions = draw(scores.softmax(-1), 3)
    losses = draw.loss(positions).detach()
    return ((losses - losses.mean()) * scores.log_softmax(-1)[positions]).mean()


def argmax_for_a_draw(scores: Tensor, draw: Draw) -> Tensor:
    """loss log p at the most probable position, where a draw belongs."""
    position = scores.argmax()
    return draw.loss(position).detach() * scores.log_softmax(-1)[position]


def drawn_from_the_reference(scores: Tensor, draw: Draw, reference: Tensor) -> Tensor:
    """loss * policy / reference of one draw from the reference: the ratio has no bound."""
    position = draw(reference.exp())
    return draw.loss(position).detach() * (scores.log_softmax(-1) - reference)[position].exp()


def _log_ratio(scores: Tensor, draw: Draw, reference: Tensor) -> Tensor:
    """log(policy / reference) of one draw from the policy."""
    position = draw(scores.softmax(-1))
    return (scores.log_softmax(-1) - reference)[position]


def k1(scores: Tensor, draw: Draw, reference: Tensor) -> Tensor:
    """log(policy / reference) as a loss. Schulman 2020."""
    return _log_ratio(scores, draw, reference)


def k2(scores: Tensor, draw: Draw, reference: Tensor) -> Tensor:
    """log(policy / reference)^2 / 2 as a loss. Schulman 2020."""
    return _log_ratio(scores, draw, reference).square() / 2


def k3(scores: Tensor, draw: Draw, reference: Tensor) -> Tensor:
    """reference / policy - 1 + log(policy / reference) as a loss. Schulman 2020."""
    ratio = _log_ratio(scores, draw, reference)
    return torch.expm1(-ratio) + ratio


def _hard(logits: Tensor, position: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(position, len(logits)).to(logits.dtype)


def straight_through(logits: Tensor, draw: Draw) -> Tensor:
    """hard + p - stop(p) of one draw. Bengio et al. 2013 (1308.3432)."""
    probs = logits.softmax(-1)
    return _hard(logits, draw(probs)) + probs - probs.detach()


def dense_forward(logits: Tensor, draw: Draw) -> Tensor:
    """hard + p - stop(hard) of one draw: the forward pass is p, and all experts are read."""
    probs = logits.softmax(-1)
    hard = _hard(logits, draw(probs))
    return hard + probs - hard.detach()


def frozen_selector(logits: Tensor, draw: Draw) -> Tensor:
    """The two largest in equal shares: an index has no gradient."""
    return sum((_hard(logits, position) for position in logits.topk(2).indices), start=logits * 0) / 2


def gated_top_one(logits: Tensor, draw: Draw) -> Tensor:
    """p of the largest, times it. Fedus et al. 2021 (2101.03961)."""
    return _hard(logits, logits.argmax()) * logits.softmax(-1)


def top_two(logits: Tensor, draw: Draw) -> Tensor:
    """Softmax over the two largest. Shazeer et al. 2017 (1701.06538)."""
    kept = logits.topk(2)
    return logits.new_full(logits.shape, -math.inf).scatter(0, kept.indices, kept.values).softmax(-1)


ESTIMATORS = (
    reward_alone,
    leave_one_out,
    greedy_baseline,
    group_centred,
    group_normalised,
    group_normalised_per_token,
    length_weighted_baseline,
    batch_whitened,
    nonzero_count_normalised,
    leave_one_out_normalised,
    penalty_in_the_reward,
    penalty_with_its_gradient,
    score_function,
    loss_with_its_gradient,
    in_sample_baseline,
    argmax_for_a_draw,
    drawn_from_the_reference,
    k1,
    k2,
    k3,
    straight_through,
    dense_forward,
    frozen_selector,
    gated_top_one,
    top_two,
)
"""In the order of the table: advantages, surrogates, routers."""
