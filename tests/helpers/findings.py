"""What the experiments show, as docs/findings.md says it.

`python tests/helpers/findings.py [FOLDER [NAME ...]]` runs them, or those that are named, in a folder, where
what is there already is not run again, and writes their commands, tables and pictures into the page.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from readme import ROOT, prepare, run

from attnlab.benchmarking.machine import machine
from attnlab.comparison import load_runs

PAGE = ROOT / "docs" / "findings.md"
_SEEDS = "seed=0,1,2"


class Experiment(NamedTuple):
    """Sweeps that are compared with each other, in a folder of their own."""

    sweeps: tuple[str, ...]
    pictures: tuple[str, ...] = ()  # of the comparison, which the page shows

    def commands(self, name: str) -> list[str]:
        """What is typed for it."""
        typed = [f"python scripts/train.py -m {sweep} {_SEEDS} runs_dir=runs/{name}" for sweep in self.sweeps]
        return [*typed, f"python scripts/compare.py runs/{name} --out comparison/{name}"]


EXPERIMENTS = {
    "length": Experiment(
        (
            "experiment=length attention=soft,log_length,adaptive_temperature,entmax15,sparsemax,sink,"
            "sigmoid,differential,hard_reinforce",
            "experiment=length attention=soft evaluate_as=argmax",
        ),
        ("lengths.png",),
    ),
    "beta_phase": Experiment(
        ("experiment=beta_phase attention=soft attention.beta=0.5,2,10,50,250,1000 task.gap=1,4",),
        ("lengths.png", "gradient.png"),
    ),
    "majority": Experiment(
        (
            "task=majority attention=soft,hard_reinforce,hard_exact,argmax_straight_through "
            "trainer.max_steps=300",
            "task=majority attention=soft evaluate_as=argmax trainer.max_steps=300",
        )
    ),
    "decides": Experiment(
        (
            "task=max_retrieval,selective_copy,lookup,addition attention=soft,oracle "
            "task.longest=16 trainer.max_steps=300",
            "task=max_retrieval,selective_copy,lookup,addition attention=soft "
            "evaluate_as=argmax task.longest=16 trainer.max_steps=300",
        )
    ),
}


def measured(name: str, folder: Path) -> str:
    """The commands of an experiment, and what the last one prints; its picture goes beside the page."""
    experiment = EXPERIMENTS[name]
    *sweeps, compare = experiment.commands(name)
    for sweep in sweeps:
        run(sweep, folder)
    minutes = sum(one.seconds or 0.0 for one in load_runs(folder / "runs" / name)) / 60
    printed = run(compare, folder).partition("\nwritten to ")[0].strip()
    lines = [f"$ {command}" for command in (*sweeps, compare)]
    said = [
        "```text",
        *lines,
        printed,
        "```",
        "",
        f"{machine(1)['processor']}, one thread, {minutes:.0f} minutes in all.",
    ]
    for picture in experiment.pictures:
        kept = f"{name}_{picture}"
        shutil.copy(folder / "comparison" / name / picture, PAGE.with_name(kept))
        said += ["", f"![{name}: what was measured, and dashed what was predicted]({kept})"]
    return "\n".join(said)


def main() -> None:
    """Write every experiment into the page."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if sys.argv[1:] else Path(temporary)
        if not (folder / "scripts").exists():
            prepare(folder, PAGE)
        for name in sys.argv[2:] or EXPERIMENTS:
            marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            found = measured(name, folder)
            text = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(marked.sub(lambda match, found=found: f"{match[1]}{found}\n{match[2]}", text))


if __name__ == "__main__":
    main()
