"""A finished run read in other ways: at other lengths, and by every rule."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnlab.building import Built, steps_alone
from attnlab.core.evaluation import rule_of
from attnlab.core.schedules import Scheduled
from attnlab.progress import tell
from attnlab.runs.law import FIGURES, PREDICTED, AtLength, keep, measured_break
from attnlab.runs.lengths import at_lengths, examined, refuse_lengths
from attnlab.settings import EvaluateAs
from attnlab.text import wrapped

_NAMES = ("accuracy", "token", "aligned", "mass", "entropy", "largest", "lead", "nll")
_CALLED: dict[str, str] = dict(zip(FIGURES, _NAMES, strict=True))
"""What a table of 80 columns calls them."""


def read_lengths(built: Built, lengths: Sequence[int], folder: Path) -> None:
    """Print a row a length as it is measured; then at which the attention was predicted to break, and where
    it did; and write both beside the run."""
    refuse_lengths(built, lengths)
    found: list[AtLength] = []
    print(_row("length", _CALLED))
    for one in at_lengths(built, lengths, tell):
        found.append(one)
        print(_shown(str(one.length), one.figures), flush=True)
    trained = built.config["task"]["longest"]
    print(f"\n{wrapped(_law(next(one for one in found if one.length == trained), found))}")
    table, picture = keep(found, folder)
    print(f"\ntable    {table}\npicture  {picture}")


def _law(base: AtLength, found: Sequence[AtLength]) -> str:
    if PREDICTED[1] not in base.figures:
        return "No step has one right position, so no length is predicted at which attention breaks."
    predicted, measured = base.figures[PREDICTED[1]], measured_break(found)
    keeps = f"up to {predicted:,.0f} positions" if predicted < math.inf else "at any length"
    said = (
        f"At {base.length} symbols the right position leads by {base.figures['lead']:.2f} nats over the mean "
        f"of the others, in the mean over steps: by the law of this attention, step by step, it is predicted "
        f"to keep half of the weight {keeps}."
    )
    if measured is None:
        return f"{said} Measured: it does not fall below a half between two of these lengths."
    times = f", {measured / predicted:.2g} times that" if predicted < math.inf else ""
    return f"{said} Measured: up to {measured:,.3g}{times}."


def _row(name: str, figures: Mapping[str, Any]) -> str:
    cells = [value if isinstance(value, str) else _cell(value) for value in figures.values()]
    return f"{name:14}" + "".join(f"{cell:>8}" for cell in cells)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def read_rules(built: Built) -> None:
    """Print a row for every rule that the attention allows, on the test; and for other betas of the averaged
    value."""
    model, task, device = built.model, built.task, next(built.model.parameters()).device
    model.eval()
    print(_row("rule", _CALLED))
    rules: tuple[EvaluateAs, ...] = ("soft", "argmax", "marginal", "topk")
    for rule in rules:
        try:
            selector = rule_of(built.mechanism, rule)
        except ValueError:  # which this attention does not allow
            continue
        if selector.anywhere or steps_alone(model):
            print(_shown(rule, examined(model, task, selector, device)), flush=True)
    beta = getattr(built.mechanism.distribution, "beta", None)
    if isinstance(beta, Scheduled) and built.mechanism.distribution.apart:
        trained = beta.value.clone()
        for factor in (0.25, 4.0, 16.0, 64.0):
            beta.value.copy_(trained * factor)
            figures = examined(model, task, rule_of(built.mechanism, "soft"), device)
            print(_shown(f"soft beta*{factor:g}", figures), flush=True)
        beta.value.copy_(trained)


def _shown(name: str, figures: Mapping[str, float]) -> str:
    return _row(name, {key: figures.get(key) for key in FIGURES})
