"""What the commands print: the report of a run and that of a sweep."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab import shell
from attnlab.config.composing import Composition
from attnlab.runs import folders
from attnlab.text import counted, filled, wrapped

if TYPE_CHECKING:  # which loads what a single run does not need
    from attnlab.runs.sweeps import Job, Outcome


def report(
    composition: Composition, folder: Path, results: Mapping[str, float], seconds: float | None = None
) -> str:
    """What a person wants to know when a run is over."""
    choices, state = composition.choices, "done" if seconds is None else f"done in {seconds:.0f} s"
    title = f"{choices['attention']} on {choices['task']}: {state}"
    logs = shell.tensorboard(composition.tree["runs_dir"])
    status = folders.read_status(folder)
    caution, notes = status.get("caution"), status.get("notes")
    told = f"\n\n{filled(str(caution))}" if caution else ""
    told += f"\n\n{seen}" if (seen := example(status.get("example"))) else ""
    said = noted(notes if isinstance(notes, list) else [])
    ended = f"ended        {words}\n" if (words := ending(status.get("ended"))) else ""
    return f"{title}\n\n{table(results)}{told}\n{said}\n{ended}run          {folder}\ntensorboard  {logs}"


def ending(said: object) -> str:
    """At which step a training ended and why, as a run keeps it. "" where none is kept, as in runs of earlier
    versions."""
    match said:
        case [int(step), str(why)]:
            return f"at step {step:,}: {why}"
    return ""


def example(said: object) -> str:
    """An example of the validation, as a run keeps it: what went in, what came out, and where the model
    looked. "" where none is kept, as in runs of earlier versions."""
    names = ("source", "target", "prediction", "verdict", "looked_at")
    if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in names):
        return ""
    source, target, prediction, verdict, looked = (said[name] for name in names)
    lines = {"source": source, "target": target, "prediction": f"{prediction} ({verdict})"}
    lines |= {"looked at": looked} if looked else {}
    return "\n".join(filled(f"{name:12} {text}", 0, 13) for name, text in lines.items())


def noted(notes: Iterable[object]) -> str:
    """Sentences that belong to figures, each on lines of its own; nothing where there are none."""
    return "".join(f"\n{wrapped(str(note))}\n" for note in notes)


_NOTES = 4
"""As many sentences about the runs of a sweep; all of them are in each run's status.json."""
# said in sentences where there is anything to say, or what follows from other figures
_SAID = ("unfinished", "unknown_examples", "accuracy_ceiling", "bayes_accuracy", "regret")


def table(results: Mapping[str, float]) -> str:
    """val and test figures side by side, one figure a line."""
    names = [tag.partition("/")[2] for tag in results if tag.startswith("val/") and not tag.endswith(_SAID)]
    lines = [f"{'':20}{'val':>10}{'test':>10}"]
    for name in sorted(names, key=lambda name: (not name.startswith("sequence"), name)):
        values = [results.get(f"{split}/{name}") for split in ("val", "test")]
        lines.append(
            f"{name:20}" + "".join("         -" if value is None else _figure(value) for value in values)
        )
    return "\n".join(lines)


def _figure(value: float) -> str:
    """In ten columns, also where a run has diverged."""
    return f"{value:10.4f}" if abs(value) < 1e4 else f"{value:10.2g}"


def sweep_table(outcomes: Sequence[tuple["Job", "Outcome"]], skipped: Collection[Path]) -> str:
    """One line a run: its state, its val/sequence_accuracy, and its name; why and where it failed below."""
    lines, counts = [f"{'state':12}{'accuracy':>10}  run"], Counter[str]()
    for job, outcome in outcomes:
        state = "skipped" if job.folder in skipped else outcome.state
        counts[state] += 1
        results = folders.read_results(job.folder)
        value = (results or {}).get("val/sequence_accuracy")
        accuracy = "-" if value is None else f"{value:.4f}"
        lines.append(f"{state:12}{accuracy:>10}  {job.name}")
        caution = folders.read_status(job.folder).get("caution") if results is not None else None
        if caution:
            lines.append(filled(str(caution), 24))
        if outcome.reason:
            lines += [filled(outcome.reason, 24), f"{'':24}log: {job.folder / 'train.log'}"]
    total = (
        f"{counts['done']} done, {counts['skipped']} skipped since done already, {counts['failed']} failed"
    )
    rest = counts.total() - counts["done"] - counts["skipped"] - counts["failed"]
    notes = _notes([job.folder for job, _ in outcomes])
    return "\n".join([*lines, "", total + (f", {rest} not finished" if rest else ""), *notes])


def _notes(folders_of_runs: Sequence[Path]) -> list[str]:
    """What is to be known before believing the figures of some runs; of sentences that differ in their
    figures alone, the one with the largest."""
    kept = [folders.read_status(folder).get("notes") for folder in folders_of_runs]
    kinds: dict[str, Counter[str]] = {}
    for note in (str(note) for notes in kept if isinstance(notes, list) for note in notes):
        kinds.setdefault(re.sub(r"\d[\d.,]*", "#", note), Counter())[note] += 1
    said = sorted(kinds.values(), key=Counter.total, reverse=True)
    lines = []
    for notes in said[:_NOTES]:
        most = "" if len(notes) == 1 else ", the most in one"
        lines.append(f"{counted(notes.total(), 'run')}{most}: {max(notes, key=_first_number)}")
    if len(said) > _NOTES:
        lines.append(f"and {len(said) - _NOTES} more: notes in the status.json of each run")
    return [f"\n{wrapped(line)}" for line in lines]


def _first_number(note: str) -> float:
    found = re.search(r"\d+(\.\d+)?", note)
    return float(found[0]) if found else 0.0
