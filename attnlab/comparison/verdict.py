"""What was found, in one sentence a task: what is ahead, by how much, how certain."""

from attnlab.comparison.numbers import between, figure
from attnlab.comparison.records import Comparison, Field, Pair, fields
from attnlab.text import counted

NAMED, TASKS = 3, 4  # groups named on either side; tasks spoken of


def verdict(comparison: Comparison) -> str:
    """A difference is called one where the interval that holds together with those of all pairs leaves 0
    out."""
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
    known = [pair for pair in field.pairs if pair.result.ends]
    if not known:
        unknown = "with fewer than two shared seeds no difference can be told apart"
        return f"{alone}, the {most} of {len(field.rows)}; {unknown}"
    seeds = counted(min(pair.result.n for pair in known), "seed")
    told = [pair for pair in known if pair.result.told]
    equal = [pair for pair in known if not pair.result.told]
    if all(pair.result.difference == 0 for pair in known):
        said = f"no difference with {seeds}: {label} has {comparison.metric} {figure(mean)}, as has "
        said += _listed([names[pair.second] for pair in known])
    elif told:
        ahead, behind = ("is ahead of", "behind") if comparison.better else ("is above", "below")
        said = f"{label} {ahead} {_named(told, '{} by {} {}', names, lower)} over {seeds}"
        close = _named(equal, f"{{}} ({{}} {{}} {behind})", names, lower)
        said += f"; it cannot be told apart from {close}" if equal else ""
    else:
        said = f"no difference can be told apart with {seeds}; {label} is {most}, before "
        said += _named(equal, "{} by {} {}", names, lower)
    lonely = [names[pair.second] for pair in field.pairs if not pair.result.ends]
    said += f"; {counted(len(lonely), 'group')} ({_listed(lonely)}) cannot be compared yet" if lonely else ""
    pairs = sum(pair.result.ends is not None for pair in comparison.pairs)
    return said + f" (intervals that hold for all {pairs} pairs at once)" * (pairs > 1)


def _named(pairs: list[Pair], form: str, names: dict[str, str], lower_is_better: bool) -> str:
    words = []
    for pair in (pair.turned() if lower_is_better else pair for pair in pairs):
        low, high = pair.result.ends or (None, None)
        name = names[pair.first if lower_is_better else pair.second]
        words.append(form.format(name, figure(pair.result.difference), between(low, high)))
    return _listed(words)


def _listed(words: list[str]) -> str:
    more = len(words) - NAMED
    return ", ".join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _sentence(words: str) -> str:
    return f"{words[0].upper() if words.startswith(('no ', 'on ')) else words[0]}{words[1:]}."
