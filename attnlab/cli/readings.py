"""A finished run read in other ways: at other lengths, and by every rule."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnlab.building import Built, steps_alone
from attnlab.core.evaluation import rule_of
from attnlab.core.schedules import Scheduled
from attnlab.files import write_rows
from attnlab.progress import tell
from attnlab.runs.lengths import (
    AtLength,
    at_lengths,
    examined,
    measured_break,
    predicted_break,
    predicted_share,
)
from attnlab.settings import EvaluateAs
from attnlab.text import wrapped

EXAMPLES = 1000
_FIGURES = {
    "sequence_accuracy": "accuracy",
    "token_accuracy": "token",
    "alignment_accuracy": "aligned",
    "alignment_mass": "mass",
    "attention_entropy": "entropy",
    "largest_weight": "largest",
    "lead": "lead",
    "nll": "nll",
}
"""The columns: figures, and what a table of 80 columns calls them."""


def read_lengths(built: Built, lengths: Sequence[int], folder: Path) -> None:
    """Print a row a length as it is measured; then at which the attention was predicted to break, and where
    it did; and write both beside the run."""
    longest = built.config["task"].get("longest", 0)
    trained = [longest] if longest and longest not in lengths else []
    found: list[AtLength] = []
    print(_row("length", _FIGURES))
    for one in at_lengths(built, sorted([*lengths, *trained]), EXAMPLES, tell):
        found.append(one)
        print(_row(str(one.length), {name: one.figures.get(name) for name in _FIGURES}), flush=True)
    base = next((one for one in found if one.length == longest), found[0])
    print(f"\n{wrapped(_law(base, found))}")
    rows = [["length", *_FIGURES, "predicted_mass"], *_rows(found, base)]
    out = folder / "lengths"
    out.mkdir(exist_ok=True)
    write_rows(out / "lengths.csv", rows)
    _drawn(found, base, out / "lengths.png")
    print(f"\ntable    {out / 'lengths.csv'}\npicture  {out / 'lengths.png'}")


def _law(base: AtLength, found: Sequence[AtLength]) -> str:
    predicted, measured = predicted_break(base.figures), measured_break(found)
    if "lead" not in base.figures:
        return "No step has one right position, so no length is predicted at which attention breaks."
    said = (
        f"At {base.length} symbols the right position leads by {base.figures['lead']:.2f} nats over the mean "
        f"of the others: under softmax it is predicted to keep half of the weight up to {predicted:.3g} "
        "positions."
    )
    if measured is None:
        return f"{said} Measured: it does not fall below a half between two of these lengths."
    return f"{said} Measured: up to {measured:.3g}, {measured / predicted:.2g} times that."


def _rows(found: Sequence[AtLength], base: AtLength) -> list[list[str]]:
    rows = []
    for one in found:
        figures = [one.figures.get(name) for name in _FIGURES]
        share = predicted_share(base.figures["lead"], one.length) if "lead" in base.figures else None
        told = ("" if value is None else f"{value:.6g}" for value in (*figures, share))
        rows.append([str(one.length), *told])
    return rows


def _row(name: str, figures: Mapping[str, Any]) -> str:
    cells = [value if isinstance(value, str) else _cell(value) for value in figures.values()]
    return f"{name:14}" + "".join(f"{cell:>8}" for cell in cells)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _drawn(found: Sequence[AtLength], base: AtLength, path: Path) -> None:
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
    if "lead" in base.figures:
        law = [predicted_share(base.figures["lead"], length) for length in lengths]
        axes.plot(lengths, law, "k--", label=f"predicted from length {base.length}")
        if lengths[0] < (broken := predicted_break(base.figures)) < 2 * lengths[-1]:
            axes.axvline(broken, color="0.6", lw=0.8)
    axes.set(xscale="log", xlabel="length of the source", ylim=(-0.02, 1.02))
    axes.set_xticks(lengths, [str(length) for length in lengths], rotation=45)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path)


def read_rules(built: Built) -> None:
    """Print a row for every rule that the attention allows, on the test; and for other betas of the averaged
    value."""
    model, task, device = built.model, built.task, next(built.model.parameters()).device
    model.eval()
    print(_row("rule", _FIGURES))
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
    return _row(name, {key: figures.get(key) for key in _FIGURES})
