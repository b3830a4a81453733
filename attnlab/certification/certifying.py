"""The verdict on an estimator: `attnlab.certify`."""

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from attnlab.certification import functions, judging, mechanisms
from attnlab.certification.certificate import Certificate
from attnlab.certification.judging import Alignment
from attnlab.certification.measuring import Measured, drawn, measured, repeats
from attnlab.certification.outcomes import NotEnumerable
from attnlab.certification.sequential import ALARM, MISSED, settle, together
from attnlab.certification.subject import Subject, Truth
from attnlab.microscope.hotelling import chance_of

_MOST = 2**13  # outcomes of one problem
_SHARPER = (2.0, 6.0, 10.0)
_OWN_DRAWS = 2**13
_BY_MECHANISM, _BY_FUNCTION = (0.03, 2**16, 2**20), (0.05, 2**10, 2**16)
"""The bias that matters, relative to the gradient; estimates of a problem at first, and at most."""


def certify(
    estimator: str | Callable[..., Any],
    *,
    objective: str | None = None,
    problems: Sequence[Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Certificate:
    """Hold a gradient estimator against exact gradients of small random problems, in double precision.

    estimator: a surrogate `f(scores, draw) -> loss`, a router `f(logits, draw) -> weights` or an advantage
    function `f(rewards, ...) -> weights`, known by the name of the first parameter; or a mechanism of attnlab
    by name, with its settings: `certify("hard_reinforce", samples=2)`. objective: what it is held to, unless
    its kind says; problems: other ones than the random ones of a seed, as `answers` makes them.

    Every outcome of what is drawn is enumerated; where that cannot be, estimates are drawn until a sequential
    test decides. Raises ValueError for an estimator that fails or gives nonsense, and for an objective that
    its kind does not have.
    """
    if isinstance(estimator, str):
        if problems is not None:
            raise ValueError("a mechanism has problems of its own; problems are for functions")
        said = [f"attention.{key}={'null' if value is None else value}" for key, value in settings.items()]
        name = " ".join([estimator, *(f"{key}={value}" for key, value in settings.items())])
        return certificate_of(mechanisms.subject_of([f"attention={estimator}", *said], name, seed), objective)
    if settings:
        raise ValueError(f"only a mechanism has settings, got {', '.join(settings)}")
    name = getattr(estimator, "__qualname__", type(estimator).__qualname__)
    return certificate_of(functions.subject_of(estimator, name, seed, problems), objective)


def certificate_of(subject: Subject, objective: str | None = None, seed: int = 0) -> Certificate:
    """The verdict on what was made a subject. Raises ValueError as `certify` does."""
    asked = objective or subject.objective
    if asked not in subject.words:
        raise ValueError(f"the objective is one of {', '.join(subject.words)} here, got {asked!r}")
    with contextlib.suppress(NotEnumerable):
        if repeats(subject, subject.problems[0]) and (found := _enumerate(subject)):
            return _judged(subject, asked, found)
    return _sampled(subject, asked, seed)


def _enumerate(subject: Subject) -> list[tuple[Any, Measured]]:
    """Problems whose every outcome was met; none where there are too many."""
    found = []
    for problem in subject.problems:
        try:
            found.append((problem, measured(subject, problem, _MOST)))
        except NotEnumerable:
            continue
    return found


def _judged(subject: Subject, objective: str, found: list[tuple[Any, Measured]]) -> Certificate:
    problems, each = (list(column) for column in zip(*found, strict=True))
    truths = [subject.truth(problem, objective) for problem in problems]
    means = [one.mean for one in each]
    lies = judging.aligned(means, [truth.slope for truth in truths])
    variance, error, cost = judging.spread(each, truths)
    behind = _behind(each, truths)
    notes: list[str] = []
    verdict = "no gradient" if lies.relation == "none" else lies.relation
    if broken := sum(one.broken for one in each):
        outcomes = sum(one.outcomes for one in each)
        if broken == outcomes:
            raise ValueError(f"{subject.name} gives no finite gradient in any of {outcomes:,} outcomes")
        verdict = "variance unbounded"
        notes.append(f"the estimate is not finite in {broken:,} of {outcomes:,} outcomes")
    elif verdict == "no gradient":
        silent = not any(one.squares.any() for one in each)
        notes.append("no outcome has one" if silent else "single estimates have one, and their mean is zero")
    elif _depends(subject, problems, each):
        verdict = "depends on the batch"
    elif verdict != "biased" and _explodes(subject, problems[0]):
        verdict = "variance unbounded"
        notes.append(f"the mean is {lies.relation}; rarer outcomes have ever larger estimates")
    elif verdict != "biased" and behind not in ("exact", "not trained", "", "scaled" * (verdict == "scaled")):
        verdict = "biased"
        notes.append("the scores are right, and what lies behind the choice is not")
    if subject.redrawn is not None and variance > 1e-12 and not broken:
        if not _draws_so(subject, each[0].mean[0]):
            verdict = "biased"
            notes.append("the draws that it makes by itself have another law than its probabilities")
    counts = " + ".join(f"{one.outcomes:,}" for one in each)
    how = f"every outcome enumerated, in double precision: {counts} outcomes"
    follows = _follows(subject, objective, problems, means) if verdict != "exact" else ()
    return _certificate(
        subject,
        objective,
        lies,
        verdict=verdict,
        variance=variance,
        cost=cost,
        error=error,
        enumerated=True,
        how=how,
        follows=follows,
        behind=behind,
        notes=tuple(notes),
    )


def _certificate(subject: Subject, objective: str, lies: Alignment, **found: Any) -> Certificate:
    return Certificate(
        name=subject.name,
        kind=subject.kind,
        objective=objective,
        estimand=subject.words[objective],
        scale=lies.scale,
        scales=lies.scales,
        cosine=lies.cosine,
        foreign=lies.foreign,
        **found,
    )


def _behind(each: Sequence[Measured], truths: Sequence[Truth]) -> str:
    if any(truth.behind.shape != one.behind.shape for one, truth in zip(each, truths, strict=True)):
        return ""
    if not any(one.behind.numel() for one in each):
        return ""
    relation = judging.aligned(
        [one.behind.flatten(1) for one in each], [truth.behind.flatten(1) for truth in truths]
    ).relation
    return "not trained" if relation == "none" else relation


def _depends(subject: Subject, problems: Sequence[Any], each: Sequence[Measured]) -> bool:
    """Whether the mean of the first row is another one in another batch."""
    for problem, one in zip(problems, each, strict=True):
        other = subject.companions(problem)
        if other is not None and not judging.same(one.mean[0], measured(subject, other, _MOST).mean[0]):
            return True
    return False


def _explodes(subject: Subject, problem: Any) -> bool:
    """Whether an estimate has no bound where outcomes become rare."""
    families = zip(*(subject.sharpened(problem, factor) for factor in _SHARPER), strict=True)
    return any(
        judging.explodes([measured(subject, each, _MOST).squares for each in family]) for family in families
    )


def _draws_so(subject: Subject, mean: Tensor) -> bool:
    estimates, _ = drawn(subject, subject.problems[0], 0, _OWN_DRAWS, 0)
    difference, covariance = estimates.mean(0) - mean, torch.cov(estimates.T)
    return chance_of(difference, covariance, len(estimates)) > ALARM


def _follows(
    subject: Subject, objective: str, problems: Sequence[Any], means: Sequence[Tensor]
) -> tuple[str, ...]:
    """Other estimands whose exact gradient the means are, up to one scale; else a sum of this and another."""
    exacts = {word: [subject.truth(problem, word).slope for problem in problems] for word in subject.words}
    said, sums = [], []
    for other, words in subject.words.items():
        if other == objective:
            continue
        lies = judging.aligned(means, exacts[other])
        if lies.relation == "exact":
            said.append(f"{other}: {words}, exactly")
        elif lies.relation == "scaled":
            said.append(f"{other}: {words}, times {lies.scale:.4g}")
        elif len(problems) > 1 and (shares := judging.summed(means, exacts[objective], exacts[other])):
            sums.append(f"{shares[0]:.4g} {objective} {shares[1]:+.4g} {other}: {words}")
    return tuple(said or sums)


def _sampled(subject: Subject, objective: str, seed: int) -> Certificate:
    """By the sequential test on each problem."""
    if objective == "forward":
        raise ValueError(f"{subject.name} is random in a way that is not enumerated, which forward asks for")
    matters, first, most = _BY_MECHANISM if subject.redrawn is not None else _BY_FUNCTION
    costs: list[float] = []
    settled, exacts = [], []
    for problem, row in itertools.product(subject.problems, subject.rows):

        def more(draws: int, look: int, problem: Any = problem, row: int = row) -> Tensor:
            estimates, cost = drawn(subject, problem, row, draws, 1000 * seed + look)
            costs.append(max(1.0, cost))
            return estimates

        exacts.append(subject.truth(problem, objective).slope[row])
        settled.append(settle(more, exacts[-1], matters, first, most))
    means = [found.mean for found in settled]
    if not torch.cat(means).isfinite().any():
        raise ValueError(f"{subject.name} gives no finite gradient")
    lies = judging.aligned([mean[None] for mean in means], [exact[None] for exact in exacts], 0.0)
    length = sum(float(exact.square().sum()) for exact in exacts)
    noise = sum(found.variance for found in settled)
    distance = sum(float((mean - exact).square().sum()) for mean, exact in zip(means, exacts, strict=True))
    counts = " + ".join(f"{found.draws:,}" for found in settled)
    return _certificate(
        subject,
        objective,
        lies,
        verdict=together([found.finding for found in settled], lies.scales, matters),
        variance=noise / length,
        cost=costs[0],
        error=math.sqrt((distance + noise * costs[0] / judging.BUDGET) / length),
        enumerated=False,
        how=f"sampled, since what is random cannot be enumerated: {counts} estimates of {len(settled)} problems; "
        f"on each, a bias of {matters:.0%} of the gradient is missed with chance "
        f"{MISSED:g} at most, and a false alarm has chance {ALARM:g}",
        follows=(),
        behind="",
        notes=(),
    )
