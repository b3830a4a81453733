"""What to use here, from what was measured: two sentences that a person can act on."""

import math
from collections.abc import Mapping

from attnlab.microscope.live import WEIGHTS, Found


def evaluations(one: Found, error: float) -> float:
    """Evaluations of the loss until the mean of estimates is as near the gradient of the expected loss as
    `error`, relative to its length: bias^2 + variance / n = error^2. Infinite where its bias is larger."""
    held = one.expected[WEIGHTS]
    left = error**2 - held.relative_bias**2
    if math.isnan(left) or left <= 0:
        return math.inf
    return float(one.cost * max(1, math.ceil(held.relative_variance / left)))


def advice(found: Mapping[str, Found], error: float) -> str:
    """The cheapest mechanism that comes as near the gradient of the expected loss as asked, and how near
    those come whose bias no number of estimates removes.

    "Without bias" is what noise explains at every place, since a wrong estimator of a choice may hide among
    all weights, and only where noise hides no bias above the error asked for. Raises ValueError for an error
    that is not positive.
    """
    if not error > 0:
        raise ValueError(f"the target must be a relative error > 0, got {error}")
    none = [
        name
        for name, one in found.items()
        if not any(held.relative_bias > 0 for held in one.expected.values())
    ]
    without = {name: found[name] for name in none if found[name].expected[WEIGHTS].bias_error <= error}
    needed = {name: evaluations(one, error) for name, one in without.items()}
    target = f"a relative error of {error:g} of the gradient of the expected loss"
    if needed:
        best = min(needed, key=needed.__getitem__)
        one = without[best]
        estimates = round(needed[best] / one.cost)
        several = f"{estimates} estimates, " if estimates > 1 else ""
        paid = f"{several}{round(needed[best])} evaluations of the loss"
        first = f"Use {best}: it has no bias, and reaches {target} with {paid}"
        others = sorted((name for name in needed if name != best), key=needed.__getitem__)[:2]
        if others:
            told = " and ".join(f"{name} needs {round(needed[name])}" for name in others)
            first += f" ({told})"
    else:
        first = f"None of what was measured is told to reach {target} by more estimates"
        if none:
            first += f"; more draws would tell of {', '.join(none)}"
    biased = {
        name: one.expected[WEIGHTS].relative_bias
        for name, one in found.items()
        if one.expected[WEIGHTS].relative_bias > 0
    }
    if not biased:
        return f"{first}."
    nearest = sorted(biased, key=biased.__getitem__)[:3]
    floors = ", ".join(f"{name} at {biased[name]:.2g}" for name in nearest)
    usable = [name for name in nearest if biased[name] < error]
    second = f"However many estimates are taken, the others stay away from it: {floors}"
    return f"{first}. {second}{'' if usable else ', all above the target'}."
