"""One HTML page with everything, pictures included: without a network, on a phone, and in the dark."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from attnlab.colours import COLOURS
from attnlab.comparison import tables
from attnlab.comparison.plots import DARK
from attnlab.comparison.records import Comparison
from attnlab.comparison.verdict import verdict


class Picture(NamedTuple):
    """A plot on the page."""

    heading: str
    svg: str
    caption: str


PAIRS = 100  # listed on the page, those with the smallest p-values
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #5c5c5c; --rule: #ddd; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --faint: #a5a5a5; --rule: #3a3f45; DARK } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
a { color: var(--line-1); }
svg { width: 100%; max-width: 38rem; height: auto; display: block; fill: var(--ink); }
.verdict { font-size: 1.15rem; }
.wide { overflow-x: auto; overflow-wrap: normal; }
.wide + .wide { margin-top: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 8rem;
  overflow-wrap: anywhere; }
.warning { border-left: 4px solid var(--line-2); padding: .2rem .8rem; margin: .5rem 0; }
.seeds { border-left: 4px solid var(--line-1); padding: .2rem .8rem; }
figcaption, .small, td small { color: var(--faint); font-size: .9rem; }
figure { margin: 1rem 0; }
summary { cursor: pointer; margin: .5rem 0; }
"""
INTERVALS = {
    "student": "Student's t interval of the mean over seeds, 95 % at every n for normal data, cut at the "
    "bounds of the figure",
    "bootstrap": "95 % BCa bootstrap interval of the mean over seeds (9,999 resamples, fixed seed), too "
    "narrow for few seeds",
}
_HOW = """n counts seeds; a seed's figure is that of the best checkpoint of its run. A gradient norm is its
mean over the logged steps of training. std is the standard deviation with n - 1. The interval is a
{interval}. A difference is first minus second, seed by seed, over the seeds that both groups have; "better"
is the share of those seeds in which the first is better ("higher" for a figure that is neither), ties half.
The verdict calls a difference one where Student's interval of the paired differences leaves 0 out that holds
with 95 % for all pairs at once (Bonferroni); no deviation is taken to be smaller than half the smallest step
between two figures. p is that of the paired permutation test (all sign flips up to 30 seeds, two-sided),
which needs no normal data, and p (Holm) the same, corrected for the number of pairs. parameters, steps and
seconds by the clock are means over the runs counted."""


def page(comparison: Comparison, pictures: Sequence[Picture], words: Sequence[str]) -> str:
    """The report: the verdict, the pictures, the tables, and how all of it was computed."""
    grouped = (
        f"grouped by {', '.join(comparison.by)}"
        if comparison.by
        else "a group's runs differ only in the seed"
    )
    better = f"{comparison.better} is better" if comparison.better else "neither way is better"
    said = f"{tables.title(comparison).partition('): ')[2]}, {grouped}; {better}."
    parts = [f"<h1>{escape(comparison.metric)}</h1>"]
    parts += [f'<p class="verdict">{escape(verdict(comparison))}</p>', f'<p class="small">{escape(said)}</p>']
    if comparison.left_out:
        are = "run is" if len(comparison.left_out) == 1 else "runs are"
        parts.append(
            f'<p class="warning">{len(comparison.left_out)} {are} not counted, and named '
            '<a href="#out">below</a>.</p>'
        )
    parts += map(_picture, pictures)
    parts += [f'<p class="warning">{escape(warning)}</p>' for warning in [*comparison.warnings, *words]]
    header, rows = tables.group_cells(comparison.rows)
    marks = {row.group.label: said for row in comparison.rows if (said := tables.remarks(row))}
    parts += ["<h2>Groups</h2>", _table(header, rows, marks)]
    parts += _pairs(comparison)
    parts.append(f'<p class="seeds">{escape(comparison.seeds_show)}</p>')
    parts.append(_folded("What the groups cost", _table(*tables.work_cells(comparison.rows))))
    parts.append(_folded("Every run counted", _runs(comparison)))
    if comparison.left_out:
        items = [f"<li>{escape(run.name)}<br>{escape(reason)}</li>" for run, _, reason in comparison.left_out]
        parts.append(f'<h2 id="out">Not counted</h2><ul>{"".join(items)}</ul>')
    how = escape(_HOW.format(interval=INTERVALS[comparison.interval]))
    parts.append(f'<h2>How this was computed</h2><p class="small">{how}</p>')
    title = escape(f"{comparison.metric}: comparison")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title>"
    head += f"<style>{_STYLE.replace('LIGHT', _variables(COLOURS)).replace('DARK', _variables(DARK))}</style>"
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _variables(colours: Sequence[str]) -> str:
    return " ".join(f"--line-{number}: {colour};" for number, colour in enumerate(colours, 1))


def _picture(picture: Picture) -> str:
    heading, svg, caption = picture
    label = escape(f"{heading}: {caption}")
    shown = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"<h2>{escape(heading)}</h2><figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _pairs(comparison: Comparison) -> list[str]:
    """The pairs that tell most, and all of them behind a fold where they are many."""
    shown, rest = tables.pair_tables(comparison)
    parts = ["<h2>Pairs, over shared seeds</h2>"] * bool(shown)
    parts += [_table(*cells) for cells in shown]
    if rest:
        ranked = sorted(comparison.pairs, key=lambda pair: pair.result.p if pair.result.p is not None else 2)[
            :PAIRS
        ]
        every = len(comparison.pairs)
        named = f"All {every} pairs" if every == len(ranked) else f"The {PAIRS} smallest p of {every} pairs"
        cells = [(f"{first} - {second}", result) for first, second, result in ranked]
        parts.append(_folded(named, _table(*tables.pair_cells("pair", cells, comparison.better))))
    return parts


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _runs(comparison: Comparison) -> str:
    rows = []
    for row in comparison.rows:
        for run, value in row.counted.items():
            cells = [
                str(run.seed),
                tables.figure(value),
                *map(tables.whole, (run.steps, run.seconds)),
                run.name,
            ]
            rows.append([row.group.label, *cells])
    return _table(["group", "seed", comparison.metric, "steps", "seconds", "run"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], marks: dict[str, str] = {}) -> str:  # noqa: B006
    """A table that scrolls by itself; `marks` are remarks below the names of rows."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = ""
    for name, *cells in rows:
        remark = f"<br><small>{escape(marks[name])}</small>" if name in marks else ""
        body += (
            f"<tr><td>{escape(name)}{remark}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
