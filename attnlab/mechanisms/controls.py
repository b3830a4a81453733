"""Controls: what attention that learns nothing reaches, and what attention that knows everything reaches."""

from attnlab.attention.distributions import Oracle, Uniform
from attnlab.attention.interfaces import Mechanism
from attnlab.mechanisms.soft import averaged
from attnlab.settings import EvaluateAs


def uniform(*, evaluate_as: EvaluateAs) -> Mechanism:
    """weights = 1 / n for each of the n positions that may be attended: the floor. The scores get no
    gradient.

    Paper: none; a control.
    Bias: none for its own objective, which the scores do not enter.
    Cost: 1 evaluation of the loss.
    """
    return averaged(Uniform(), evaluate_as)


def oracle(*, evaluate_as: EvaluateAs) -> Mechanism:
    """weights uniform over the gold positions of the task, over all where none is known: the ceiling, also at
    evaluation.

    Paper: none; a control.
    Bias: none for its own objective, which the scores do not enter.
    Cost: 1 evaluation of the loss.
    """
    return averaged(Oracle(), evaluate_as)
