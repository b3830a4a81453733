"""What was measured as lines of a terminal, as docs/speed.md, and as a file."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from attnlab.benchmarking.gauge import Gauge
from attnlab.text import filled

Found = dict[str, list[Gauge]]
"""Gauges by section."""
Measured = Iterator[tuple[str, Iterator[Gauge]]]
"""The same as it is measured."""

_ABOUT = """# Speed

Ratios, each of two programs that took turns in one run, so that whatever else a machine did slowed both: the
median over rounds, with quartiles. What a ratio is held against, that is what 1 stands for, has its own
measured size beside it; ratio times size is what was measured. Seconds are those of the processor, which no
other program takes from it, and by the clock where several threads or whole commands run. Written by
`python scripts/benchmark.py --markdown`; every digit is in [speed.csv](speed.csv).

![Every ratio with its quartiles, 1 drawn as a line](speed.png)

On an accelerator nothing of this has been measured, neither the ratios nor where steps wait for the
device."""
_COLUMNS = ("what", "ratio", "quartiles", "1 is")


def says(section: str) -> str:
    """What a section measures, in words."""
    return (import_module(f"attnlab.benchmarking.sections.{section}").__doc__ or "").strip()


def measured(sections: Iterable[str], rounds: int) -> Measured:
    """Each section with its gauges, which are measured as they are asked for."""
    for name in sections:
        yield name, import_module(f"attnlab.benchmarking.sections.{name}").gauges(rounds)


def kept(measured: Measured, found: Found) -> Measured:
    """The same; what has been asked for is in `found`."""

    def noted(name: str, gauges: Iterator[Gauge]) -> Iterator[Gauge]:
        for one in gauges:
            found.setdefault(name, []).append(one)
            yield one

    for name, gauges in measured:
        yield name, noted(name, gauges)


def lines(measured: Measured) -> Iterator[str]:
    """For a terminal, line by line as it is measured."""
    for name, gauges in measured:
        yield "\n" + filled(" ".join([f"{name}:", *says(name).split()])) + "\n"
        yield f"{_COLUMNS[0]:27}{_COLUMNS[1]:>6}  {_COLUMNS[2]:15}  {_COLUMNS[3]}"
        for one in gauges:
            yield f"{one.what:27}{_figure(one.ratio):>6}  {_quartiles(one):15}  {_against(one)}"


def markdown(machine: Mapping[str, str], measured: Measured) -> Iterator[str]:
    """The page, likewise."""
    yield _ABOUT
    yield "\n" + "\n".join(f"- {name}: {value}" for name, value in machine.items())
    for name, gauges in measured:
        yield f"\n## {name.capitalize()}\n\n{says(name)}\n"
        yield f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
        for one in gauges:
            cells = (one.what, f"**{_figure(one.ratio)}**", _quartiles(one), _against(one))
            yield f"| {' | '.join(cells)} |"


def rows(found: Found) -> list[list[str]]:
    """Every digit, with a row of headings."""
    each = [[name, *map(str, one)] for name, gauges in found.items() for one in gauges]
    return [["section", *Gauge._fields], *each]


def _figure(value: float) -> str:
    """A ratio or a size to three digits or so."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _quartiles(one: Gauge) -> str:
    return f"{_figure(one.low)} to {_figure(one.high)}"


def _against(one: Gauge) -> str:
    return f"{one.against}, {_figure(one.size)} {one.unit}"
