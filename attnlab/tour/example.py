"""The worked example: five numbers from their maximum to attention, every figure computed by
`attnlab.functional`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab import functional

SCORES = torch.tensor([0.1, 0.3, 0.6, 2.1, 0.55], dtype=torch.float64)
TIED = torch.tensor([0.1, 2.1, 0.6, 2.1, 0.55], dtype=torch.float64)  # positions 1 and 3 are equally good
VALUES = torch.tensor([[0.0, 0.5], [1.0, 3.0], [3.0, 3.5], [4.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
POSITIONS = torch.arange(5, dtype=torch.float64)
BETAS = (0.1, 1.0, 3.0, 10.0, 30.0)


def text() -> str:
    """The example step by step, at most 80 columns wide."""
    return "\n\n".join(
        [
            "\n".join(part)
            for part in (
                _hard(),
                _soft(),
                _beta(),
                _ties(),
                _training(),
                _beliefs(),
                _puzzle(),
                _attention(),
            )
        ]
    )


def gradient(scores: Tensor, beta: functional.Beta) -> Tensor:
    """d softargmax / d scores (S,) by autograd: beta * p_i * (i - softargmax)."""
    leaf = scores.detach().clone().requires_grad_()
    return torch.autograd.grad(functional.softargmax(leaf, beta), leaf)[0]


def _hard() -> list[str]:
    hard, index = functional.hardmax(SCORES), functional.argmax(SCORES)
    return [
        "HARD: ONE POSITION TAKES ALL",
        _row("position", POSITIONS, "8.0f"),
        _row("x", SCORES),
        _row("max(x)", [SCORES.max()]),
        _row("hardmax(x)", hard, "8.0f"),
        "  argmax(x)     = hardmax(x) . positions",
        f"                = {_products(hard, '.0f')} = {index}",
    ]


def _soft() -> list[str]:
    powers, weights = SCORES.exp(), functional.softmax(SCORES)
    return [
        "SOFT: EVERY POSITION TAKES A SHARE",
        _row("exp(x)", powers) + f"   sum {powers.sum():.3f}",
        _row("softmax(x)", weights) + f"   sum {weights.sum():.3f}",
        "  softargmax(x) = softmax(x) . positions, the expected index",
        f"                = {_products(weights, '.3f')} = {functional.softargmax(SCORES):.2f}",
    ]


def _beta() -> list[str]:
    return [
        "BETA, THE INVERSE TEMPERATURE: FROM SOFT TO HARD",
        "  softmax(beta x), and softargmax = softmax(beta x) . positions:",
        *_table(SCORES),
        "  A small beta gives every position the same share;",
        "  a large one gives all to the maximum, and the softargmax tends to argmax = "
        f"{functional.argmax(SCORES)}.",
    ]


def _ties() -> list[str]:
    first, end = functional.argmax(TIED), functional.softargmax(TIED, BETAS[-1])
    second = int((TIED == TIED.max()).nonzero().max())
    return [
        "TWO EQUAL MODES: WHERE THE EXPECTED INDEX MISLEADS",
        _row("x", TIED),
        *_table(TIED),
        f"  The argmax takes the first, {first}. The softargmax goes to {end:.2f}, the mean of {first} and",
        f"  {second}: in between both, it points at neither, but at a score of "
        f"{TIED[round(float(end))]:.2f}.",
        "  No beta mends that.",
    ]


def _training() -> list[str]:
    return [
        "TRAINING: WHICH WAY SHOULD EACH SCORE MOVE?",
        "  The argmax jumps or stands still: its gradient is 0 or undefined. That of the",
        "  softargmax, beta p_i (i - softargmax), is largest in between and then dies:",
        *(
            _row(f"beta {beta:g}", gradient(SCORES, beta)) + f"   norm {gradient(SCORES, beta).norm():.2g}"
            for beta in BETAS
        ),
    ]


def _beliefs() -> list[str]:
    """What the softargmax is often taken for, each with the numbers that say otherwise."""
    slopes = [
        f"{gradient(SCORES.float(), beta).abs().max():.2g} at beta {beta:g}" for beta in (1, 10, 100, 1e10)
    ]
    peaks = torch.zeros(11).index_fill(0, torch.tensor([2, 8]), 9.0)
    between = [f"{functional.softargmax(peaks, beta):.1f} at beta {beta:g}" for beta in (0.1, 1, 1e10)]
    hours = torch.full((8,), -torch.inf).index_fill(0, torch.tensor([0, 7]), 0.0)
    line, circle = functional.softargmax(hours), functional.softargmax(hours, period=8)
    bump = torch.exp(-(torch.arange(64) - 10).square() / 8)
    drawn = [f"{functional.softargmax(bump, beta):.1f} at beta {beta:g}" for beta in (1, 10)]
    goal = functional.argmax(SCORES)
    at_mean = (functional.softargmax(SCORES) - goal).square()
    mean = functional.softmax(SCORES) @ (POSITIONS - goal).square()
    return [
        "WHAT THE SOFTARGMAX IS OFTEN TAKEN FOR, AND WHAT IT GIVES",
        "  An argmax that can be trained, if beta is huge. Its largest slope, in float32:",
        f"    {', '.join(slopes)}.",
        "  One of two equal peaks, here at 2 and 8. It lies in between:",
        f"    {', '.join(between)}.",
        "  A mean of directions, where 0 and 7 of 8 are neighbours:",
        f"    {line:.1f} is opposite to both; softargmax(x, period=8) gives {circle:.1f}.",
        "  The place of a peak, 1 at 10 of 64 positions, on a ground of zeros:",
        f"    {', '.join(drawn)}, for zeros have shares; -inf has none.",
        f"  The mean loss. (i - {goal})^2 at the softargmax is {at_mean:.3f}, its mean {mean:.3f}:",
        f"    the variance, {functional.spread(SCORES).square():.3f}, is lost.",
    ]


def _puzzle() -> list[str]:
    shares, right = functional.softmax(SCORES), 2
    slope = shares - torch.nn.functional.one_hot(torch.tensor(right), len(SCORES))
    return [
        "A PUZZLE: WHY SOFTMAX, WHEN ARGMAX COMES AFTER IT?",
        f"  argmax(softmax(x)) = {functional.argmax(shares)} = argmax(x): reading needs no softmax.",
        f"  Training does. Where {right} is right, -log softmax(x)_{right} has the gradient",
        _row("", slope) + ", and the argmax 0:",
        "  train soft, read hard.",
    ]


def _attention() -> list[str]:
    hard, soft = functional.hardmax(SCORES) @ VALUES, functional.softmax(SCORES) @ VALUES
    return [
        "ATTENTION: THE SAME WEIGHTS OVER VALUES INSTEAD OF POSITIONS",
        f"  {'values':14}" + "".join(f"{f'({a:g}, {b:g})':>10}" for a, b in VALUES.tolist()),
        f"  hard attention reads one value, hardmax(x) . values = ({hard[0]:.2f}, {hard[1]:.2f})",
        f"  soft attention reads the average, softmax(x) . values = ({soft[0]:.2f}, {soft[1]:.2f})",
    ]


def _table(scores: Tensor) -> list[str]:
    """softmax(beta * scores) and softargmax, one beta a line."""
    lines = []
    for beta in BETAS:
        weights, index = functional.softmax(scores, beta), functional.softargmax(scores, beta)
        lines.append(_row(f"beta {beta:g}", weights) + f"   softargmax {index:.2f}")
    return lines


def _row(label: str, numbers: Sequence[Tensor] | Tensor, form: str = "z8.3f") -> str:
    return f"  {label:14}" + "".join(f"{float(number):{form}}" for number in numbers)


def _products(weights: Tensor, form: str) -> str:
    """w_0*0 + w_1*1 + ..."""
    return " + ".join(f"{float(weight):{form}}*{position}" for position, weight in enumerate(weights))
