"""What a function is asked, and what is wrong with what it says: one judge for each question.

A judge takes a function and scores, and says what is wrong; nothing where it is right.
"""

import math

import torch
from peers import INDICES, Function, coordinates, defined
from torch import Tensor

_SMOOTH = ("softmax", "log_softmax", "softargmax", "spread", "sparsemax", "entmax15")


def is_smooth(function: Function) -> bool:
    return function.kind in _SMOOTH


def value(function: Function, scores: Tensor) -> str:
    scores = scores.requires_grad_()
    answer = function.call(scores)
    told = f"is {short(answer)}"
    if answer.dtype != scores.dtype and function.kind not in INDICES:
        return f"{told}, in {answer.dtype}"
    if not _agree(function.kind, answer, scores):
        return told
    slope = _slope(answer[scores > -math.inf] if answer.ndim else answer, scores)
    right = slope.isfinite().all() and (slope[scores == -math.inf] == 0).all()
    return "" if right else f"has slope {short(slope)}"


def nothing(function: Function, scores: Tensor) -> str:
    scores = scores.requires_grad_()
    answer = function.call(scores)
    finite = answer.exp() if function.kind == "log_softmax" else answer
    if not finite.isfinite().all():
        return f"is {short(answer)}"
    slope = _slope(answer, scores)
    return "" if slope.isfinite().all() else f"has slope {short(slope)}"


def no_number(function: Function, scores: Tensor) -> str:
    other = torch.arange(float(len(scores)))
    answer, beside = function.call(torch.stack([scores, other]))
    silent = 0 <= answer < len(scores) if function.kind == "argmax" else answer.isfinite().any()
    return f"is {short(answer)}" if silent or not _agree(function.kind, beside, other) else ""


def mapped(function: Function, scores: Tensor) -> str:
    def slope(row: Tensor) -> Tensor:
        return torch.func.grad(lambda x: _weighted(function.call(x)))(row)

    for each in (function.call, slope) if is_smooth(function) else (function.call,):
        if not _near(torch.func.vmap(each)(scores), torch.stack([each(row) for row in scores])):
            return "is no loop over rows"
    return ""


def forward_mode(function: Function, scores: Tensor) -> str:
    scores = scores.requires_grad_()
    agree = torch.autograd.gradcheck(
        function.call, scores, raise_exception=False, check_forward_ad=True
    ) and torch.autograd.gradgradcheck(function.call, scores, raise_exception=False, check_fwd_over_rev=True)
    return "" if agree else "has another derivative"


def second_order(function: Function, scores: Tensor) -> str:
    agree = torch.autograd.gradgradcheck(function.call, scores.requires_grad_(), raise_exception=False)
    return "" if agree else "has another second derivative"


def compiled(function: Function, scores: Tensor) -> str:
    torch.compiler.reset()
    program = torch.compile(function.call, backend="aot_eager", fullgraph=True)
    answers = [each(scores.requires_grad_()) for each in (function.call, program)]
    slopes = [_slope(answer, scores) for answer in answers]
    return "" if _near(*answers) and _near(*slopes) else f"is {short(answers[1])}"


class _Module(torch.nn.Module):
    def __init__(self, function: Function):
        super().__init__()
        self.function = function

    def forward(self, scores: Tensor) -> Tensor:
        return self.function.call(scores)


def exported(function: Function, scores: Tensor) -> str:
    rows = torch.export.Dim("rows")
    program = torch.export.export(_Module(function), (scores,), dynamic_shapes={"scores": {0: rows}})
    more = torch.cat([scores, scores.flip(0)])
    return "" if _near(program.module()(more), function.call(more)) else "is another of more rows"


def several_dims(function: Function, scores: Tensor) -> str:
    assert function.joint is not None
    answer = function.joint(scores)
    if function.kind in INDICES:
        expected = torch.tensor(coordinates(function.kind, scores.tolist()), dtype=answer.dtype)
        return "" if _near(answer, expected) else f"is {short(answer)}"
    return "" if _agree(function.kind, answer.flatten(), scores.flatten()) else f"is {short(answer)}"


def _agree(kind: str, answer: Tensor, scores: Tensor) -> bool:
    """Within some roundings of the definition at the very scores; an index within a hundredth."""
    expected = torch.tensor(defined(kind, scores.double().tolist()), dtype=torch.float64)
    answer = answer.detach().double()
    rounding = 4 * torch.finfo(scores.dtype).eps
    if kind == "log_softmax":
        rounding *= max(1.0, float(answer.exp().gt(0).mul(answer).abs().max()))
        there = expected > -20
        expected, answer = (torch.where(there, x, x.exp()) for x in (expected, answer))
    return torch.allclose(answer, expected, rtol=0.0, atol=0.01 if kind in INDICES else rounding)


def _weighted(answer: Tensor) -> Tensor:
    """One number that every entry moves differently."""
    return (answer * torch.arange(1.0, answer.numel() + 1).view(answer.shape).cos()).sum()


def _slope(answer: Tensor, scores: Tensor) -> Tensor:
    return (
        torch.autograd.grad(_weighted(answer), scores)[0]
        if answer.requires_grad
        else torch.zeros_like(scores)
    )


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=0.0, atol=1e-5)


def short(numbers: Tensor) -> str:
    if numbers.ndim > 1:
        return f"[{', '.join(map(short, numbers))}]"
    said = [f"{number:.4g}" for number in numbers.flatten().tolist()]
    if len(said) > 5:
        said = [*said[:2], "...", said[-1]]
    text = ", ".join(said)
    return f"[{text}]" if numbers.ndim else text
