"""The comparison as text: tables for the terminal, within 80 columns, and CSV files with every digit."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnlab.comparison.numbers import between, figure, whole
from attnlab.comparison.records import WORK, Comparison, Row, fields
from attnlab.comparison.statistics import Paired, smallest_p
from attnlab.comparison.verdict import verdict
from attnlab.text import WIDTH, counted, filled

PAIRS = 3  # beyond which only those with the best are shown
GROUPS, LISTED, NAMED = 40, 12, 20  # groups, pairs of the best, and runs listed in the terminal


def title(comparison: Comparison) -> str:
    """The metric, which way is better, and how much was compared."""
    runs = sum(len(row.counted) for row in comparison.rows)
    better = f"{comparison.better} is better" if comparison.better else "neither way is better"
    return (
        f"{comparison.metric} ({better}): {counted(runs, 'run')} in {counted(len(comparison.rows), 'group')}"
    )


def group_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of groups."""
    cells = []
    for row in rows:
        mean, interval = figure(row.summary.mean), between(row.summary.lower, row.summary.upper)
        ends = [figure(end(row.values.values(), default=None)) for end in (min, max)]
        cells.append([row.group.label, count(row), mean, interval, *ends])
    return ["group", "n", "mean", "95 % interval", "min", "max"], cells


def count(row: Row) -> str:
    """The seeds counted, and of how many where some have no figure."""
    every = row.summary.n + len(row.missing)
    return f"{row.summary.n} of {every}" if row.missing else str(every)


def remarks(row: Row) -> str:
    """Which seeds have no figure and why, and which diverged; "" where all is well."""
    by_state: dict[str, list[int]] = {}
    for seed, state in row.missing.items():
        by_state.setdefault(
            {"running": "is running", "interrupted": "was interrupted"}.get(state, state), []
        ).append(seed)
    if row.diverged:
        by_state["diverged"] = row.diverged
    return ", ".join(
        f"seed{'s' * (len(of) > 1)} {' '.join(map(str, of))} {state}" for state, of in by_state.items()
    )


def work_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of what each group has cost; a kind of work that no run has noted is left
    out."""
    work = [name for name in WORK if any(row.work[name] is not None for row in rows)]
    cells = [
        [row.group.label, figure(row.summary.std), *(whole(row.work[name]) for name in work)] for row in rows
    ]
    return ["group", "std", *work], cells


def pair_tables(comparison: Comparison) -> tuple[list[tuple[list[str], list[list[str]]]], str]:
    """Header and rows of the tables of pairs to show first, and a word on the rest: all pairs where they are
    few, else the best group against each other one, for each task."""
    if len(comparison.pairs) <= PAIRS:
        named = [(f"{first} - {second}", result) for first, second, result in comparison.pairs]
        return [pair_cells("pair", named, comparison.better)] * bool(named), ""
    tables = []
    for field in (field for field in fields(comparison) if field.pairs):
        first = f"{field.title}: " * bool(field.title) + f"{field.names[field.rows[0].group.label]} minus"
        others = [(field.names[second], result) for _, second, result in field.pairs]
        tables.append(pair_cells(first, others, comparison.better))
    return tables, f"all {len(comparison.pairs)} pairs are in pairs.csv"


def pair_cells(
    name: str, pairs: Sequence[tuple[str, Paired]], better: str
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of pairs; `better` (`higher` where no way is) is the share of seeds that
    the first wins."""
    cells = []
    for second, (n, difference, lower, upper, improvement, p, p_holm, _) in pairs:
        share = "-" if improvement is None else f"{improvement:.0%}"
        difference, interval = figure(difference, True), between(lower, upper, True)
        cells.append([second, str(n), difference, interval, share, figure(p), figure(p_holm)])
    return [
        name,
        "n",
        "difference",
        "95 % interval",
        "better" if better else "higher",
        "p",
        "p (Holm)",
    ], cells


def text(comparison: Comparison, words: Sequence[str] = ()) -> str:
    """All of it for the terminal."""
    parts = [filled(verdict(comparison), 0, 2), title(comparison), _groups(comparison.rows)]
    tables, rest = pair_tables(comparison)
    for header, rows in tables:
        left = f"\nand {len(rows) - LISTED} more" if len(rows) > LISTED else ""
        parts.append(_table(header, rows[:LISTED]) + left)
    parts.append(rest)
    paragraphs = [
        comparison.seeds_show,
        *(f"warning: {warning}" for warning in [*comparison.warnings, *words]),
    ]
    parts += [filled(paragraph, 0, 2) for paragraph in paragraphs if paragraph]
    if comparison.left_out:
        lines = [
            f"{filled(run.name, 2)}\n{filled(reason, 4)}" for run, _, reason in comparison.left_out[:NAMED]
        ]
        more = (
            [f"  and {len(comparison.left_out) - NAMED} more, in runs.csv"]
            if len(comparison.left_out) > NAMED
            else []
        )
        parts.append("\n".join([f"not counted ({len(comparison.left_out)}):", *lines, *more]))
    return "\n\n".join(part for part in parts if part)


def _groups(rows: Sequence[Row]) -> str:
    notes = [filled(said, 4, 2) if (said := remarks(row)) else "" for row in rows[:GROUPS]]
    more = f"\nand {counted(len(rows) - GROUPS, 'more group')} in groups.csv" if len(rows) > GROUPS else ""
    return _table(*group_cells(rows[:GROUPS]), notes) + more


def _table(header: list[str], rows: list[list[str]], notes: Sequence[str] = ()) -> str:
    """Columns side by side, the first to the left; a name too long for its column has lines of its own. A
    note stands below its row."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    first = max(4, min(widths[0], WIDTH - sum(width + 2 for width in widths[1:])))
    lines = []
    for place, (name, *cells) in enumerate([header, *rows]):
        if len(name) > first:
            lines.append(filled(name, 0, 2))
            name = ""
        lines.append(
            name.ljust(first)
            + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        )
        if place and notes and notes[place - 1]:
            lines.append(notes[place - 1])
    return "\n".join(lines)


def write(comparison: Comparison, folder: Path) -> list[str]:
    """runs.csv, groups.csv and pairs.csv; returns their names."""
    metric, runs = comparison.metric, []
    kept = [
        (run, row.group.label, value, "") for row in comparison.rows for run, value in row.counted.items()
    ]
    left_out = [(run, label, None, reason) for run, label, reason in comparison.left_out]
    for run, label, value, reason in sorted([*kept, *left_out], key=lambda found: str(found[0].folder)):
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
        ends = [end(row.values.values(), default=None) for end in (min, max)]
        runs = [len(row.counted), len(row.group.runs) - len(row.counted), remarks(row)]
        figures = [*row.summary, *ends, *runs, *row.work.values()]
        groups.append([row.group.label, metric, *figures, *settings])
    header = ["group", "metric", "n", "mean", "std", "lower", "upper", "min", "max"]
    header += ["runs", "not_counted", "remarks", *WORK, *telling]
    _csv(folder / "groups.csv", header, groups)

    found = [
        [a, b, metric, *result[:-1], smallest_p(result.n) if result.n > 1 else None, *(result.ends or ())]
        for a, b, result in comparison.pairs
    ]
    header = ["first", "second", "metric", "n", "difference", "lower", "upper"]
    header += ["probability_of_improvement", "p", "p_holm", "smallest_p"]
    _csv(folder / "pairs.csv", [*header, "lower_together", "upper_together"], found)
    return ["runs.csv", "groups.csv", "pairs.csv"]


def _csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
