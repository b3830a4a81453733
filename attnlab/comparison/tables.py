"""The comparison as text: tables for the terminal, within 80 columns, and CSV files with every digit."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnlab.comparison.records import WORK, Comparison, Pair, Row
from attnlab.comparison.statistics import smallest_p
from attnlab.text import WIDTH, filled

PAIRS, NAMED = 12, 20  # pairs and runs listed in the terminal


def figure(value: float | None, signed: bool = False) -> str:
    """A figure for people: four decimals, or two significant digits where it is small; `-` where there is
    none."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if abs(value) >= 1000:
        return f"{value:{sign},.0f}"
    if abs(value) >= 100:
        return f"{value:{sign}.1f}"
    return f"{value:{sign}.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:{sign}.2g}"


def between(lower: float | None, upper: float | None, signed: bool = False) -> str:
    """An interval for people."""
    return "-" if lower is None else f"[{figure(lower, signed)}, {figure(upper, signed)}]"


def whole(value: int | float | None) -> str:
    """A count or a duration for people: no more decimals than it deserves."""
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def title(comparison: Comparison) -> str:
    """The metric, which way is better, and how much was compared."""
    counted = sum(len(row.counted) for row in comparison.rows)
    better = f"{comparison.better} is better" if comparison.better else "neither way is better"
    return (
        f"{comparison.metric} ({better}): {_number(counted, 'run')} in "
        f"{_number(len(comparison.rows), 'group')}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def group_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of groups; a kind of work that no run has noted is left out."""
    work = [name for name in WORK if any(row.work[name] is not None for row in comparison.rows)]
    header = ["group", "n", "mean", "std", "95 % interval", *work]
    return header, [_group(row, work) for row in comparison.rows]


def _group(row: Row, work: Sequence[str]) -> list[str]:
    n, mean, std, lower, upper = row.summary
    return [
        row.group.label,
        str(n),
        figure(mean),
        figure(std),
        between(lower, upper),
        *(whole(row.work[name]) for name in work),
    ]


def pair_cells(pairs: Sequence[Pair], better: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of pairs; `better` (`higher` where no way is) is the share of seeds that
    the first wins."""
    cells = []
    for first, second, (n, difference, lower, upper, improvement, p, p_holm) in pairs:
        share = "-" if improvement is None else f"{improvement:.0%}"
        figures = [
            str(n),
            figure(difference, True),
            between(lower, upper, True),
            share,
            figure(p),
            figure(p_holm),
        ]
        cells.append([f"{first} - {second}", *figures])
    return [
        "pair",
        "n",
        "difference",
        "95 % interval",
        "better" if better else "higher",
        "p",
        "p (Holm)",
    ], cells


def ranked(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs with the smallest p-value first, in their order where equal; those without one last."""
    return sorted(pairs, key=lambda pair: pair.result.p if pair.result.p is not None else 2)


def text(comparison: Comparison, words: Sequence[str] = ()) -> str:
    """All of it for the terminal."""
    pairs = ranked(comparison.pairs)
    parts = [title(comparison), _table(*group_cells(comparison))]
    if pairs:
        parts.append(_table(*pair_cells(pairs[:PAIRS], comparison.better)))
        if len(pairs) > PAIRS:
            parts.append(f"and {len(pairs) - PAIRS} more pairs, with larger p-values, in pairs.csv")
    paragraphs = [
        comparison.seeds_show,
        *(f"warning: {warning}" for warning in [*comparison.warnings, *words]),
    ]
    parts += [filled(paragraph, 0, 2) for paragraph in paragraphs if paragraph]
    if comparison.left_out:
        lines = [f"  {run.name}\n{filled(reason, 4)}" for run, _, reason in comparison.left_out[:NAMED]]
        more = (
            [f"  and {len(comparison.left_out) - NAMED} more, in runs.csv"]
            if len(comparison.left_out) > NAMED
            else []
        )
        parts.append("\n".join([f"not counted ({len(comparison.left_out)}):", *lines, *more]))
    return "\n\n".join(parts)


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Columns side by side, the first to the left; a name too long for its column has a line of its own."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    first = max(12, min(widths[0], WIDTH - sum(width + 2 for width in widths[1:])))
    lines = []
    for name, *cells in [header, *rows]:
        if len(name) > first:
            lines.append(filled(name))
            name = ""
        lines.append(
            name.ljust(first)
            + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        )
    return "\n".join(lines)


def write(comparison: Comparison, folder: Path) -> list[str]:
    """runs.csv, groups.csv and pairs.csv; returns their names."""
    metric, runs = comparison.metric, []
    counted = [
        (run, row.group.label, value, "") for row in comparison.rows for run, value in row.counted.items()
    ]
    left_out = [(run, label, None, reason) for run, label, reason in comparison.left_out]
    for run, label, value, reason in sorted([*counted, *left_out], key=lambda found: str(found[0].folder)):
        runs.append(
            [
                str(run.folder),
                label,
                run.seed,
                run.state,
                value,
                run.parameters,
                run.steps,
                run.seconds,
                reason,
            ]
        )
    header = ["folder", "group", "seed", "state", metric, *WORK, "not_counted_because"]
    _csv(folder / "runs.csv", header, runs)

    keys = dict.fromkeys(key for row in comparison.rows for key in row.group.settings)
    telling = [key for key in keys if len({row.group.settings.get(key) for row in comparison.rows}) > 1]
    groups = []
    for row in comparison.rows:
        settings = [row.group.settings.get(key) for key in telling]
        out = len(row.group.runs) - len(row.counted)
        groups.append(
            [row.group.label, metric, *row.summary, len(row.counted), out, *row.work.values(), *settings]
        )
    header = ["group", "metric", "n", "mean", "std", "lower", "upper", "runs", "not_counted", *WORK, *telling]
    _csv(folder / "groups.csv", header, groups)

    found = [
        [a, b, metric, *result, smallest_p(result.n) if result.n > 1 else None]
        for a, b, result in comparison.pairs
    ]
    header = ["first", "second", "metric", "n", "difference", "lower", "upper"]
    _csv(folder / "pairs.csv", [*header, "probability_of_improvement", "p", "p_holm", "smallest_p"], found)
    return ["runs.csv", "groups.csv", "pairs.csv"]


def _csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
