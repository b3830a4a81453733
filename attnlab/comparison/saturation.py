"""The gradient of attention against beta: what the softmax lets through, drawn over what arrived."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from attnlab.comparison.against import BETA
from attnlab.comparison.grouping import group_runs, settings_of
from attnlab.comparison.labels import number
from attnlab.comparison.numbers import NEAR, near
from attnlab.comparison.plots import SETTINGS, canvas, legend, style
from attnlab.comparison.reading import Run
from attnlab.text import filled

GRADIENT, _JACOBIAN, _BETA = "grad_norm/attention", "train/softmax_jacobian", "schedule/beta"


class ByBeta(NamedTuple):
    """Runs that differ in beta and the seed alone, at the first step that was logged: geometric means over
    seeds."""

    label: str
    betas: list[float]
    measured: list[float]  # the norm of the gradient in the parameters of attention
    predicted: list[float]  # beta |diag(p) - p p'| times one constant, the same for all of them

    def right(self) -> list[bool]:
        """Whether each prediction is within a factor of 2."""
        pairs = zip(self.predicted, self.measured, strict=True)
        return [near(predicted, measured) for predicted, measured in pairs]


def by_beta(runs: Sequence[Run], by: Sequence[str] = ()) -> list[ByBeta]:
    """The groups of runs with several betas; runs without these figures are passed over."""
    return [
        found
        for group in group_runs(runs, [name for name in by if name != BETA], without=[BETA])
        if (found := _of(group.label, group.runs))
    ]


def _of(label: str, runs: Sequence[Run]) -> ByBeta | None:
    at: dict[float, list[tuple[float, float]]] = {}
    for run in runs:
        beta, first = number(settings_of(run).get(BETA, "")), _first(run)
        if beta is not None and first is not None:
            at.setdefault(beta, []).append(first)
    if len(at) < 2:
        return None
    logs = np.array([np.log(at[beta]).mean(0) for beta in sorted(at)])  # measured, let through
    scaled = logs[:, 1] + (logs[:, 0] - logs[:, 1]).mean()
    return ByBeta(label, sorted(at), np.exp(logs[:, 0]).tolist(), np.exp(scaled).tolist())


def _first(run: Run) -> tuple[float, float] | None:
    """The gradient norm and beta |diag(p) - p p'| at the first logged step; None without them, and where
    one of them is 0."""
    try:
        gradient, jacobian, beta = (float(run.history(tag).values[0]) for tag in (GRADIENT, _JACOBIAN, _BETA))
    except (ValueError, IndexError):  # not logged, in whole or yet
        return None
    return (gradient, beta * jacobian) if gradient > 0 < beta * jacobian else None


def table(groups: Sequence[ByBeta]) -> str:
    """Measured and predicted gradients by beta, and how often they agree; "" where there are none."""
    lines = []
    for group in groups:
        lines += [f"gradient of attention at the first logged step: {group.label}"]
        lines += [f"{'beta':>10}{'measured':>12}{'predicted':>12}"]
        for values in zip(group.betas, group.measured, group.predicted, strict=True):
            lines.append("{:10g}{:12.3g}{:12.3g}".format(*values))
        lines.append("")
    return "\n".join([*lines, filled(verdict(groups))]) if groups else ""


def verdict(groups: Sequence[ByBeta]) -> str:
    """How often the law was right, in a sentence; "" where it says nothing."""
    right = [one for group in groups for one in group.right()]
    return (
        f"beta |diag(p) - p p'|, times one constant for each group, was within a factor of {NEAR:g} of the "
        f"gradient at {sum(right)} of {len(right)} betas."
    ) * bool(right)


@rc_context(SETTINGS)
def drawn(groups: Sequence[ByBeta]) -> Figure:
    """Measured gradients against beta, a line for each group, and dashed what was predicted."""
    figure = canvas(3.4)
    panel: Any = figure.subplots()
    for place, group in enumerate(groups):
        colour, marker = style(place)
        panel.plot(group.betas, group.measured, color=colour, marker=marker, markersize=5)
        panel.plot(group.betas, group.predicted, "--", color=colour, linewidth=1)
    panel.set(xscale="log", yscale="log", xlabel="beta (inverse temperature)")
    panel.set_title(f"{GRADIENT} at the first logged step", fontsize=9, loc="left")
    panel.grid(alpha=0.3)
    legend(figure, [group.label for group in groups])
    return figure
