"""What was measured as lines of a terminal, as docs/speed.md, and as a file."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from attnlab.benchmarking.gauge import Gauge
from attnlab.text import filled

Found = dict[str, list[Gauge]]
"""Gauges by section."""

_ABOUT = """# Speed

Ratios, each of two programs that took turns in one run, so that whatever else a machine did slowed both: the
median over rounds, with quartiles. What a ratio is held against, that is what 1 stands for, has its own
measured size beside it; ratio times size is what was measured. Written by
`python scripts/benchmark.py --markdown`; every digit is in [speed.csv](speed.csv).

![Every ratio with its quartiles, 1 drawn as a line](speed.png)

Measured on the processor alone. On an accelerator nothing of this has been measured: neither the ratios nor
where steps wait for the device."""
_COLUMNS = ("what", "ratio", "quartiles", "1 is")


def says(section: str) -> str:
    """What a section measures, in words."""
    return (import_module(f"attnlab.benchmarking.sections.{section}").__doc__ or "").strip()


def measured(sections: Iterable[str], rounds: int) -> Iterator[tuple[str, Iterator[Gauge]]]:
    """Each section with its gauges, which are measured as they are asked for."""
    for name in sections:
        yield name, import_module(f"attnlab.benchmarking.sections.{name}").gauges(rounds)


def lines(sections: Iterable[str], rounds: int, found: Found) -> Iterator[str]:
    """For a terminal, line by line as it is measured; `found` is filled on the way."""
    for name, gauges in measured(sections, rounds):
        yield f"\n{filled(f'{name}: {_spoken(name)}')}\n"
        yield f"{_COLUMNS[0]:31}{_COLUMNS[1]:>7}  {_COLUMNS[2]:15} {_COLUMNS[3]}"
        for one in _kept(name, gauges, found):
            yield f"{one.what:31}{figure(one.ratio):>7}  {_quartiles(one):15} {_against(one)}"


def markdown(machine: Mapping[str, str], sections: Iterable[str], rounds: int, found: Found) -> Iterator[str]:
    """The page, likewise."""
    yield _ABOUT
    yield f"\n{filled('; '.join(f'{name}: {value}' for name, value in machine.items()))}"
    for name, gauges in measured(sections, rounds):
        yield f"\n## {name.capitalize()}\n\n{says(name)}\n"
        yield f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
        for one in _kept(name, gauges, found):
            cells = (one.what, f"**{figure(one.ratio)}**", _quartiles(one), _against(one))
            yield f"| {' | '.join(cells)} |"


def table(found: Found) -> str:
    """Every digit, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["section", *Gauge._fields])
    writer.writerows([name, *one] for name, gauges in found.items() for one in gauges)
    return text.getvalue()


def figure(value: float) -> str:
    """A ratio or a size to three digits or so."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _kept(name: str, gauges: Iterator[Gauge], found: Found) -> Iterator[Gauge]:
    for one in gauges:
        found.setdefault(name, []).append(one)
        yield one


def _spoken(section: str) -> str:
    return " ".join(says(section).split())


def _quartiles(one: Gauge) -> str:
    return f"{figure(one.low)} to {figure(one.high)}"


def _against(one: Gauge) -> str:
    return f"{one.against}, {figure(one.size)} {one.unit}"
