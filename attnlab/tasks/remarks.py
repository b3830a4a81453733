"""What a person should know about the lines of an exam before believing a figure: in counts and in
sentences."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from attnlab.tasks.reading import Row
from attnlab.tasks.vocabulary import Vocabulary

_EXAMPLES = 5  # unknown symbols that a sentence shows


def unknown_examples(vocabulary: Vocabulary, rows: Sequence[Row]) -> int:
    """Rows that hold a symbol which training never saw."""
    return sum(bool(vocabulary.unknown(row)) for row in rows)


def remarks(name: str, vocabulary: Vocabulary, rows: Sequence[Row], ceiling: float) -> Iterator[str]:
    """Sentences about an exam: symbols that training never saw, and figures that cannot reach 1.

    name: how its file is called.
    """
    found = [vocabulary.unknown(row) for row in rows]
    strange = [row for row, unknown in zip(rows, found, strict=True) if unknown]
    if strange:
        counts = Counter(symbol for unknown in found for symbol in unknown)
        shown = ", ".join(f"{n:,} x {_shown(*what)}" for what, n in counts.most_common(_EXAMPLES))
        more = f", and {len(counts) - _EXAMPLES} others" if len(counts) > _EXAMPLES else ""
        yield (
            f"{name}: {len(strange):,} of {len(rows):,} lines hold symbols that training never saw: "
            f"{shown}{more}{_hint(vocabulary, strange, len(rows))}"
        )
    several = _several_targets(rows)
    if several:
        yield (
            f"{name}: sources with more than one target: {several:,}. sequence_accuracy counts lines, and "
            f"can be at most {ceiling:.4f}; word_error_rate and symbol_error_rate count each source once, "
            "by the best of its targets"
        )


def _shown(side: str, symbol: str) -> str:
    points = " ".join(f"U+{ord(sign):04X}" for sign in symbol) if len(symbol) <= 2 else ""
    return f"{symbol!r} ({', '.join(filter(None, (side, points)))})"


def _hint(vocabulary: Vocabulary, strange: Sequence[Row], lines: int) -> str:
    """What probably is the matter."""
    for form in ("NFC", "NFD"):
        known = sum(not vocabulary.unknown(_normalized(form, row, vocabulary)) for row in strange)
        if known:
            return (
                f"; {known:,} of these lines would have none in Unicode's form {form}, which is that of the "
                "training file: text is taken as it is, so bring the files into one form"
            )
    if len(strange) > lines / 2:
        sides = Counter(side for row in strange for side in {side for side, _ in vocabulary.unknown(row)})
        keys = [f"task.{side}_separator" for side in ("source", "target") if sides[side] > lines / 2]
        return f"; do {' and '.join(keys)} fit?" if keys else ""
    return ""


def _normalized(form: str, row: Row, vocabulary: Vocabulary) -> Row:
    """A row in another of Unicode's forms; symbols stay apart unless they are single characters."""

    def side(symbols: list[str]) -> list[str]:
        if all(len(symbol) == 1 for symbol in symbols):
            return list(unicodedata.normalize(form, "".join(symbols)))  # pyright: ignore[reportArgumentType]
        return [unicodedata.normalize(form, symbol) for symbol in symbols]  # pyright: ignore[reportArgumentType]

    return Row(*(side(symbols) for symbols in row))


def _several_targets(rows: Sequence[Row]) -> int:
    """Sources with more than one target."""
    lines = {(tuple(row.features), tuple(row.source), tuple(row.target)) for row in rows}
    return sum(count > 1 for count in Counter((features, source) for features, source, _ in lines).values())


def unsplit(name: str, rows: Sequence[Row], separators: tuple[str, str]) -> Iterator[str]:
    """A sentence for each side of a training file on which nothing was split though a separator is set, and
    for blanks at the ends of lines that are split into characters."""
    for side, separator in zip(("source", "target"), separators, strict=True):
        column: list[list[str]] = [getattr(row, side) for row in rows]
        if separator and all(len(symbols) == 1 for symbols in column) and any(len(s[0]) > 1 for s in column):
            yield (
                f"{name}: no {side} holds the separator {separator!r}, so that each is one symbol; "
                f"\"task.{side}_separator=''\" splits into characters"
            )
        blank = sum(symbols[0].isspace() or symbols[-1].isspace() for symbols in column)
        if not separator and blank:
            yield f"{name}: {blank:,} {side}s begin or end with a blank, which is taken for a symbol"
