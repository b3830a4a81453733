"""How a trained mechanism is read at evaluation."""

from collections.abc import Callable
from functools import partial

from attnlab.core.interfaces import Distribution, Mechanism, Selector
from attnlab.core.selectors import Argmax, Enumeration, Mixture
from attnlab.settings import EvaluateAs

RULES: dict[str, Callable[[Distribution], Selector]] = {
    "soft": lambda distribution: Mixture(distribution.untruncated()),
    "topk": Mixture,
    "argmax": Argmax,
    "argmax_last": partial(Argmax, ties="last"),
    "argmax_average": partial(Argmax, ties="average"),
    "marginal": Enumeration,
}
FOLLOWS: dict[str, Callable[[Distribution], Selector]] = {
    "soft": Mixture,
    "expected": Argmax,
    "marginal": Enumeration,
}


def alike(one: Selector, other: Selector) -> bool:
    """Whether two rules of a mechanism read it alike."""
    kinds = ((type(rule), rule.distribution, getattr(rule, "ties", None)) for rule in (one, other))
    return next(kinds) == next(kinds)


def rule_of(mechanism: Mechanism, evaluate_as: EvaluateAs = "same") -> Selector:
    """The selector that evaluation reads a mechanism with; `same` follows its objective.

    `soft` mixes the values of all positions, `topk` those that a truncated distribution keeps, `argmax` takes
    the most probable position, of equal ones the first, `argmax_last` the last, `argmax_average` all in equal
    shares; `marginal` mixes the token probabilities of all positions. Raises ValueError
    for `topk` where nothing is truncated, and for what reads each step by itself where a choice depends on
    the step before.
    """
    distribution = mechanism.distribution
    if not distribution.apart and evaluate_as not in ("same", "marginal"):
        raise ValueError(
            f"evaluate_as={evaluate_as} reads each step by itself, and a choice of this attention depends on "
            "the step before: evaluate_as=marginal follows it from step to step"
        )
    if evaluate_as == "topk" and distribution.untruncated() is distribution:
        raise ValueError(
            "evaluate_as=topk reads the positions that attention=topk keeps, and this attention keeps all of "
            "them: evaluate_as=soft reads them"
        )
    rule = FOLLOWS[mechanism.facts.objective] if evaluate_as == "same" else RULES[evaluate_as]
    return rule(distribution)
