"""What a reader must be warned of: unlike runs in one group, unequal work, unequal code, seeds that are not
shared."""

from itertools import combinations

from attnlab.comparison.grouping import settings_of
from attnlab.comparison.records import WORK, Pair, Row, task
from attnlab.runs.codebase import listed, unequal
from attnlab.text import counted


def cautions(rows: list[Row], pairs: list[Pair]) -> list[str]:
    """One sentence for each."""
    return [
        *_merged(rows),
        *_diverged(rows),
        *_unequal_work(rows),
        *_unequal_code(rows),
        *_not_paired(rows, pairs),
    ]


def _merged(rows: list[Row]) -> list[str]:
    found = []
    for row in rows:
        if row.group.merged:
            differing = ", ".join(f"{key} ({', '.join(values)})" for key, values in row.group.merged.items())
            found.append(f"{row.group.label} merges runs that differ in more than the seed: {differing}")
        if len(row.counted) > len(row.values):
            words = (
                f"{row.group.label}: {len(row.counted)} runs have {counted(len(row.values), 'seed')}; runs "
                "of one seed are averaged"
            )
            found.append(
                words + ("" if _balanced(row) else ", and the seeds were not run with the same settings")
            )
    return found


def _diverged(rows: list[Row]) -> list[str]:
    found = []
    for row in rows:
        told = [run for run in row.counted if run.status.get("caution")]
        if told:
            which = ", ".join(sorted(str(run.seed) for run in told))
            words = f"{row.group.label}: {len(told)} of {len(row.counted)} runs counted (seed {which})"
            found.append(f"{words} {told[0].status['caution']}")
    return found


def _balanced(row: Row) -> bool:
    """Whether every seed has runs of the same settings."""
    each = [sorted(str(settings_of(run)) for run in row.counted if run.seed == seed) for seed in row.values]
    return all(settings == each[0] for settings in each)


def _unequal_work(rows: list[Row]) -> list[str]:
    found = []
    for name, (_, ratio) in WORK.items():
        known = {row.group.label: value for row in rows if (value := row.work[name])}
        if known and max(known.values()) > ratio * min(known.values()):
            least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
            unequal = f"{known[least]:,.4g} ({least}) to {known[most]:,.4g} ({most})"
            found.append(f"unequal work: {name} range from {unequal}")
    return found


def _unequal_code(rows: list[Row]) -> list[str]:
    runs = [run for row in rows for run in row.counted]
    versions = {name for run in runs for name in run.status.get("versions") or {}}
    codes = [run.sources["code"] for run in runs if run.sources.get("code")]
    files = unequal(codes)
    told = [f"the code differs between runs: {listed(files)}"] if files else []
    unknown = len(codes) < len(runs)  # runs of an earlier version
    noted = {"code revision": {run.status.get("revision") for run in runs}} if unknown else {}
    noted |= {
        f"version of {name}": {(run.status.get("versions") or {}).get(name) for run in runs}
        for name in versions
    }
    return told + [
        f"the {name} differs between runs: {', '.join(sorted(map(str, of)))}"
        for name, of in noted.items()
        if len(of) > 1
    ]


def _not_paired(rows: list[Row], pairs: list[Pair]) -> list[str]:
    found = []
    if (
        len({str(task(row)) for row in rows if row.values}) > 1
        and len(pairs) < len(rows) * (len(rows) - 1) // 2
    ):
        found.append(
            "groups on different tasks, or on different settings of a task, are not compared with each other"
        )
    lonely = [f"{pair.first} and {pair.second}" for pair in pairs if pair.result.n < 2]
    if lonely:
        more = f" and {len(lonely) - 3} more pairs" if len(lonely) > 3 else ""
        found.append(
            f"fewer than two shared seeds, so no interval and no p-value: {', '.join(lonely[:3])}{more}"
        )
    if any(set(a.values) != set(b.values) for a, b in combinations([row for row in rows if row.values], 2)):
        found.append(
            "the groups do not all have the same seeds; each pair is compared over the seeds that both have"
        )
    return found
