"""The verdict on an estimator: `attnlab.certify`."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

from attnlab.certification import functions, mechanisms
from attnlab.certification.by_outcomes import judged, problems_of
from attnlab.certification.by_samples import sampled
from attnlab.certification.certificate import Certificate
from attnlab.certification.measuring import repeats
from attnlab.certification.outcomes import NotEnumerable
from attnlab.certification.subject import Subject
from attnlab.core.interfaces import Reach


def certify(
    estimator: str | Callable[..., Any],
    *,
    objective: str | None = None,
    problems: Sequence[Any] | None = None,
    seed: int = 0,
    reach: Reach = "step",
    **settings: Any,
) -> Certificate:
    """Hold a gradient estimator against exact gradients of small random problems, in double precision.

    estimator: a surrogate `f(scores, draw) -> loss`, a router `f(logits, draw) -> weights` or an advantage
    function `f(rewards, ...) -> weights`, known by the name of the first parameter; or a mechanism of attnlab
    by name, with its settings: `certify("hard_reinforce", samples=2)`. objective: what it is held to, unless
    its kind says; problems: other ones than the random ones of a seed, as `answers` makes them. reach: which
    losses a mechanism's choice may change, those of its own step, of all later ones too, or of all of the
    row: `certify("hard_reinforce", samples=2, reach="later")`.

    Every outcome of what is drawn is enumerated; where that cannot be, estimates are drawn until a sequential
    test decides. Raises ValueError for an estimator that fails or gives nonsense, and for an objective that
    its kind does not have.
    """
    if isinstance(estimator, str):
        if problems is not None:
            raise ValueError("a mechanism has problems of its own; problems are for functions")
        said = [f"attention.{key}={'null' if value is None else value}" for key, value in settings.items()]
        name = " ".join([estimator, *(f"{key}={value}" for key, value in settings.items())])
        if reach not in get_args(Reach):
            raise ValueError(f"reach is one of {', '.join(get_args(Reach))}, got {reach!r}")
        overrides = [f"attention={estimator}", *said]
        return certificate_of(mechanisms.subject_of(overrides, name, seed, reach), objective)
    if settings or reach != "step":
        given = ", ".join([*settings, *(["reach"] if reach != "step" else [])])
        raise ValueError(f"only a mechanism has settings and a reach, got {given}")
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
