"""A signal ends a program at any moment with one sentence, and the same command then ends as if nothing had
been."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from running import Killed, folder_in, killed_at, metrics, same

from attnlab.cli import train as command_line
from attnlab.cli.train import train
from attnlab.interruption import SIGNALS
from attnlab.training.resuming import load

ROOT = Path(__file__).parents[2]
COMMAND = [
    "attention=hard_reinforce",
    "attention.baseline=moving_average",
    "model.dropout=0.2",
    "model.hidden_size=6",
    "model.embedding_size=5",
    "model.readout_size=7",
    "batch_size=4",
    "task.validation_examples=40",
    "task.test_examples=20",
    "task.shortest=2",
    "task.longest=4",
    "task.steps_per_epoch=20",
    "trainer.max_steps=60",
    "trainer.val_check_interval=7",
    "trainer.log_every_n_steps=1",
    "checkpoint_every=5",
]


def listening() -> None:
    """The program begins as from a terminal, whatever these tests were told to pass over."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def begun(program: Sequence[str], deaf_to: int = 0) -> subprocess.Popen[str]:
    def prepared() -> None:
        listening()
        if deaf_to:
            signal.signal(deaf_to, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, *program], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepared,
    )  # fmt: skip


WAITING = """
import time
from attnlab import interruption
interruption.answer()
interruption.leaves(lambda: "interrupted; the same command goes on")
while True:
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        pass
"""


@pytest.mark.parametrize("numbers", [*[(number,) for number in SIGNALS], SIGNALS, (SIGNALS[0],) * 5])
def test_a_signal_is_answered_once_even_where_exceptions_are_swallowed(numbers: Sequence[int]) -> None:
    program = begun(["-c", WAITING])
    assert program.stdout is not None and program.stdout.readline() == "ready\n"
    for number in numbers:
        program.send_signal(number)
    _, told = program.communicate(timeout=20)
    assert told == "interrupted; the same command goes on\n"
    assert program.returncode in {128 + number for number in numbers}


def test_a_signal_that_is_to_be_passed_over_is(tmp_path: Path) -> None:
    """`nohup` and `&` say so before the program begins."""
    program = begun(["-c", WAITING], deaf_to=signal.SIGHUP)
    assert program.stdout is not None and program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.2)
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=20)
    assert program.returncode == 128 + signal.SIGTERM


def test_the_sentence_says_what_the_same_command_will_do(tmp_path: Path) -> None:
    command = [*COMMAND, "trainer.max_steps=8", f"runs_dir={tmp_path}"]
    said = command_line.interrupted
    assert said(tmp_path, False) == "interrupted before the first checkpoint; the same command starts over"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(6, patch)
        train(command, None)
    folder = folder_in(tmp_path)
    goes_on = "goes on from the last checkpoint, of step 5"
    assert said(folder, False) == f"interrupted; the same command {goes_on}"
    assert said(folder, True) == f"interrupted; the same command without fresh=true {goes_on}"
    assert train(command, None) == 0
    assert said(folder, False) == "interrupted; the run is done, and the same command prints its result"


MOMENTS: list[tuple[str, tuple[int, ...]]] = [
    ("", (signal.SIGINT,)),
    ("loading torch", (signal.SIGHUP,)),
    ("step 7 of", (signal.SIGTERM, signal.SIGTERM)),
    ("step 27 of", (signal.SIGQUIT, signal.SIGINT)),
    ("trained to", (signal.SIGHUP, signal.SIGTERM)),
    ("measuring it", (signal.SIGTERM,)),
]
"""After which words of the program signals are sent: from its start to its last figures."""


def sent(
    command: list[str], words: str, numbers: Sequence[int], draw: random.Random
) -> tuple[int, str, bool]:
    """The code and the words of a program that gets signals at a moment, and whether it was done before."""
    program = begun(["scripts/train.py", *command])
    assert program.stderr is not None
    told = "" if words else time.sleep(draw.uniform(0.3, 0.6)) or ""
    while words not in told:
        line = program.stderr.readline()
        assert line, told
        told += line
    time.sleep(draw.uniform(0.0, 0.1) if words else 0)
    for number in numbers:
        program.send_signal(number)
        time.sleep(draw.choice([0.0, 0.003, 0.03]))
    report, rest = program.communicate(timeout=60)
    return program.returncode, told + rest, "done in" in report


@pytest.mark.slow
def test_a_run_that_signals_end_again_and_again_ends_as_if_it_had_not(tmp_path: Path) -> None:
    assert train([*COMMAND, f"runs_dir={tmp_path / 'whole'}"], None) == 0
    draw, command = random.Random(0), [*COMMAND, f"runs_dir={tmp_path / 'broken'}"]
    answered = 0
    for words, numbers in MOMENTS:
        code, told, over = sent(command, words, numbers, draw)
        assert "Traceback" not in told and told.count("interrupted") <= 1
        if not over:
            assert code in {128 + number for number in numbers}
            sentence = r"interrupted.*; the\s+same\s+command\s+(starts\s+over|goes\s+on|prints|can)[^;]*\n"
            assert re.search(sentence, told, re.DOTALL)
            answered += 1
        else:
            assert words == "measuring it"  # it was quicker
    assert answered >= len(MOMENTS) - 1
    assert train(command, None) == 0
    one, other = (folder_in(tmp_path / name) for name in ("whole", "broken"))
    assert metrics(one) == metrics(other)
    assert json.loads((one / "results.json").read_text()) == json.loads((other / "results.json").read_text())
    for name in ("last", "best"):
        kept, again = (load(folder / "checkpoints" / f"{name}.ckpt") for folder in (one, other))
        assert same(kept["state_dict"], again["state_dict"])
        assert same(kept["optimizer_states"], again["optimizer_states"])
