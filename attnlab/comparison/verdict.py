"""What was found, in one sentence a task: what is ahead, by how much, how certain."""

from attnlab.comparison.labels import labels
from attnlab.comparison.numbers import between, figure
from attnlab.comparison.records import Comparison, Field, Pair, Row, fields
from attnlab.comparison.statistics import LARGEST_P
from attnlab.text import counted

NAMED = 3  # groups named on either side


def verdict(comparison: Comparison) -> str:
    """A difference is called one where its p-value, corrected for the number of pairs, is at most 0.05."""
    found = fields(comparison)
    if len(found) == 1:
        names = {row.group.label: row.group.label for row in found[0].rows}
        return _sentence(_of(found[0], names, comparison))
    sentences = []
    for field in found:
        names = {row.group.label: _label(row, False) for row in field.rows}
        task = _label(field.rows[0], True).removeprefix("task=")
        sentences.append(_sentence(f"on {task}: {_of(field, names, comparison)}"))
    return " ".join(sentences)


def _of(field: Field, names: dict[str, str], comparison: Comparison) -> str:
    first, *others = field.rows
    label, (n, mean, _, low, high) = names[first.group.label], first.summary
    lower = comparison.better == "lower"
    alone = f"{label} has {comparison.metric} {figure(mean)}"
    alone += f" {between(low, high)}" if low is not None else ""
    if not others:
        return f"{alone} over {counted(n, 'seed')}"
    most = "best" if comparison.better else "highest"
    shared = min((pair.result.n for pair in field.pairs), default=0)
    if shared < 2:
        unknown = "with fewer than two shared seeds no difference can be told apart"
        return f"{alone}, the {most} of {len(field.rows)}; {unknown}"
    seeds = counted(shared, "seed")
    told = [pair for pair in field.pairs if (pair.result.p_holm or 0) <= LARGEST_P]
    equal = _named([pair for pair in field.pairs if pair not in told], names, lower)
    if not told:
        return f"no difference can be told apart with {seeds}; {label} is {most}, before {equal}"
    ahead = "is ahead of" if comparison.better else "is above"
    said = f"{label} {ahead} {_named(told, names, lower)} over {seeds}"
    return said + (f"; it cannot be told apart from {equal}" if equal else "")


def _named(pairs: list[Pair], names: dict[str, str], lower_is_better: bool) -> str:
    words = []
    for pair in pairs[:NAMED]:
        _, difference, lower, upper, *_ = pair.turned().result if lower_is_better else pair.result
        words.append(f"{names[pair.second]} by {figure(difference)} {between(lower, upper)}")
    more = len(pairs) - NAMED
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _label(row: Row, task: bool) -> str:
    """Of a group, only what the task says, or all but that."""
    kept = {key: value for key, value in row.group.telling.items() if key.startswith("task.") == task}
    return labels([row.group.settings], [kept])[0]


def _sentence(words: str) -> str:
    return f"{words[0].upper() if words.startswith(('no ', 'on ')) else words[0]}{words[1:]}."
