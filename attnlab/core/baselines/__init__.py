"""Baselines for REINFORCE: numbers independent of the own draw change the variance of the gradient, not its
mean.

One file a baseline, of the name by which `attention.baseline` chooses it, with one class.
"""

from importlib import import_module

from attnlab.core.interfaces import Baseline


def baseline_class(name: str, samples: int) -> type[Baseline]:
    """What a word names, leave_one_out, or the path of a class of one's own, mine.optimal.Optimal.

    Raises ValueError for a path that leads to something else, and for one that needs more draws.
    """
    path, _, last = name.rpartition(".")
    module = import_module(path or f"{__name__}.{name}")
    found = (
        [getattr(module, last)]
        if path
        else [
            value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__
        ]
    )
    if not (len(found) == 1 and isinstance(found[0], type) and issubclass(found[0], Baseline)):
        raise ValueError(f"{name} must be a Baseline of attnlab.core.interfaces, got {found!r:.80}")
    if samples < found[0].draws:
        raise ValueError(
            f"baseline={name} needs samples >= {found[0].draws}, got {samples}; baseline=none needs 1"
        )
    return found[0]
