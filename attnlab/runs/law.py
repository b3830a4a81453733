"""At which length attention is predicted to break, where it does, and the files that say so. Nothing here
imports torch."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from attnlab.files import regular, write_rows

FIGURES = (
    "sequence_accuracy",
    "token_accuracy",
    "alignment_accuracy",
    "alignment_mass",
    "attention_entropy",
    "largest_weight",
    "lead",
    "nll",
)
"""What is measured at each length, where the task has it."""
PREDICTED = ("predicted_mass", "predicted_break")
"""What the leads at the length of training say of the weight at a length, and of where it falls below a half;
absent where no step has one right position."""


class AtLength(NamedTuple):
    """What a run does at a length: figures by name."""

    length: int
    figures: Mapping[str, float]


def predicted_break(lead: float) -> float:
    """The number of positions at which the right one is predicted to lose half of the weight under softmax:
    1 + exp(lead).

    With one right position of n and a lead of L nats over the mean of the others, its share is
    e^L / (e^L + n - 1), as long as more positions have scores like those before.
    """
    return 1 + math.exp(min(lead, 700.0))


def predicted_share(lead: float, length: int) -> float:
    """The weight of the right position at a number of positions, by the same law."""
    return 1 / (1 + (length - 1) * math.exp(-min(lead, 700.0)))


def measured_break(found: Sequence[AtLength], figure: str = "alignment_mass") -> float | None:
    """The length at which a figure falls below a half, between two lengths by a line over log n: the first
    where it is below already, None where it never is."""
    if found and found[0].figures.get(figure, math.nan) < 0.5:
        return float(found[0].length)
    for before, after in zip(found, found[1:], strict=False):
        high, low = (one.figures.get(figure, math.nan) for one in (before, after))
        if high >= 0.5 > low:
            share = (high - 0.5) / (high - low)
            return math.exp(math.log(before.length) + share * math.log(after.length / before.length))
    return None


def keep(found: Sequence[AtLength], folder: Path) -> tuple[Path, Path]:
    """Write the figures and a picture of them into lengths/ of a run; returns their paths."""
    out = folder / "lengths"
    out.mkdir(exist_ok=True)
    rows = [["length", *FIGURES, *PREDICTED]]
    for one in found:
        values = (one.figures.get(name) for name in rows[0][1:])
        rows.append([str(one.length), *("" if value is None else f"{value:.6g}" for value in values)])
    write_rows(out / "lengths.csv", rows)
    _drawn(found, out / "lengths.png")
    return out / "lengths.csv", out / "lengths.png"


def kept(folder: Path) -> list[AtLength]:
    """What `keep` wrote into the folder of a run; [] where there is nothing that can be read."""
    try:
        with regular(folder / "lengths" / "lengths.csv").open(encoding="utf-8", newline="") as file:
            return [
                AtLength(int(row.pop("length")), {name: float(value) for name, value in row.items() if value})
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _drawn(found: Sequence[AtLength], path: Path) -> None:
    """Accuracy, weight of the right position and its prediction over the length, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lengths = [one.length for one in found]
    shown = {"sequence_accuracy": "accuracy", "token_accuracy": "accuracy, right prefix given"}
    shown |= {"alignment_mass": "weight of the right positions"}
    for name, label in shown.items():
        values = [one.figures[name] for one in found if name in one.figures]
        if len(values) == len(lengths):
            axes.plot(lengths, values, marker="o", label=label)
    if all(PREDICTED[0] in one.figures for one in found):
        law = [one.figures[PREDICTED[0]] for one in found]
        axes.plot(lengths, law, "k--", label="weight predicted from the length of training")
        if lengths[0] < (broken := found[0].figures[PREDICTED[1]]) < 2 * lengths[-1]:
            axes.axvline(broken, color="0.6", lw=0.8)
    axes.set(xscale="log", xlabel="length of the source", ylim=(-0.02, 1.02))
    axes.set_xticks(lengths, [str(length) for length in lengths], rotation=45)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path)
