"""One HTML page with everything, figures and sliders included: it opens without a network, and on a phone."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from attnlab import functional
from attnlab.text import data_uri
from attnlab.tour import code, example, words
from attnlab.tour.example import SCORES, TIED

HERE = Path(__file__).parent


class Picture(NamedTuple):
    """A figure of a gallery: its heading, PNG and what is seen."""

    heading: str
    png: bytes
    caption: str


def page(figures: Mapping[str, bytes], gallery: Sequence[Picture]) -> str:
    """page.html with its {{names}} filled in: figures by file name, numbers, the sliders and the gallery of
    mechanisms."""
    parts = {name: data_uri(png) for name, png in figures.items()} | words.numbers()
    parts |= {"scores": _table(), "example": escape(example.text()), "arrows": _gallery(gallery)}
    parts |= {"code": escape(code.TEN_LINES), "printed": escape(code.printed())}
    parts |= {"numbers": json.dumps(SCORES.tolist()), "tied": json.dumps(TIED.tolist())}
    parts |= {"mathematics": _read("mathematics.js"), "sliders": _read("sliders.js")}
    sliders = _read("sliders.html")
    parts |= words.measured(re.findall(r"{{measured_(\w+)}}", sliders))
    parts["lab"] = _fill(sliders, parts)
    return _fill(_read("page.html"), parts)


def _table() -> str:
    rows = {"score": SCORES, "hardmax": functional.hardmax(SCORES), "softmax": functional.softmax(SCORES)}
    forms = {"score": "g", "hardmax": ".0f", "softmax": ".3f"}
    head = "".join(f"<th>{i}</th>" for i in range(len(SCORES)))
    body = [
        f"<tr><th>{name}</th>{''.join(f'<td>{each:{forms[name]}}</td>' for each in numbers.tolist())}</tr>"
        for name, numbers in rows.items()
    ]
    return f"<table><thead><tr><th>position</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _gallery(pictures: Sequence[Picture]) -> str:
    shown = [
        f'<figure><img src="{data_uri(png)}" alt="{escape(heading)}: {escape(caption)}">'
        f"<figcaption><b>{escape(heading).replace('_', '_<wbr>')}</b>: "
        f"{escape(caption)}</figcaption></figure>"
        for heading, png, caption in pictures
    ]
    return f'<div class="gallery">{"".join(shown)}</div>'


def _fill(template: str, parts: Mapping[str, str]) -> str:
    return re.sub(r"{{([\w.]+)}}", lambda found: parts[found[1]], template)


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
