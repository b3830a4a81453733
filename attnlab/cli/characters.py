"""Attention in characters: target down, source across, a shade for each weight, right positions in
brackets."""

import unicodedata
from collections.abc import Sequence

from attnlab.text import WIDTH

_BOUNDS = (0.05, 0.25, 0.5, 0.75)
_SHADES = "·░▒▓█"
LEGEND = "  ".join(
    f"{shade} {words}"
    for shade, words in zip(
        _SHADES, ["below 0.05", *(f"to {bound:g}" for bound in (*_BOUNDS[1:], 1))], strict=True
    )
)
_LONGEST = 7  # columns of a symbol that are shown


def drawn(
    weights: Sequence[Sequence[float]],
    gold: Sequence[Sequence[bool]],
    source: Sequence[str],
    target: Sequence[str],
) -> str:
    """Weights T S, from 0 to 1, under the symbols of the source and beside those of the target; what is wider
    than a page goes on below."""
    beside, above = list(map(_shown, target)), list(map(_shown, source))
    margin = max(map(_width, beside), default=0)
    cell = max(3, *(_width(symbol) + 1 for symbol in above))
    most = max(1, (WIDTH - margin - 1) // cell)
    blocks = []
    for start in range(0, len(above), most):
        part = slice(start, start + most)
        lines = ["".join([" " * (margin + 1), *(_padded(f" {symbol}", cell) for symbol in above[part])])]
        for symbol, row, right in zip(beside, weights, gold, strict=True):
            marks = [_mark(weight, yes) for weight, yes in zip(row[part], right[part], strict=True)]
            lines.append("".join([_padded(symbol, margin + 1), *(mark.ljust(cell) for mark in marks)]))
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


def _mark(weight: float, right: bool) -> str:
    shade = _SHADES[sum(weight >= bound for bound in _BOUNDS)]
    return f"[{shade}]" if right else f" {shade} "


def _shown(symbol: str) -> str:
    """As much of a symbol as there is room for; a blank, which nobody would see, by its name."""
    if not symbol.strip():
        return "␣"
    kept = ""
    for sign in symbol:
        if _width(kept + sign) > _LONGEST:
            return f"{kept}…"
        kept += sign
    return kept


def _width(text: str) -> int:
    """Columns of a terminal: signs of East Asia take two, those that combine with others none."""
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return len(text) + wide - sum(unicodedata.combining(sign) > 0 for sign in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
