"""Reading lines of source, tab, target (and features): what a file must look like, and what is said
otherwise."""

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_FEATURE_SEPARATOR = ";"  # V;IND;PRS, the notation of UniMorph
SHOWN = 5  # malformed lines that an error quotes
_QUOTED = 60  # characters of a line that an error quotes
# no symbols: what is in a line where programs disagree about the format of its file
_STRAY = {"\0": "NUL, as UTF-16 has (the file must be UTF-8)", "\r": "carriage return within a line"}


class Row(NamedTuple):
    """One line, as symbols."""

    features: list[str]
    source: list[str]
    target: list[str]


def read_rows(
    path: str, source_separator: str, target_separator: str, features_column: int | None
) -> list[Row]:
    """The lines of a UTF-8 file of tab-separated columns, each split into symbols; source before target.

    features_column is 1, 2 or 3 in files of three columns, and None in files of two; an empty column means no
    features. A separator '' splits into characters, which are code points: a letter with a combining mark is
    two symbols, since text is taken as it is, neither composed (NFC) nor decomposed (NFD). A byte order mark,
    Windows line ends and empty lines at the beginning and the end of the file are no part of the data. An
    empty line between others is refused: it is a line that lost its columns, or the file is of another kind.

    Raises ValueError for a file that cannot be read, is empty, or has malformed lines; the first few are
    quoted.
    """
    content = _content(path)
    lines = content.rstrip(b"\r\n").split(b"\n")
    first = next(number for number, line in enumerate(lines) if line.strip(b"\r"))
    parse = _parser(source_separator, target_separator, features_column)
    rows, problems = [], []
    for number, line in enumerate(lines[first:], first + 1):
        try:
            rows.append(parse(line.removesuffix(b"\r")))
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        more = (
            [f"and {len(problems) - SHOWN} more malformed lines of {len(lines)}"]
            if len(problems) > SHOWN
            else []
        )
        raise ValueError("\n".join(problems[:SHOWN] + more))
    return rows


def _content(path: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: expected a file of tab-separated lines, got: {error.strerror}") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip(b"\r\n"):
        raise ValueError(f"{path}: expected at least one line of source, tab, target; got an empty file")
    return content


def _parser(
    source_separator: str, target_separator: str, features_column: int | None
) -> Callable[[bytes], Row]:
    """Bytes of a line -> its row, or a ValueError with what was expected and what came."""
    order = ["source", "target"]
    if features_column:
        order.insert(features_column - 1, "features")
    source, target = order.index("source"), order.index("target")

    def parse(line: bytes) -> Row:
        columns = decoded(line).split("\t")
        if len(columns) != len(order):
            raise ValueError(_wrong_columns(columns, order))
        features = columns[features_column - 1] if features_column else ""
        return Row(
            _split(features, _FEATURE_SEPARATOR, "features") if features else [],
            _split(columns[source], source_separator, "source"),
            _split(columns[target], target_separator, "target"),
        )

    return parse


def source_reader(separator: str, features_column: int | None) -> tuple[list[str], Callable[[bytes], Row]]:
    """The columns of a line without its target, in the order of the data, and what reads such a line, as a
    row without a target. Raises ValueError as `read_rows` does."""
    order = ["features", "source"] if features_column == 1 else ["source", "features"]
    order = order if features_column else ["source"]

    def parse(line: bytes) -> Row:
        columns = decoded(line).split("\t")
        if len(columns) != len(order) or columns == [""]:
            came = "an empty line" if columns == [""] else f"{len(columns)}: {_quote(chr(9).join(columns))}"
            told = "; the target is what is predicted" if len(columns) > len(order) else ""
            number = f"{len(order)} columns" if len(order) > 1 else "1 column"
            raise ValueError(f"expected {number} ({', '.join(order)}), got {came}{told}")
        features = columns[order.index("features")] if features_column else ""
        return Row(
            _split(features, _FEATURE_SEPARATOR, "features") if features else [],
            _split(columns[order.index("source")], separator, "source"),
            [],
        )

    return order, parse


def decoded(line: bytes) -> str:
    """A line as text. Raises ValueError for what is no UTF-8, and for signs that no line holds."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        byte = f"the byte {line[error.start]:#04x} at position {error.start + 1}"
        raise ValueError(f"expected UTF-8, got {byte} of {_quote(line)}") from error
    for sign, what in _STRAY.items():
        if sign in text:
            raise ValueError(f"expected no {what}, got one in {_quote(text)}")
    if text.startswith("\ufeff"):
        raise ValueError(f"expected a byte order mark only before the first line, got {_quote(text)}")
    return text


def _wrong_columns(columns: list[str], order: list[str]) -> str:
    if columns == [""]:
        return f"expected {len(order)} columns ({', '.join(order)}), got an empty line between others"
    quoted = _quote("\t".join(columns))
    came = f"expected {len(order)} columns ({', '.join(order)}), got {len(columns)}: {quoted}"
    if len(order) == 2 and len(columns) == 3:
        return f"{came}; task.features_column=3 reads the third column as features"
    if len(order) == 3 and len(columns) == 2:
        return f"{came}; task.features_column=null is for files without features"
    return came


def _split(text: str, separator: str, name: str) -> list[str]:
    if not text:
        raise ValueError(f"expected at least one symbol of {name}, got an empty column")
    symbols = text.split(separator) if separator else list(text)
    if "" in symbols:
        rule = f"one separator {separator!r} between two symbols of {name}, none at the ends"
        raise ValueError(f"expected {rule}; got an empty symbol in {_quote(text)}")
    return symbols


def _quote(text: str | bytes) -> str:
    return repr(text) if len(text) <= _QUOTED else f"{text[:_QUOTED]!r}..."
