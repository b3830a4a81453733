"""Examples of a finished run with its attention: in characters, as PNG, and on one HTML page."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from attnlab.cli.characters import LEGEND, drawn
from attnlab.cli.pages import example
from attnlab.files import write
from attnlab.runs.examples import Example, told
from attnlab.text import filled
from attnlab.training.pictures import Map, picture

_LIGHT, _DARK = (255, 255, 255), (8, 48, 107)
_GOLD = "#d55e00"  # vermilion, which the colour-blind tell from blue
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
        for site, seen in one.maps.items():
            for name, weights in _heads(site, seen):
                parts.append(f"{name}\n{drawn(weights, seen.gold.tolist(), seen.across, seen.down)}")
    return "\n\n".join([*parts, f"{filled(_says(examples))}\n{LEGEND}"])


def _heads(site: str, seen: Map) -> list[tuple[str, list[list[float]]]]:
    """The weights of each head, by its name."""
    heads = seen.weights.tolist()
    return [(f"{site}, head {n}" if len(heads) > 1 else site, weights) for n, weights in enumerate(heads, 1)]


def _says(examples: Sequence[Example]) -> str:
    """What is seen on every map."""
    known = any(bool(seen.gold.any()) for one in examples for seen in one.maps.values())
    return (
        f"Attention {examples[0].read_as}, the right symbols before each step given. Down: what looks, "
        "such as the target; across: what it looks at, such as the source"
        f"{'; right positions marked' if known else ''}."
    )


def written(examples: Sequence[Example], folder: Path, title: str) -> Path:
    """Write a PNG for each site and the page into a folder; those of an earlier time are replaced. The
    address of the page."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("example-*.png"):
        old.unlink()
    for number, one in enumerate(examples, 1):
        for site, seen in one.maps.items():
            pixels = picture(seen, f"{number}: {site}, {one.read_as}")
            Image.fromarray(pixels).save(folder / f"example-{number}-{site}.png")
    write(folder / "index.html", page(examples, title))
    return folder / "index.html"


def page(examples: Sequence[Example], title: str) -> str:
    """One HTML page that needs no other file; maps are tables, so that any script is shown by the browser's
    own fonts and every weight can be read."""
    parts = [f"<p>{escape(_says(examples))}</p>"]
    for number, one in enumerate(examples, 1):
        parts.append(f"<h2>Example {number}: {'right' if one.answer.right else 'wrong'}</h2>")
        words = [(name, text) for name, text in told(one).items() if name != "verdict" and text]
        terms = "".join(
            f"<dt>{name.replace('_', ' ')}</dt><dd><bdi>{escape(text)}</bdi></dd>" for name, text in words
        )
        parts.append(f"<dl>{terms}</dl>")
        for site, seen in one.maps.items():
            shown = [
                f"<h3>{escape(name)}</h3>{_table(seen, weights)}" for name, weights in _heads(site, seen)
            ]
            parts += shown
    body = f"<h1>{escape(title)}</h1>\n" + "\n".join(parts)
    return _PAGE.format(title=escape(title), style=_STYLE.replace("GOLD", _GOLD), body=body)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body>{body}</body></html>
"""


def _table(seen: Map, weights: Sequence[Sequence[float]]) -> str:
    head = "".join(f"<th><bdi>{escape(symbol)}</bdi></th>" for symbol in seen.across)
    rows = []
    for symbol, row, right in zip(seen.down, weights, seen.gold.tolist(), strict=True):
        cells = "".join(_cell(weight, yes) for weight, yes in zip(row, right, strict=True))
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
