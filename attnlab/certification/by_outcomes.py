"""The verdict where every outcome can be met."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attnlab.certification import judging
from attnlab.certification.certificate import Certificate
from attnlab.certification.measuring import Measured, drawn, measured
from attnlab.certification.outcomes import NotEnumerable
from attnlab.certification.sequential import ALARM
from attnlab.certification.subject import Subject, Truth
from attnlab.microscope.hotelling import chance_of

_MOST = 2**13  # outcomes of one problem
_SHARPER = (8.0, 20.0, 32.0)
_OWN_DRAWS = 2**13


def problems_of(subject: Subject) -> list[tuple[Any, Measured]]:
    """Problems whose every outcome was met; none where there are too many."""
    found = []
    for problem in subject.problems:
        try:
            found.append((problem, measured(subject, problem, _MOST)))
        except NotEnumerable:
            continue
    return found


def judged(subject: Subject, objective: str, found: list[tuple[Any, Measured]]) -> Certificate:
    """The verdict on means over every outcome. Raises ValueError where none of them is finite."""
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
    how = f"every outcome enumerated, in double precision: {counts} outcome{'s' * (counts != '1')}"
    follows = _follows(subject, objective, problems, means) if verdict != "exact" else ()
    return judging.stated(
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
    return chance_of(difference, covariance, len(estimates), missed=-math.log(ALARM)) > ALARM


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
