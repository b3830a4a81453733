"""The symbols of a task's data and their numbers: made from training data once, and kept with what was
trained."""

from collections.abc import Iterable, Mapping
from typing import Any

from attnlab.tasks.batch import EOS, SPECIAL, UNK
from attnlab.tasks.reading import Row

SPECIAL_NAMES = ("<pad>", "<bos>", "<eos>", "<unk>")  # in the order of attnlab.core.interfaces
_TABLES = ("features", "source", "target")


class Vocabulary:
    """Symbols <-> their numbers. A feature V and a letter V are different symbols.

    kept: the symbols of features, source and target in the order of their numbers, and longest_target, the
    length of the longest target of training with EOS; plain values, as a run keeps them in vocabulary.json.
    Raises ValueError for anything else.
    """

    def __init__(self, kept: Mapping[str, Any]):
        tables: dict[str, list[str]] = {name: kept.get(name, ()) for name in _TABLES}
        longest = kept.get("longest_target")
        if not all(map(_is_table, tables.values())) or type(longest) is not int or longest < 1:
            rule = f"{', '.join(_TABLES)}, each a list of different words, and a longest_target"
            raise ValueError(f"vocabulary.json of a run must hold {rule}, got {str(dict(kept))[:200]}")
        self.kept = {**tables, "longest_target": longest}
        self.longest_target = longest
        features, source, target = tables.values()
        self.source = (*SPECIAL_NAMES, *(f"[{feature}]" for feature in features), *source)
        self.target = (*SPECIAL_NAMES, *target)
        self.feature_ids = {symbol: index for index, symbol in enumerate(features, SPECIAL)}
        self.source_ids = {symbol: index for index, symbol in enumerate(source, SPECIAL + len(features))}
        self.target_ids = {symbol: index for index, symbol in enumerate(target, SPECIAL)}

    def encode(self, row: Row) -> tuple[list[int], list[int]]:
        """Numbers of the source, features first, and of the target, EOS last; UNK for what is not in here."""
        features = [self.feature_ids.get(symbol, UNK) for symbol in row.features]
        source = [self.source_ids.get(symbol, UNK) for symbol in row.source]
        return features + source, [*(self.target_ids.get(symbol, UNK) for symbol in row.target), EOS]

    def unknown(self, row: Row) -> list[tuple[str, str]]:
        """(side, symbol) for every symbol of a row that is not in here; side is features, source or
        target."""
        tables = {"features": self.feature_ids, "source": self.source_ids, "target": self.target_ids}
        return [
            (side, symbol) for side in tables for symbol in getattr(row, side) if symbol not in tables[side]
        ]


def vocabulary_of(rows: list[Row]) -> Vocabulary:
    """The symbols of training rows, in the order of their code points."""
    tables = {name: _symbols(getattr(row, name) for row in rows) for name in _TABLES}
    return Vocabulary({**tables, "longest_target": 1 + max(len(row.target) for row in rows)})


def _symbols(sequences: Iterable[list[str]]) -> list[str]:
    return sorted({symbol for sequence in sequences for symbol in sequence})


def _is_table(table: Any) -> bool:
    return (
        isinstance(table, list)
        and all(isinstance(symbol, str) for symbol in table)
        and len(set(table)) == len(table)
    )
