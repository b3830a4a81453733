"""Functions of a person's own as subjects: what the first parameter's name says they are."""

import copy
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attnlab.certification import estimands
from attnlab.certification.drawing import Draw, forced_multinomial
from attnlab.certification.outcomes import Choices, First, enumerated
from attnlab.certification.problems import Answers, OneChoice, answer_problems, choice_problems, loss_of
from attnlab.certification.subject import Estimate, Subject, Truth, nothing
from attnlab.text import failure

_OUTCOMES = 2**13
_KINDS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "scores": ("surrogate", ("draw",), ("reference",)),
    "logits": ("router", ("draw",), ()),
    "rewards": ("advantage", (), ("lengths", "log_probs", "reference_log_probs", "greedy")),
}
"""First parameter -> kind, the parameters that follow, those that may be asked for by name."""
USAGE = "f(scores, draw) -> loss, f(logits, draw) -> weights or f(rewards, ...) -> weights"


def subject_of(
    function: Callable[..., Any], name: str, seed: int, problems: Sequence[Any] | None = None
) -> Subject:
    """A surrogate, a router or an advantage function, by the name of its first parameter.

    Raises ValueError for a function of another signature.
    """
    first, given = _signature(function, name)
    kind, *_ = _KINDS[first]
    record = Answers if kind == "advantage" else OneChoice
    if foreign := [each for each in problems or () if not isinstance(each, record)]:
        raise ValueError(f"problems of this kind are {record.__name__}, got {type(foreign[0]).__name__}")

    called = function if isinstance(function, types.FunctionType) else type(function).__call__
    file = getattr(getattr(called, "__code__", None), "co_filename", None)

    def call(choices: Choices, *arguments: Any, **named: Any) -> Any:
        own = function if isinstance(function, types.FunctionType) else copy.deepcopy(function)
        try:
            with forced_multinomial(choices):
                return own(*arguments, **{key: value for key, value in named.items() if key in given})
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            raise ValueError(f"{name} {failure(error, file)}") from error

    if kind == "advantage":
        return _advantage(call, name, problems or answer_problems(seed))
    choices = problems or choice_problems(seed)
    if kind == "router":
        return _router(call, name, choices)
    return _surrogate(call, name, choices, "reference" in given)


def _signature(function: Callable[..., Any], name: str) -> tuple[str, set[str]]:
    called = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    shown = f"({', '.join(named)})"
    if not named or named[0] not in _KINDS:
        raise ValueError(
            f"{name} must be {USAGE}, known by the name of the first parameter; its parameters are {shown}"
        )
    _, following, optional = _KINDS[named[0]]
    taken = {*following, *optional}
    foreign = [p.name for p in parameters[1:] if p.name not in taken and p.default is p.empty]
    if foreign := [word for word in foreign if word in named]:
        may = ", ".join([*following, *optional])
        raise ValueError(f"{name} asks for {', '.join(foreign)}; beside {named[0]} there are {may}")
    if named[1 : 1 + len(following)] != list(following):
        may = f"; it may ask for {', '.join(optional)}" if optional else ""
        raise ValueError(
            f"{name} takes {shown}, and after {named[0]} comes {', '.join(following) or 'nothing else'}{may}"
        )
    return named[0], set(named) & taken


def _surrogate(call: Callable[..., Any], name: str, problems: Sequence[OneChoice], compares: bool) -> Subject:
    def estimate(problem: OneChoice, choices: Choices) -> Estimate:
        scores, values = (x.clone().requires_grad_() for x in (problem.scores, problem.values))
        draw = Draw(choices, problem, values)
        loss = call(choices, scores, draw=draw, reference=problem.reference.clone())
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            raise ValueError(f"{name} must give one loss, a tensor of one number, got {_seen(loss)}")
        return _slopes(loss.sum(), scores, values, float(draw.evaluations), name)

    words = estimands.CHOICE_WORDS
    reads = not compares or estimate(problems[0], First()).cost
    objective = "expected" if reads else "reverse_kl"
    return Subject(
        name, "surrogate f(scores, draw) -> loss", words, objective, problems, estimate, _choice, _sharper
    )


def _router(call: Callable[..., Any], name: str, problems: Sequence[OneChoice]) -> Subject:
    def estimate(problem: OneChoice, choices: Choices) -> Estimate:
        scores, values = (x.clone().requires_grad_() for x in (problem.scores, problem.values))
        draw = Draw(choices, problem, values)
        weights = call(choices, scores, draw=draw)
        if not isinstance(weights, Tensor) or weights.shape != scores.shape:
            raise ValueError(
                f"{name} must give the weights of {len(scores)} experts, {tuple(scores.shape)}, got "
                f"{_seen(weights)}; a surrogate names its first parameter scores"
            )
        read = int((weights.detach() != 0).sum())
        return _slopes(loss_of(weights.to(values.dtype), values), scores, values, float(max(1, read)), name)

    def truth(problem: OneChoice, objective: str) -> Truth:
        if objective != "forward":
            return _choice(problem, objective)

        def value(scores: Tensor) -> float:
            found = enumerated(lambda choices: estimate(problem._replace(scores=scores), choices), _OUTCOMES)
            return sum(float(chance * made.paid) for made, chance in found)

        return Truth(estimands.by_differences(value, problem.scores), nothing())

    words = estimands.ROUTER_WORDS
    return Subject(
        name, "router f(logits, draw) -> weights", words, "expected", problems, estimate, truth, _sharper
    )


def _advantage(call: Callable[..., Any], name: str, problems: Sequence[Answers]) -> Subject:
    def estimate(problem: Answers, choices: Choices) -> Estimate:
        scores = problem.scores.clone().requires_grad_()
        policy = scores.log_softmax(-1)
        shares = policy.detach().exp()
        drawn = torch.tensor([[choices.choose(row) for _ in range(problem.size)] for row in shares])
        greedy = problem.rewards.gather(-1, shares.argmax(-1, keepdim=True)).squeeze(-1)
        chosen = policy.gather(-1, drawn)
        weights = call(
            choices,
            problem.rewards.gather(-1, drawn),
            lengths=problem.lengths.gather(-1, drawn),
            log_probs=chosen,
            reference_log_probs=problem.reference.gather(-1, drawn),
            greedy=greedy,
        )
        if not isinstance(weights, Tensor) or weights.shape != drawn.shape:
            raise ValueError(
                f"{name} must give a weight for every answer, {tuple(drawn.shape)}, groups and answers, got "
                f"{_seen(weights)}"
            )
        risen = (weights[0] * chosen[0]).mean()
        (slope,) = _gradients(risen, (scores,), name)
        return Estimate(slope[:1], nothing(), risen.detach()[None], float(problem.size))

    def companions(problem: Answers) -> Answers | None:
        if len(problem.scores) == 1:
            return None
        others = [torch.cat([x[:1], x[1:].flip(-1) * 2]) for x in (problem.scores, problem.rewards)]
        return problem._replace(scores=others[0], rewards=others[1])

    def truth(problem: Answers, objective: str) -> Truth:
        return Truth(estimands.of_answers(problem, objective), nothing())

    return Subject(
        name,
        "advantage f(rewards, ...) -> weights",
        estimands.ANSWER_WORDS,
        "expected",
        problems,
        estimate,
        truth,
        _sharper,
        companions,
    )


def _gradients(loss: Tensor, leaves: tuple[Tensor, ...], name: str) -> tuple[Tensor, ...]:
    try:
        return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        told = str(error).partition(". ")[0].partition("\n")[0]
        raise ValueError(f"the gradient of what {name} gives cannot be taken: {told}") from error


def _slopes(loss: Tensor, scores: Tensor, values: Tensor, cost: float, name: str) -> Estimate:
    paid = loss.detach().double()[None]
    if not loss.requires_grad:
        return Estimate(torch.zeros_like(scores)[None], torch.zeros_like(values)[None], paid, cost)
    slope, behind = _gradients(loss, (scores, values), name)
    return Estimate(slope[None], behind[None], paid, cost)


def _choice(problem: OneChoice, objective: str) -> Truth:
    return Truth(*estimands.of_choice(problem, objective))


def _sharper(problem: Any, factor: float) -> list[Any]:
    """Rarer outcomes of the policy, and a reference for which its usual outcomes are ever rarer."""
    ladder = torch.linspace(1, -1, problem.scores.size(-1), dtype=torch.float64).expand_as(problem.scores)
    steep = torch.where(problem.scores.isneginf(), problem.scores, factor * ladder)
    against = (-factor * problem.scores.argsort().argsort() / 2).log_softmax(-1)
    return [problem._replace(scores=steep), problem._replace(reference=against)]


def _seen(value: Any) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r:.60}"
