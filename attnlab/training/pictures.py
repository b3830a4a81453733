"""Attention as a picture: target down, source across, one scale from 0 to 1, right positions outlined.

Drawn without matplotlib, whose import alone costs more than all the pictures of a run.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_WIDE, _HIGH = 380, 420  # pixels that a picture keeps to as long as its cells can be told apart
_SMALLEST, _LARGEST = 4, 26  # pixels of a cell
_GAP, _TEXT = 4, 12
_LONGEST = 8  # letters of a label
_INK, _FRAME, _RIGHT = (30, 30, 30), (170, 170, 170), (213, 94, 0)  # vermillion, of Okabe & Ito's colours
# from white to dark blue: lightness alone tells weights apart, whatever colours a person sees
_SHADES = np.stack(
    [
        np.interp(np.linspace(0, 1, 256), (0, 0.5, 1), end)
        for end in ((255, 86, 8), (255, 156, 29), (255, 214, 88))
    ],
    -1,
).astype(np.uint8)


class Map(NamedTuple):
    """What one example attends to at one site."""

    weights: Float[Tensor, "H T S"]
    gold: Bool[Tensor, "T S"]  # right positions
    down: Sequence[str]  # what asks, T
    across: Sequence[str]  # what is attended, S


def picture(map_: Map, title: str) -> ndarray:
    """The map as pixels Y X 3, heads side by side in as many rows as fit, each as `title` says."""
    heads, steps, positions = map_.weights.shape
    columns = next(n for n in range(1, heads + 1) if n * n >= heads)
    rows = -(-heads // columns)
    down, across = (_labels(names) for names in (map_.down, map_.across))
    left, top = max((one.width for one in down), default=0) + _GAP, _TEXT + 2 * _GAP
    widest = max((one.width for one in across), default=0)
    for turned in (False, True):
        head = (widest if turned else _TEXT + 2) + _GAP
        fits = min((_WIDE // columns - left) // positions, (_HIGH // rows - head) // steps)
        cell = max(_SMALLEST, min(_LARGEST, fits))
        if widest + 3 <= cell * -(-_TEXT // cell):  # as far apart as labels stand
            break
    wide, high = left + positions * cell + 2 * _GAP, head + steps * cell + 2 * _GAP
    said = math.ceil(_font().getlength(title)) + 2 * _GAP
    image = Image.new(
        "RGB", (max(columns * wide, _SCALE, said), top + rows * high + 2 * _TEXT + _GAP), "white"
    )
    pen = ImageDraw.Draw(image)
    pen.text((_GAP, _GAP), title, _INK, _font())
    for number in range(heads):
        x, y = left + number % columns * wide, top + head + number // columns * high
        _labelled(image, down, across, (x, y), cell, turned)
        shown = _SHADES[(map_.weights[number].clamp(0, 1) * 255).round().int().cpu().numpy()]
        image.paste(
            Image.fromarray(shown).resize((positions * cell, steps * cell), Image.Resampling.NEAREST), (x, y)
        )
        pen.rectangle((x - 1, y - 1, x + positions * cell, y + steps * cell), outline=_FRAME)
        for step, position in map_.gold.nonzero().tolist():
            at = x + position * cell, y + step * cell
            pen.rectangle((*at, at[0] + cell - 1, at[1] + cell - 1), outline=_RIGHT, width=1 + (cell > 8))
    _scale(image, pen, image.height - 2 * _TEXT)
    return np.asarray(image)


def _labelled(
    image: Image.Image,
    down: Sequence[Image.Image],
    across: Sequence[Image.Image],
    corner: tuple[int, int],
    cell: int,
    turned: bool,
) -> None:
    """Labels beside a map whose cells begin at a corner; every second, third, ... where they would touch."""
    x, y = corner
    every = -(-_TEXT // cell)
    for step, label in list(enumerate(down))[::every]:
        image.paste(label, (x - _GAP - label.width, y + step * cell + (cell - label.height) // 2))
    for position, upright in list(enumerate(across))[::every]:
        label = upright.rotate(90, expand=True) if turned else upright
        image.paste(label, (x + position * cell + (cell - label.width) // 2, y - _GAP - label.height))


def _scale(image: Image.Image, pen: ImageDraw.ImageDraw, y: int) -> None:
    """What the shades mean, and the outline."""
    bar = Image.fromarray(np.broadcast_to(_SHADES, (_TEXT - 2, 256, 3)).copy()).resize((100, _TEXT - 2))
    pen.text((_GAP, y), "0", _INK, _font())
    image.paste(bar, (_GAP + 10, y + 2))
    pen.rectangle((_GAP + 9, y + 1, _GAP + 110, y + _TEXT), outline=_FRAME)
    pen.text((_GAP + 114, y), "1", _INK, _font())
    pen.rectangle((_GAP + 136, y + 2, _GAP + 145, y + 11), outline=_RIGHT, width=2)
    pen.text((_GAP + 150, y), "right", _INK, _font())


_SCALE = 200
"""Pixels that the scale takes."""


def _labels(names: Sequence[str]) -> list[Image.Image]:
    return [_label(name) for name in names]


@functools.lru_cache(maxsize=4096)
def _label(name: str) -> Image.Image:
    """A symbol; by its number in Unicode where the font does not have it, cut where it is long."""
    text = "".join(letter if _has(letter) else f"{ord(letter):X}" for letter in name)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    left, _, right, _ = _font().getbbox(text)
    label = Image.new("RGB", (max(1, round(right - left)), _TEXT + 2), "white")
    ImageDraw.Draw(label).text((-left, 0), text, _INK, _font())
    return label


@functools.lru_cache(maxsize=4096)
def _has(letter: str) -> bool:
    """Whether the font can show a letter: it shows one box for all that it cannot."""
    return letter.isspace() or _drawn(letter) != _drawn("\uffff")


def _drawn(letter: str) -> bytes:
    mask = Image.new("L", (2 * _TEXT, 2 * _TEXT))
    ImageDraw.Draw(mask).text((0, 0), letter, 255, _font())
    return mask.tobytes()


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and shows most alphabets; nothing of matplotlib is loaded."""
    found = importlib.util.find_spec("matplotlib")
    folders = (found and found.submodule_search_locations) or []
    for folder in folders:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), _TEXT - 1)
    made = ImageFont.load_default(_TEXT - 1)
    assert isinstance(made, ImageFont.FreeTypeFont)
    return made
