"""One HTML page with everything, images included: it opens without a network, and on a phone."""

from collections.abc import Sequence
from html import escape

from attnlab.comparison import tables
from attnlab.comparison.records import Comparison
from attnlab.text import data_uri

PAIRS = 100  # listed on the page
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 60rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
img { width: 100%; max-width: 44rem; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 7rem; }
.warning { border-left: 4px solid #D55E00; padding: .2rem .8rem; margin: .5rem 0; overflow-wrap: anywhere; }
.seeds { border-left: 4px solid #0072B2; padding: .2rem .8rem; }
figcaption, .small { color: #555; font-size: .9rem; }
figure { margin: 1rem 0; } li { overflow-wrap: anywhere; }
"""
HOW = """n counts seeds; a seed's figure is that of the best checkpoint of its run. std is the standard
deviation with n - 1. The interval is a 95 % BCa bootstrap interval of the mean over seeds (9,999
resamples, fixed
seed). A difference is first minus second, seed by seed, over the seeds that both groups have; "better" is
the share of those seeds in which the first is better ("higher" for a figure that is neither), ties half. p
is that of the paired permutation test (all sign flips up to 12 seeds, two-sided), and p (Holm) the same,
corrected for the number of pairs. parameters, steps and seconds by the clock are means over the runs
counted."""


def page(comparison: Comparison, images: Sequence[tuple[str, bytes, str]], words: Sequence[str]) -> str:
    """The report; images are (heading, PNG, caption)."""
    header, rows = tables.group_cells(comparison)
    grouped = (
        f"grouped by {', '.join(comparison.by)}"
        if comparison.by
        else "a group's runs differ only in the seed"
    )
    better = f"{comparison.better} is better" if comparison.better else "neither way is better"
    said = f"{tables.title(comparison).partition('): ')[2]}, {grouped}; {better}."
    parts = [f"<h1>{escape(comparison.metric)}</h1>", f"<p>{escape(said)}</p>"]
    parts += [f'<p class="warning">{escape(warning)}</p>' for warning in [*comparison.warnings, *words]]
    if comparison.left_out:
        parts.append(
            f'<p class="warning">{len(comparison.left_out)} runs are not counted; they are named '
            '<a href="#out">below</a>.</p>'
        )
    parts += ["<h2>Groups</h2>", _table(header, rows)]
    ranked = tables.ranked(comparison.pairs)
    if ranked:
        parts += [
            "<h2>Pairs, over shared seeds</h2>",
            _table(*tables.pair_cells(ranked[:PAIRS], comparison.better)),
        ]
        if len(ranked) > PAIRS:
            parts.append(f"<p>And {len(ranked) - PAIRS} more pairs, with larger p-values, in pairs.csv.</p>")
    parts.append(f'<p class="seeds">{escape(comparison.seeds_show)}</p>')
    parts += [_image(*image) for image in images]
    if comparison.left_out:
        items = [f"<li>{escape(run.name)}<br>{escape(reason)}</li>" for run, _, reason in comparison.left_out]
        parts.append(f'<h2 id="out">Not counted</h2><ul>{"".join(items)}</ul>')
    parts.append(f'<h2>How this was computed</h2><p class="small">{escape(HOW)}</p>')
    parts.append(f"<details><summary>Every run counted</summary>{_runs(comparison)}</details>")
    title = escape(f"{comparison.metric}: comparison")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title>"
    body = "\n".join(parts)
    head += f"<style>{STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _image(heading: str, png: bytes, caption: str) -> str:
    shown = f'<img src="{data_uri(png)}" alt="{escape(heading)}: {escape(caption)}">'
    return f"<h2>{escape(heading)}</h2><figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _runs(comparison: Comparison) -> str:
    rows = []
    for row in comparison.rows:
        for run, value in row.counted.items():
            rows.append(
                [
                    row.group.label,
                    str(run.seed),
                    tables.figure(value),
                    *map(tables.whole, (run.steps, run.seconds)),
                    run.name,
                ]
            )
    return _table(["group", "seed", comparison.metric, "steps", "seconds", "run"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
