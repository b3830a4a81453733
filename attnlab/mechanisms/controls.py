"""Controls: what attention that learns nothing reaches, and what attention that knows everything reaches."""

from attnlab.core.distributions import Oracle, Uniform
from attnlab.core.interfaces import Mechanism
from attnlab.facts import Facts
from attnlab.mechanisms.soft import averaged


@Facts(paper="none; a control", objective="soft", unbiased=True, needs="mixture", evaluations=1)
def uniform() -> Mechanism:
    """weights = 1 / n for each of the n positions that may be attended: the floor. The scores get no
    gradient."""
    return averaged(Uniform())


@Facts(paper="none; a control", objective="soft", unbiased=True, needs="mixture", evaluations=1)
def oracle() -> Mechanism:
    """weights uniform over the gold positions of the task, over all where none is known: the ceiling, also at
    evaluation."""
    return averaged(Oracle())
