"""`scripts/compare.py`: parse, call, print; 0 for a comparison, 2 for bad input. Statistics and plots are
imported late."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from attnlab.answers import answered, parser, shown
from attnlab.comparison.reading import Run, load_runs
from attnlab.text import filled

PLOTS = ("figures.png", "curves.png", "beta.png")


def compare(arguments: Sequence[str], doc: str | None) -> int:
    """Compare the runs that the arguments name; what a person can mend is one message and no traceback."""
    options = _parser(doc).parse_args(arguments)
    return answered(
        lambda: shown(_compare(load_runs(*options.runs), options.metric, _split(options.by), options.out))
    )


def _parser(doc: str | None) -> argparse.ArgumentParser:
    options = parser("compare", "RUNS ... [--metric TAG] [--by KEY ...] [--out DIR]", doc)
    options.add_argument(
        "runs", nargs="+", metavar="RUNS", help="folders of runs, folders above them, or globs"
    )
    told = (
        "the figure to compare: nll, token_accuracy, sequence_accuracy, error_rate, "
        "alignment_accuracy, alignment_mass or "
        "attention_entropy behind val/ or test/, or any key of results.json or column of "
        "metrics.csv; default: %(default)s"
    )
    options.add_argument("--metric", default="val/sequence_accuracy", metavar="TAG", help=told)
    told = (
        "settings to group by, groups such as attention or keys such as attention.beta; default: "
        "all but the seed"
    )
    options.add_argument("--by", nargs="+", default=[], metavar="KEY", help=told)
    told = "the folder where everything is written; default: comparison/ and the name of the figure"
    options.add_argument("--out", type=Path, metavar="DIR", help=told)
    return options


def _split(keys: Sequence[str]) -> list[str]:
    return [key for part in keys for key in part.split(",") if key]


def _compare(runs: Sequence[Run], metric: str, by: Sequence[str], out: Path | None) -> str:
    """Compute everything, write it, and return what is said in the terminal."""
    from attnlab.comparison import comparing, curves, plots, report, tables, tensorboard

    comparison = comparing.make(runs, metric, by)
    drawn, words = curves.curves(comparison.rows, metric)
    counted = [run for row in comparison.rows for run in row.counted]
    series = curves.beta_series(counted, metric, by)
    if not any(run.parameters for run in counted):
        words.append("the runs do not say how many parameters they train")
    if not comparison.rows or not counted:
        raise ValueError(
            "\n".join(
                [
                    f"no run counts for {metric}:",
                    *(f"  {run.name}: {why}" for run, _, why in comparison.left_out),
                ]
            )
        )

    images = [
        (
            "figures.png",
            "Figures",
            plots.figures(comparison),
            "Mean and 95 % interval of each group; a small dot is a seed.",
        )
    ]
    if drawn:
        caption = (
            "Mean over seeds and 95 % interval at each step. The figures above are those of "
            "each run's best checkpoint."
        )
        images.append(("curves.png", "Learning curves", plots.learning(drawn, comparison), caption))
    if series:
        caption = "Mean and 95 % interval over seeds against beta. A gradient norm is the mean over training."
        if curves.GAP not in series:
            caption += f" The gap between soft and argmax evaluation is left out: no run has {curves.GAP}."
        directions = {tag: comparing.direction(tag) for tag in series}
        images.append(("beta.png", "Against beta", plots.against_beta(series, directions), caption))
    for most, several in ((plots.ROWS, "figures"), (plots.CURVES, "curves")):
        if len(comparison.rows) > most:
            words.append(
                f"{several}.png shows {most} of the {len(comparison.rows)} groups; groups.csv has all"
            )

    out = out or Path("comparison") / metric.replace("/", "-")
    out.mkdir(parents=True, exist_ok=True)
    names = ["report.html", *tables.write(comparison, out)]
    for name in PLOTS:
        (out / name).unlink(missing_ok=True)
    for name, _, png, _ in images:
        (out / name).write_bytes(png)
    (out / "report.html").write_text(
        report.page(comparison, [image[1:] for image in images], words), encoding="utf-8"
    )
    tensorboard.write(drawn, metric, out / "tensorboard")
    written = f"written to {out}: {', '.join([*names, *(image[0] for image in images)])}"
    seen = f"\ntensorboard --logdir {shlex.quote(str(out / 'tensorboard'))}" if drawn else ""
    return f"{tables.text(comparison, words)}\n\n{filled(written, 0, 2)}{seen}"
