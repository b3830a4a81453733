"""What the microscope found on the weights of a model, as rows of a file and lines of a table."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from attnlab.files import write_rows
from attnlab.microscope.chart import Over
from attnlab.microscope.live import SCORES, WEIGHTS, Found
from attnlab.microscope.moments import Moments

COLUMNS = ["step", "mechanism", "place", "exact", "relative_bias", "bias_error", "z", "cosine"]
COLUMNS += ["relative_variance", "signal_to_noise", "squared_error", "expected_bias", "expected_cosine"]
COLUMNS += ["expected_squared_error", "cost", "milliseconds"]


def rows(at: int | float, found: Mapping[str, Found]) -> Iterator[list[str]]:
    """Rows of the file, one for each mechanism and place, each with where it was found."""
    for name, one in found.items():
        for place, own in one.own.items():
            expected = one.expected[place]
            numbers = [own.relative_bias, own.bias_error, own.z, own.cosine, own.relative_variance]
            numbers += [own.signal_to_noise, own.squared_error(one.cost)]
            numbers += [expected.relative_bias, expected.cosine, expected.squared_error(one.cost)]
            numbers += [one.cost, one.milliseconds]
            yield [
                f"{at:.12g}",
                name,
                place,
                str(one.exact).lower(),
                *(f"{number:.6g}" for number in numbers),
            ]


def keep(path: Path, step: int, found: Mapping[str, Found]) -> None:
    """Write the rows of a step behind those before it: a run that went back to an earlier checkpoint takes
    later ones again."""
    path.parent.mkdir(exist_ok=True)
    before: list[list[str]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            taken = list(csv.reader(file))[1:]
        before = [row for row in taken if row and row[0].isdecimal() and int(row[0]) < step]
    write_rows(path, [COLUMNS, *before, *rows(step, found)])


def keep_over(path: Path, over: Over, found: Mapping[float, Mapping[str, Found]]) -> None:
    """Write the rows of every beta, or every length."""
    path.parent.mkdir(exist_ok=True)
    write_rows(path, [[over, *COLUMNS[1:]], *(row for at, each in found.items() for row in rows(at, each))])


def line(name: str, one: Found) -> str:
    """A line of the table, at most 80 columns wide unless the name is long."""
    own, expected = one.own[WEIGHTS], one.expected[WEIGHTS]
    at_scores = _bias(one.own[SCORES], False) if SCORES in one.own else "-"
    numbers = f"{own.cosine:8.4f}{own.relative_variance:8.2g}{one.cost:5}{one.milliseconds:6.1f}"
    said = name if len(name) <= 24 else f"{name}\n{'':24}"
    return f"{said:24}{_bias(own):>12}{at_scores:>8}{_bias(expected, False):>9}{numbers}"


HEADING = f"{'mechanism':24}{'bias':>12}{'scores':>8}{'expected':>9}"
HEADING += f"{'cosine':>8}{'variance':>8}{'cost':>5}{'ms':>6}"


def markdown(found: Mapping[str, Found]) -> str:
    """The same as a table of Markdown, the smallest error of what the same cost buys first."""
    lines = ["| mechanism | bias | expected | variance | cost | error |", "|---|---|---|---|---|---|"]
    errors = {name: one.expected[WEIGHTS].squared_error(one.cost) ** 0.5 for name, one in found.items()}
    for name in sorted(found, key=errors.__getitem__):
        one = found[name]
        cells = [_bias(one.own[WEIGHTS]), _bias(one.expected[WEIGHTS], False)]
        cells += [f"{one.own[WEIGHTS].relative_variance:.2g}", str(one.cost), f"{errors[name]:.2g}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _bias(seen: Moments, with_error: bool = True) -> str:
    if seen.relative_bias == 0:
        return f"<{seen.bias_error:.2g}" if seen.bias_error > 0 else "0"
    error = f"\u00b1{seen.bias_error:.2g}" if with_error and seen.bias_error > 0 else ""
    return f"{seen.relative_bias:.3f}{error}"
