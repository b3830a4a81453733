"""The command `compare` over 100 and 1,000 runs in ten groups, from its start to its end, with its page, its
plots and what it writes for TensorBoard, against the imports of NumPy, SciPy's statistics and Matplotlib. The
runs are copies of one, of as many logged steps as a default run, under other seeds."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnlab.benchmarking.gauge import Gauge, gauge, taken
from attnlab.benchmarking.processes import attnlab, lasting
from attnlab.runs import folders
from attnlab.runs.identity import identity

_TINY = ("model.hidden_size=4", "model.embedding_size=4", "model.readout_size=4", "batch_size=2")
_FEW = ("task.validation_examples=2", "task.test_examples=2")
_IMPORTS = "import numpy, scipy.stats, matplotlib.figure"
_GROUPS = 10
NUMBERS = (100, 1000)


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each number of runs, in a tenth of the rounds."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        lasting(attnlab("train", *_TINY, *_FEW), place)
        (first,) = place.glob("runs/*/*/*/")
        for number in NUMBERS:
            copies = place / str(number)
            multiply(first, copies, number)
            command = attnlab("compare", str(copies), "--out", str(place / f"out{number}"))
            sides = [lambda: lasting(command, place), lambda: lasting(["-c", _IMPORTS], place)]  # noqa: B023
            ours, imports = taken(sides, -(-rounds // 10))
            yield gauge(f"{number:,} runs", ours, "imports", imports, "s")


def multiply(run: Path, copies: Path, number: int) -> None:
    """So many copies of a run under other seeds and, in ten groups, other values of beta."""
    tree, results = folders.read_config(run), folders.read_results(run) or {}
    for index in range(number):
        seed, group = divmod(index, _GROUPS)
        varied = tree | {"seed": seed, "attention": tree["attention"] | {"beta": 1.0 + group}}
        made = copies / f"{index}-{identity(varied, {})}"
        shutil.copytree(run, made, ignore=shutil.ignore_patterns("checkpoints"))
        folders.write_config(made, varied)
        sources = folders.read_sources(made) | {"identity": identity(varied, {})}
        (made / "sources.json").write_text(json.dumps(sources), encoding="utf-8")
        moved = {tag: value + 1e-4 * (group + seed % 7) for tag, value in results.items()}
        folders.write_results(made, moved)
