"""Compare runs over seeds: tables, statistics, plots, a report, TensorBoard.

  python scripts/compare.py runs
  python scripts/compare.py runs/reverse/soft runs/copy --metric test/nll
  python scripts/compare.py runs --by attention attention.beta
  python scripts/compare.py runs --against attention.samples

Runs that differ only in the seed form a group, and groups are compared over the
seeds they share, with intervals and p-values that are corrected for many pairs.
The first lines say in words what was found, and how certain that is.
Failed and unfinished runs are named, never dropped in silence. Everything is
printed, and written: report.html shows it all on one page, runs.csv, groups.csv
and pairs.csv have every digit, tensorboard/ holds mean and band of each group.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnlab import shell
from attnlab.cli.answers import answered, parser, shown
from attnlab.comparison.reading import Run, load_runs
from attnlab.progress import tell
from attnlab.text import counted, filled

BETA, _OTHER, GAP = "beta.png", "against.png", "val/soft_argmax_gap"
_PLOTS = ("figures.png", "curves.png", BETA, _OTHER, "lengths.png", "gradient.png")
FIGURES = (
    "Mean and 95 % interval of each group; a small dot is a seed. Numbers of seeds stand in brackets where "
    "groups have more and less."
)
CURVES = "Mean over seeds and 95 % interval at each step, of the parameters of that step."
_LENGTHS = (
    "Mean and 95 % interval over seeds at lengths that were not trained; dashed, what the leads at the "
    "length of training predict."
)
_GRADIENT = (
    "Geometric mean over seeds; dashed, what the softmax lets through, times one constant for each group."
)
_AGAINST = "Mean and 95 % interval over seeds. A gradient norm is the mean over the logged steps of training."


def compare(arguments: Sequence[str], doc: str | None) -> int:
    """Compare the runs that the arguments name; what a person can mend is one message and no traceback."""
    options = _parser(doc).parse_args(arguments)
    return answered(lambda: shown(_compare(_runs(options.runs), options)))


def _parser(doc: str | None) -> argparse.ArgumentParser:
    options = parser("compare", "RUNS ... [--metric TAG] [--by KEY] [--against KEY] [--out DIR]", doc)
    options.add_argument(
        "runs", nargs="+", metavar="RUNS", help="folders of runs, folders above them, or globs"
    )
    told = (
        "the figure to compare: nll, token_accuracy, sequence_accuracy, error_rate, "
        "alignment_accuracy, alignment_mass or "
        "attention_entropy behind val/ or test/, or any key of results.json or column of "
        "metrics.csv; default: %(default)s"
    )
    options.add_argument("--metric", default="test/sequence_accuracy", metavar="TAG", help=told)
    told = (
        "settings to group by, groups such as attention or keys such as attention.beta; default: "
        "all but the seed"
    )
    options.add_argument("--by", nargs="+", default=[], metavar="KEY", help=told)
    told = (
        "a setting to draw figures against, such as attention.samples or optimizer.lr; default: beta, or "
        "whatever number the runs differ in"
    )
    options.add_argument("--against", metavar="KEY", help=told)
    told = "student: Student's t, 95 %% at every number of seeds; bootstrap: BCa, too narrow for few"
    options.add_argument("--interval", choices=("student", "bootstrap"), default="student", help=told)
    told = "the folder where everything is written; default: comparison/ and the name of the figure"
    options.add_argument("--out", type=Path, metavar="DIR", help=told)
    return options


def _runs(places: Sequence[str]) -> list[Run]:
    runs = load_runs(*places)
    if sys.stderr.isatty():  # statistics and plots take seconds to import; a pipe gets the answer alone
        tell(f"comparing {counted(len(runs), 'run')}")
    return runs


def _split(keys: Sequence[str]) -> list[str]:
    return [key for part in keys for key in part.split(",") if key]


def _compare(runs: Sequence[Run], options: argparse.Namespace) -> str:
    """Compute everything, write it, and return what is said in the terminal."""
    from attnlab.comparison import comparing, curves, lengths, plots, report, saturation, tables, tensorboard

    metric, by, method = options.metric, _split(options.by), options.interval
    comparison = comparing.make(runs, metric, by, method)
    known = [run for row in comparison.rows for run in row.counted]
    if not known:
        reasons = [f"  {run.name}: {why}" for run, _, why in comparison.left_out]
        raise ValueError("\n".join([f"no run counts for {metric}:", *reasons]))
    tag = curves.logged(comparison.rows, metric)
    drawn, words = curves.curves(comparison.rows, tag, method)
    key, series = _against(known, options)
    if not any(run.parameters for run in known):
        words.append("the runs do not say how many parameters they train")
    words += plots.words(comparison)

    plotted = {"figures.png": ("Figures", plots.figures(comparison), FIGURES)}
    if drawn:
        note = CURVES + (f" {metric} is measured at the end; this is {tag}." if tag != metric else "")
        plotted["curves.png"] = "Learning curves", plots.learning(drawn, comparison, tag), note
    if series:
        note = _AGAINST + (
            f" No run has {GAP}, the gap between soft and argmax." if GAP not in series else ""
        )
        name = key.rpartition(".")[2]
        plotted[BETA if name == "beta" else _OTHER] = f"Against {name}", plots.against(series, key), note

    found = lengths.by_length(comparison.rows, method)
    if found:
        caption = f"{_LENGTHS} {lengths.verdict(found)}".strip()
        plotted["lengths.png"] = "Other lengths", lengths.drawn(found), caption

    let = saturation.by_beta(known, by)
    if let:
        caption = f"{_GRADIENT} {saturation.verdict(let)}"
        plotted["gradient.png"] = "The gradient against beta", saturation.drawn(let), caption

    out = options.out or Path("comparison") / metric.replace("/", "-")
    out.mkdir(parents=True, exist_ok=True)
    names = ["report.html", *tables.write(comparison, out), *plotted]
    for name in _PLOTS:
        (out / name).unlink(missing_ok=True)
    for name, (_, figure, _) in plotted.items():
        (out / name).write_bytes(plots.png(figure))
    pictures = [
        report.Picture(heading, plots.svg(figure), caption) for heading, figure, caption in plotted.values()
    ]
    (out / "report.html").write_text(report.page(comparison, pictures, words), encoding="utf-8")
    tensorboard.write(drawn, comparison, tag, out / "tensorboard")
    written = f"written to {out}: {', '.join(names)}"
    seen = f"\n{shell.tensorboard(out / 'tensorboard')}\nthen open {shell.CHARTS}" if drawn else ""
    law = "".join(f"\n\n{text}" for text in (lengths.table(found), saturation.table(let)) if text)
    return f"{tables.text(comparison, words)}{law}\n\n{filled(written, 0, 2)}{seen}"


def _against(runs: Sequence[Run], options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The number that figures are drawn against, and what is drawn: the one asked for, or the first that is
    swept."""
    from attnlab.comparison.against import key_of, series, swept

    for key in [key_of(runs, options.against)] if options.against else swept(runs):
        found = series(runs, options.metric, key, _split(options.by), options.interval)
        if found:
            return key, found
    return "", {}
