"""From the command `train` to the end of its first training step, against Python starting to the end of
`import torch, pytorch_lightning`, in seconds of the processor: as installed here, and as if without SciPy and
Matplotlib, which torchmetrics, a part of Lightning, imports wherever they are installed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnlab.benchmarking.gauge import Gauge, gauge, taken
from attnlab.benchmarking.processes import attnlab, until

_SAY = "print('imported', flush=True)"
_IMPORTS = f"import torch, pytorch_lightning; {_SAY}"
_SPARED = f"from attnlab import startup; startup.spare(); {_IMPORTS}"


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each way of importing, in a third of the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        command = attnlab("train", "trainer.max_steps=1", "fresh=true")
        sides = [
            lambda: until("trained to step 1", command, place),
            lambda: until("imported", ["-c", _IMPORTS], place),
            lambda: until("imported", ["-c", _SPARED], place),
        ]
        for side in sides:  # once for the disk
            side()
        ours, installed, spared = taken(sides, -(-rounds // 3))
    yield gauge("as installed", ours, "imports", installed, "s")
    yield gauge("as if without them", ours, "imports", spared, "s")
