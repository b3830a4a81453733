"""The picture of the README: hardmax -> argmax -> hard attention above softmax -> softargmax -> soft
attention."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from attnlab import functional
from attnlab.tour.example import POSITIONS, SCORES, VALUES
from attnlab.tour.figures import GREY, HARD, SOFT, png


def overview() -> bytes:
    """Two rows, one for each kind of weights over the same five scores: the weights, the index they give,
    what they read."""
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    panels = figure.subplots(2, 3, squeeze=False)
    rows = (
        ("hardmax", "argmax", "hard", HARD, functional.hardmax(SCORES)),
        ("softmax", "softargmax", "soft", SOFT, functional.softmax(SCORES)),
    )
    for row, (weights, index, kind, colour, shares) in enumerate(rows):
        _weights(panels[row, 0], weights, shares, colour)
        _index(panels[row, 1], weights, index, shares, colour)
        _read(panels[row, 2], weights, kind, shares, colour)
    return png(figure)


def _weights(axes: Axes, name: str, shares: Tensor, colour: str) -> None:
    axes.bar(POSITIONS.tolist(), shares.tolist(), color=colour, width=0.6)
    for position, share in enumerate(shares.tolist()):
        axes.annotate(f"{share:.2g}", (position, share), ha="center", va="bottom", fontsize=9)
    axes.set_title(f"{name}(x)", fontsize=10)
    axes.set_ylim(0, 1.2)
    axes.set_xticks(range(5), [f"{score:g}" for score in SCORES.tolist()])
    axes.set_xlabel("x")


def _index(axes: Axes, weights: str, name: str, shares: Tensor, colour: str) -> None:
    index = float(shares @ POSITIONS)
    axes.scatter(POSITIONS.tolist(), [0] * 5, s=(900 * shares).tolist(), color=colour, alpha=0.3, linewidth=0)
    axes.plot(POSITIONS, 0 * POSITIONS, ".", color="black")
    axes.plot([index], [0], "v", color=colour, markersize=11)
    axes.annotate(f"{index:.3g}", (index, 0.18), ha="center", color=colour, fontsize=11)
    axes.set_title(f"{name} = {weights} . positions", fontsize=10)
    axes.set_ylim(-0.5, 0.5)
    axes.set_xlim(-0.5, 4.5)
    axes.set_yticks([])
    axes.set_xlabel("position")


def _read(axes: Axes, weights: str, kind: str, shares: Tensor, colour: str) -> None:
    axes.scatter(*VALUES.T.tolist(), s=(900 * shares).tolist(), color=colour, alpha=0.3, linewidth=0)
    axes.plot(*VALUES.T, ".", color=GREY)
    axes.plot(*(shares @ VALUES)[:, None], "D", color=colour, markersize=8)
    axes.set_title(f"{kind} attention = {weights} . values", fontsize=10)
    axes.set_xlim(-0.6, 4.6)
    axes.set_ylim(-1.6, 4.2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("values in a plane")
