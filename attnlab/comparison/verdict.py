"""What was found, in one sentence a task: what is ahead, by how much, how certain."""

from attnlab.comparison.numbers import between, figure
from attnlab.comparison.records import Comparison, Field, Pair, fields
from attnlab.comparison.statistics import LARGEST_P
from attnlab.text import counted

NAMED, TASKS = 3, 4  # groups named on either side; tasks spoken of


def verdict(comparison: Comparison) -> str:
    """A difference is called one where its p-value, corrected for the number of pairs, is at most 0.05."""
    found = fields(comparison)
    words = [f"on {field.title}: " * bool(field.title) + _of(field, comparison) for field in found[:TASKS]]
    more = [f"{counted(len(found) - TASKS, 'more task')} below"] * (len(found) > TASKS)
    return " ".join(map(_sentence, words + more))


def _of(field: Field, comparison: Comparison) -> str:
    (first, *others), names = field.rows, field.names
    label, (n, mean, _, low, high) = names[first.group.label], first.summary
    lower = comparison.better == "lower"
    alone = f"{label} has {comparison.metric} {figure(mean)}"
    alone += f" {between(low, high)}" if low is not None else ""
    if not others:
        return f"{alone} over {counted(n, 'seed')}"
    most = "best" if comparison.better else "highest"
    if not field.pairs:
        each = [f"{names[row.group.label]} {figure(row.summary.mean)}" for row in field.rows[:NAMED]]
        more = f" and {len(field.rows) - NAMED} more" if len(field.rows) > NAMED else ""
        return f"{comparison.metric}: {', '.join(each)}{more}; on different tasks, so not compared"
    shared = min((pair.result.n for pair in field.pairs), default=0)
    if shared < 2:
        unknown = "with fewer than two shared seeds no difference can be told apart"
        return f"{alone}, the {most} of {len(field.rows)}; {unknown}"
    seeds = counted(shared, "seed")
    told = [pair for pair in field.pairs if (pair.result.p_holm or 0) <= LARGEST_P]
    equal = _named([pair for pair in field.pairs if pair not in told], names, lower)
    if not told:
        corrected = f", corrected for {len(comparison.pairs)} pairs" * (len(comparison.pairs) > 1)
        return f"no difference can be told apart with {seeds}{corrected}; {label} is {most}, before {equal}"
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


def _sentence(words: str) -> str:
    return f"{words[0].upper() if words.startswith(('no ', 'on ')) else words[0]}{words[1:]}."
