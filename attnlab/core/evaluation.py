"""How a trained mechanism is read at evaluation."""

from collections.abc import Callable

from attnlab.core.interfaces import Distribution, Mechanism, Selector
from attnlab.core.selectors import Argmax, Enumeration, Mixture

RULES: dict[str, Callable[[Distribution], Selector]] = {
    "soft": lambda distribution: Mixture(distribution.untruncated()),
    "topk": Mixture,
    "argmax": Argmax,
    "marginal": Enumeration,
}
FOLLOWS: dict[str, Callable[[Distribution], Selector]] = {
    "soft": Mixture,
    "expected": Argmax,
    "marginal": Enumeration,
}


def rule_of(mechanism: Mechanism) -> Selector:
    """The selector that evaluation reads with: the mechanism's `evaluate_as`, where `same` follows its
    objective.

    `soft` mixes the values of all positions, `topk` those that a truncated distribution keeps, `argmax` takes
    the most probable position, `marginal` mixes the token probabilities of all positions.
    """
    same = mechanism.evaluate_as == "same"
    rule = FOLLOWS[mechanism.facts.objective] if same else RULES[mechanism.evaluate_as]
    return rule(mechanism.distribution)
