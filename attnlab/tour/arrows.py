"""Arrow plots: single gradient estimates of every mechanism, their mean, and the exact gradient, over three
scores."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from attnlab.config.choice_files import settings_in
from attnlab.config.places import CONFIGS
from attnlab.microscope.gradients import Loss, exact_gradient, mechanism_of, sample_gradients
from attnlab.tour.figures import GREY, SOFT, png

SCORES = torch.tensor([0.6, 0.0, -0.3], dtype=torch.float64)
VALUES = torch.tensor([[0.0, 1.0], [-0.9, -0.5], [0.9, -0.5]], dtype=torch.float64)
GOAL = torch.tensor([0.6, -0.5], dtype=torch.float64)
_FEWER = {"samples": 2, "k": 2}  # than there are positions: with all of them nothing is left to estimate
DRAWS, SHOWN = 4000, 300
_REACH = 3.8  # of the picture, in lengths of the exact gradient


class Estimates(NamedTuple):
    """Gradients by the three scores: many single estimates of a mechanism, exact ones of its own and of the
    expected cost."""

    name: str
    objective: str
    single: Float[Tensor, "draws S"]
    own: Float[Tensor, "S"]
    expected: Float[Tensor, "S"]


def cost(weights: Float[Tensor, "K N S"]) -> Float[Tensor, "K N"]:
    """|weights . values - goal|^2: what is read should be near the goal."""
    return (weights @ VALUES - GOAL).square().sum(-1)


def settings_of(name: str) -> list[str]:
    """Overrides for a mechanism's defaults but for _FEWER samples or positions."""
    offered = settings_in(CONFIGS / "attention" / f"{name}.yaml")
    fewer = [f"attention.{key}={value}" for key, value in _FEWER.items() if key in offered]
    return [f"attention={name}", *fewer]


def measure(name: str, overrides: Sequence[str], scores: Float[Tensor, "S"], cost: Loss) -> Estimates:
    """Estimates of the mechanism that overrides describe, for a cost at some scores."""
    single = sample_gradients(overrides, scores, cost, DRAWS)
    own = exact_gradient(scores, cost, overrides=overrides)
    return Estimates(name, mechanism_of(overrides).facts.objective, single, own, exact_gradient(scores, cost))


def measured(name: str) -> Estimates:
    """What the gallery shows of a mechanism."""
    return measure(name, settings_of(name), SCORES, cost)


def caption(estimates: Estimates) -> str:
    """The objective, and bias and noise in lengths of the exact gradient of that objective."""
    _, objective, single, own, expected = estimates
    if not own.any():
        return "does not look at the scores, so there is no gradient."
    mean = single.mean(0)
    noise = float((single - mean).norm(dim=1).square().mean().sqrt() / own.norm())
    bias = float((mean - own).norm() / own.norm())
    shares = "" if torch.allclose(own, expected) else "shares of its own; "
    whose = shares if objective == "expected" else f"another objective, {objective}; "
    if noise < 1e-6:
        return whose + (
            "exact, no noise."
            if bias < 1e-6
            else f"no noise, but a bias of {100 * bias:.0f}\N{NO-BREAK SPACE}%."
        )
    seen = f"a bias of {100 * bias:.0f}\N{NO-BREAK SPACE}%" if bias > 3 * noise / DRAWS**0.5 else "no bias"
    return f"{whose}{seen}; one estimate is off by {100 * noise:.0f}\N{NO-BREAK SPACE}%."


def arrows(estimates: Estimates) -> bytes:
    """The plane of the three scores' differences, one direction a score: dots, their mean in colour, the
    exact one black."""
    figure = Figure(figsize=(2.1, 2.0), layout="constrained")
    axes = figure.subplots()
    reach = _REACH * float(estimates.expected.norm())
    for position, direction in enumerate(_directions()):
        axes.plot(*torch.stack([0 * direction, 0.75 * reach * direction]).T, color=GREY, linewidth=0.5)
        x, y = (0.8 * reach * direction).tolist()
        axes.text(x, y, f"score {position}", color=GREY, ha="center", fontsize=8)
    places, counts = _flat(estimates.single[:SHOWN]).mul(1e6).round().unique(dim=0, return_counts=True)
    axes.scatter(*places.T / 1e6, s=(5 + 250 * counts / SHOWN).tolist(), color=SOFT, alpha=0.35, linewidth=0)
    for gradient, colour, width in (
        (estimates.expected, "black", 0.028),
        (estimates.single.mean(0), SOFT, 0.012),
    ):
        tip, shape = (
            _flat(gradient).tolist(),
            {"angles": "xy", "scale_units": "xy", "scale": 1, "width": width, "zorder": 3},
        )
        axes.quiver(
            0, 0, *tip, color=colour, headwidth=3, headlength=3, headaxislength=3, minlength=0, **shape
        )
    axes.set_xlim(-reach, 0.7 * reach)
    axes.set_ylim(-0.6 * reach, 1.05 * reach)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return png(figure)


def _directions() -> Tensor:
    """Three unit vectors of the plane, 120 degrees apart (3, 2)."""
    angles = torch.pi / 2 + torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    return torch.stack([angles.cos(), angles.sin()], 1)


def _flat(gradients: Tensor) -> Tensor:
    """Gradients (..., 3) as vectors of the plane (..., 2), lengths kept: their entries sum to 0."""
    return gradients @ _directions() * (2 / 3) ** 0.5
