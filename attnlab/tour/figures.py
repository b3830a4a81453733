"""Figures of softmax, beta, softargmax and attention as PNG, in colours that the colour-blind can tell
apart."""

import io
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnlab import functional
from attnlab.tour.example import POSITIONS, SCORES, TIED, VALUES

SOFT, HARD, _THIRD, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"  # Okabe & Ito, and a grey
SHADES = ("#9ecbe8", "#56a5d6", "#0072B2", "#003f66")  # of SOFT, from soft to hard
WIDTH = 4.8  # inches: letters stay readable where the figure is as narrow as a phone
_AREA = 1200  # of a disc that stands for a share of 1, in square points
CURVED = (0.1, 1.0, 3.0, 10.0)  # betas drawn as curves
BETAS = torch.logspace(-2, 2, 201, dtype=torch.float64)


def softmax_ranges() -> bytes:
    """softmax over 1..8, -4..4 and -9..-1 beneath the inputs: only differences count."""
    ranges = {"1 to 8": (1, 8), "-4 to 4": (-4, 4), "-9 to -1": (-9, -1)}
    figure, panels = canvas(3.4, 2, 3, sharey="row")
    for column, (label, (low, high)) in enumerate(ranges.items()):
        scores = torch.arange(low, high + 1, dtype=torch.float64)
        weights = functional.softmax(scores).tolist()
        panels[0, column].bar(scores.tolist(), scores.tolist(), color=GREY)
        panels[0, column].axhline(0, color="black", linewidth=0.8)
        panels[0, column].set_title(f"scores {label}")
        panels[1, column].bar(scores.tolist(), weights, color=SOFT)
        panels[1, column].annotate(
            f"{weights[-1]:.3f}", (high + 0.4, weights[-1]), ha="right", va="bottom", fontsize=9
        )
        panels[1, column].set_xlabel("score")
        for axes in panels[:, column]:
            axes.set_xticks((low, (low + high) // 2, high))
    panels[0, 0].set_ylabel("score")
    panels[1, 0].set_ylabel("softmax")
    panels[1, 0].set_ylim(0, 0.75)
    return png(figure)


def beta_curves() -> bytes:
    """softmax(beta x) for several beta against the spike of the hardmax."""
    figure, axes = _single(3.2)
    axes.bar(
        POSITIONS.tolist(),
        functional.hardmax(SCORES).tolist(),
        width=0.16,
        color=HARD,
        label="hardmax(x)",
        alpha=0.85,
    )
    for beta, shade, marker in zip(CURVED, SHADES, "osD^", strict=True):
        axes.plot(
            POSITIONS,
            functional.softmax(SCORES, beta),
            color=shade,
            marker=marker,
            label=f"softmax({beta:g} x)",
        )
    axes.set_xticks(range(5), [f"{i}\nx = {score:g}" for i, score in enumerate(SCORES.tolist())])
    axes.set_xlabel("position and its score")
    axes.set_ylabel("share")
    axes.legend(frameon=False, loc="upper left")
    return png(figure)


def softargmax_curve() -> bytes:
    """softargmax against beta, with the argmax as asymptote; and for two equal modes, where it is not."""
    figure, axes = _single(3.5)
    axes.axhline(int(functional.argmax(SCORES)), color=HARD, label=f"argmax(x) = {functional.argmax(SCORES)}")
    axes.plot(
        BETAS,
        [functional.softargmax(SCORES, beta) for beta in BETAS],
        color=SOFT,
        label="softargmax(x)",
        linewidth=2.5,
    )
    label = f"two equal modes, at {' and '.join(str(int(i)) for i in torch.nonzero(TIED == TIED.max()))}"
    axes.plot(
        BETAS,
        [functional.softargmax(TIED, beta) for beta in BETAS],
        "--",
        color=_THIRD,
        label=f"softargmax, {label}",
    )
    axes.set_ylim(1.9, 3.1)
    axes.set_ylabel("expected index")
    over_beta(axes)
    figure.legend(frameon=False, loc="outside lower center")
    return png(figure)


def attention() -> bytes:
    """The five numbers as weights over values in a plane: hard attention reads one, soft attention their
    average."""
    figure, axes = _single(4.0)
    weights = functional.softmax(SCORES)
    path = torch.stack([functional.softmax(SCORES, beta) @ VALUES for beta in BETAS])
    axes.plot(*path.T, color=SOFT, linewidth=1.5, label="what is read as beta grows")
    axes.scatter(*VALUES.T, s=(_AREA * weights).tolist(), color=GREY, alpha=0.35, linewidth=0)
    for position, (value, weight) in enumerate(zip(VALUES.tolist(), weights.tolist(), strict=True)):
        axes.plot([value[0]], [value[1]], ".", color="black", markersize=4)
        beside = (5 + (_AREA * weight / torch.pi) ** 0.5, 4)  # radius of the disc, in points
        text = f"value {position}\nshare {weight:.2f}"
        axes.annotate(text, value, xytext=beside, textcoords="offset points", fontsize=9)
    hard, soft = functional.hardmax(SCORES) @ VALUES, weights @ VALUES
    axes.plot(*hard[:, None], "s", color=HARD, markersize=9, label="hard attention reads")
    axes.plot(*soft[:, None], "D", color=SOFT, markersize=9, label="soft attention reads")
    axes.set_xlim(-0.5, 5.2)
    axes.set_ylim(-1.7, 4.6)
    axes.set_xlabel("first number of a value")
    axes.set_ylabel("second number")
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return png(figure)


def canvas(height: float, rows: int, columns: int, **shared: Any) -> tuple[Figure, Any]:
    """A figure that is read on a phone too, and its axes (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def over_beta(axes: Axes) -> None:
    """A logarithmic axis of beta with plain numbers."""
    ticks = (0.01, 0.1, 1, 10, 100)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("beta (log scale)")
    axes.grid(alpha=0.3)


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG, the same whenever it is drawn."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue()


def _single(height: float) -> tuple[Figure, Axes]:
    figure, axes = canvas(height, 1, 1)
    return figure, axes[0, 0]


FIGURES = (softmax_ranges, beta_curves, softargmax_curve, attention)
