"""Figures of why the argmax cannot be trained by its gradient, and of what beta does to the gradient of the
softargmax."""

import torch
from torch import Tensor

from attnlab import functional
from attnlab.tour.example import SCORES, gradient
from attnlab.tour.figures import BETAS, GREY, HARD, SHADES, SOFT, canvas, over_beta, png

MOVED = 1  # the position whose score is moved
CURVED = (1.0, 3.0, 10.0)


def gradient_norms(betas: Tensor) -> list[float]:
    """The norm of d softargmax / d scores for each beta."""
    return [float(gradient(SCORES, float(beta)).norm()) for beta in betas]


def step_or_slope() -> bytes:
    """Index and its gradient as one score moves: the argmax is a step, the softargmax a slope."""
    moved = torch.linspace(-1, 5, 601, dtype=torch.float64)
    scores = SCORES.repeat(len(moved), 1)
    scores[:, MOVED] = moved
    jump = float(SCORES.max())
    figure, panels = canvas(4.4, 2, 1, sharex=True)
    index, slope = panels[:, 0]
    hard = functional.argmax(scores)
    for position in hard.unique():
        steady = moved[hard == position]
        label = "argmax" if position == MOVED else None
        index.plot(steady, torch.full_like(steady, position), color=HARD, linewidth=3, label=label)
        slope.plot(steady, torch.zeros_like(steady), color=HARD, linewidth=3)
    for beta, shade in zip(CURVED, SHADES[1:], strict=True):
        label = f"softargmax, beta {beta:g}"
        index.plot(moved, functional.softargmax(scores, beta), color=shade, label=label)
        slope.plot(moved, [gradient(row, beta)[MOVED] for row in scores], color=shade, label=label)
    for axes in (index, slope):
        axes.axvline(jump, color=GREY, linestyle=":", linewidth=1)
    slope.plot([jump], [0], "o", color=HARD, markerfacecolor="white", markersize=7)
    slope.annotate(
        "argmax: 0, and at its step undefined",
        (0.97, 0.94),
        xycoords="axes fraction",
        ha="right",
        color=HARD,
        fontsize=9,
    )
    slope.set_ylim(top=0.8)
    index.set_ylabel("index")
    slope.set_ylabel("gradient")
    slope.set_xlabel(f"score of position {MOVED}; position {functional.argmax(SCORES)} has {jump:g}")
    index.legend(frameon=False)
    return png(figure)


def growth_and_death() -> bytes:
    """The norm of the softargmax's gradient against beta: it grows like beta, and dies like exp(-beta *
    gap)."""
    norms = gradient_norms(BETAS)
    peak = max(range(len(norms)), key=norms.__getitem__)
    figure, panels = canvas(3.0, 1, 1)
    axes = panels[0, 0]
    axes.plot(BETAS, norms, color=SOFT, linewidth=2.5)
    axes.plot([BETAS[peak]], [norms[peak]], "o", color=SOFT)
    axes.annotate(
        f"largest at beta = {BETAS[peak]:.2f}",
        (float(BETAS[peak]), norms[peak]),
        xytext=(8, 4),
        textcoords="offset points",
    )
    over_beta(axes)
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 2)
    axes.set_ylabel("gradient norm (log scale)")
    return png(figure)


FIGURES = (step_or_slope, growth_and_death)
