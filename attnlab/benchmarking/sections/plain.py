"""Training in Lightning's Trainer against a plain PyTorch program on the same batches, in steps a second, so
that more is better. The published small setting (embeddings 100, hidden 200, readout 600, dropout 0.2, batch
20) on made-up words; validations are in neither."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnlab.benchmarking import program, words
from attnlab.benchmarking.beside import BLOCK, beside
from attnlab.benchmarking.gauge import Gauge, gauge
from attnlab.benchmarking.steps import Step, own_task
from attnlab.building import Built, build

SIDES = (
    ("soft", "soft", 0),
    ("hard_exact", "exact", 0),
    ("hard_marginal", "marginal", 0),
    ("hard_reinforce", "reinforce", 2),
    ("hard_reinforce", "reinforce", 4),
)
"""Our name, that of the plain program, and the samples where there are any."""


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each mechanism: steps a second of ours over those of the program."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = words.write(folder)
        for number, (ours, theirs, samples) in enumerate(SIDES):
            drawn = [f"attention.samples={samples}"] * bool(samples)
            built = build([*data, f"attention={ours}", *drawn])
            run = folder / str(number)
            run.mkdir()
            seconds, plain = beside(built, program_of(built, theirs, samples), rounds, run)
            rates = ([BLOCK / value for value in side] for side in (seconds, plain))
            told = f"{ours}, {samples} samples" if samples else ours
            yield gauge(told, next(rates), "plain program", next(rates), "steps/s")


def program_of(built: Built, mechanism: str, samples: int) -> Step:
    """The plain program of the same sizes, on the batches of the same positions."""
    task, sizes = own_task(built), built.config["model"]
    model = program.Seq2Seq(
        task.source_symbols,
        task.target_symbols,
        sizes["embedding_size"],
        sizes["hidden_size"],
        sizes["readout_size"],
        sizes["dropout"],
    )
    limit = built.config["trainer"]["gradient_clip_val"]
    train = program.trained(model, mechanism, samples, built.config["optimizer"]["lr"], limit)

    def step(position: int) -> None:
        train(*task.train(position)[:2])

    return step
