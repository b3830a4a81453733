"""Examples of a finished run with its attention: in characters, as PNG, and on one HTML page."""

import io
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attnlab.cli.characters import LEGEND, drawn
from attnlab.cli.pages import example
from attnlab.files import write
from attnlab.runs.examples import Example, Map, told
from attnlab.text import filled

_LIGHT, _DARK, _GOLD = (
    (255, 255, 255),
    (8, 48, 107),
    "#d55e00",
)  # vermilion, which the colour-blind tell from blue
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 70rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.2; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
h3 { font-size: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; } dd { margin: 0; }
.map { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th { padding: .1rem .4rem; font-weight: 600; white-space: nowrap; }
tbody th { text-align: right; position: sticky; left: 0; background: #fff; }
td { min-width: 2.1rem; height: 1.7rem; text-align: center; border: 1px solid #ddd; }
td.gold { outline: 3px solid GOLD; outline-offset: -3px; }
"""


def in_characters(examples: Sequence[Example]) -> str:
    """Every example in words, and below it a map for each head."""
    parts = []
    for number, one in enumerate(examples, 1):
        parts.append(f"example {number} of {len(examples)}\n{example(told(one))}")
        for seen in one.maps:
            weights, gold = seen.weights.tolist(), one.gold.tolist()
            parts.append(f"{seen.name}\n{drawn(weights, gold, one.source, one.target)}")
    return "\n\n".join([*parts, f"{filled(_says(examples))}\n{LEGEND}"])


def _says(examples: Sequence[Example]) -> str:
    """What is seen on every map."""
    if not examples[0].maps:
        return "This model chooses nothing between source and target."
    gold = "; right positions are marked" if any(bool(one.gold.any()) for one in examples) else ""
    return (
        "Where the model looks before each symbol of the target, the right ones before it given: target "
        f"down, source across{gold}. Evaluation rule: {examples[0].rule}."
    )


def written(examples: Sequence[Example], folder: Path, title: str) -> Path:
    """Write a PNG for each map and the page into a folder; those of an earlier time are replaced. The address
    of the page."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("example-*.png"):
        old.unlink()
    for number, one in enumerate(examples, 1):
        for seen in one.maps:
            name = seen.name.replace(", head ", "-head-")
            (folder / f"example-{number}-{name}.png").write_bytes(picture(one, seen))
    write(folder / "index.html", page(examples, title))
    return folder / "index.html"


def page(examples: Sequence[Example], title: str) -> str:
    """One HTML page that needs no other file; maps are tables, so that any script is shown by the browser's
    own fonts and every weight can be read."""
    parts = [f"<p>{escape(_says(examples))}</p>"]
    for number, one in enumerate(examples, 1):
        parts.append(f"<h2>Example {number}: {'right' if one.right else 'wrong'}</h2>")
        words = [(name, text) for name, text in told(one).items() if name != "verdict" and text]
        terms = "".join(
            f"<dt>{name.replace('_', ' ')}</dt><dd><bdi>{escape(text)}</bdi></dd>" for name, text in words
        )
        parts.append(f"<dl>{terms}</dl>")
        parts += [f"<h3>{escape(seen.name)}</h3>{_table(one, seen)}" for seen in one.maps]
    body = f"<h1>{escape(title)}</h1>\n" + "\n".join(parts)
    return _PAGE.format(title=escape(title), style=_STYLE.replace("GOLD", _GOLD), body=body)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body>{body}</body></html>
"""


def _table(one: Example, seen: Map) -> str:
    head = "".join(f"<th><bdi>{escape(symbol)}</bdi></th>" for symbol in one.source)
    rows = []
    for symbol, weights, right in zip(one.target, seen.weights.tolist(), one.gold.tolist(), strict=True):
        cells = "".join(_cell(weight, yes) for weight, yes in zip(weights, right, strict=True))
        rows.append(f"<tr><th><bdi>{escape(symbol)}</bdi></th>{cells}</tr>")
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="map"><table>{table}</table></div>'


def _cell(weight: float, right: bool) -> str:
    """A weight by its colour, and, where it counts, in hundredths."""
    colour = ",".join(
        str(round(light + weight * (dark - light))) for light, dark in zip(_LIGHT, _DARK, strict=True)
    )
    ink = "#fff" if weight > 0.5 else "#1a1a1a"
    number = f"{weight:.2f}" if weight >= 0.005 else ""
    gold = ' class="gold"' if right else ""
    return f'<td{gold} style="background:rgb({colour});color:{ink}">{number}</td>'


def picture(one: Example, seen: Map) -> bytes:
    """A map as PNG, on one scale from 0 to 1."""
    steps, positions = seen.weights.shape
    figure = Figure((1.2 + 0.32 * positions, 0.9 + 0.32 * steps), layout="constrained")
    axes: Any = figure.subplots()
    axes.imshow(seen.weights.float().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(positions), one.source, parse_math=False)
    axes.set_yticks(range(steps), one.target, parse_math=False)
    axes.xaxis.tick_top()
    for step, position in one.gold.nonzero().tolist():
        axes.add_patch(
            Rectangle((position - 0.5, step - 0.5), 1, 1, fill=False, edgecolor=_GOLD, linewidth=2)
        )
    axes.set_title(f"{seen.name} ({one.rule})", fontsize=9)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the page shows them
        figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
