"""The verdict on an estimator: `attnlab.certify`."""

from collections.abc import Callable, Sequence
from typing import Any

from attnlab.certification import functions, mechanisms
from attnlab.certification.by_outcomes import judged, problems_of
from attnlab.certification.by_samples import sampled
from attnlab.certification.certificate import Certificate
from attnlab.certification.measuring import repeats
from attnlab.certification.outcomes import NotEnumerable
from attnlab.certification.subject import Subject


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
    reason = "the same draws do not give the same estimate again"
    try:
        if repeats(subject, subject.problems[0]):
            if found := problems_of(subject):
                return judged(subject, asked, found)
            reason = "there are too many outcomes"
    except NotEnumerable as error:
        reason = str(error)
    return sampled(subject, asked, seed, reason)
