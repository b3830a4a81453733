"""Programs as a person starts them: Python anew, in a folder of its own, one thread each."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch


def attnlab(*arguments: str) -> list[str]:
    """The command line of one of our programs."""
    return ["-m", "attnlab", *arguments]


def _begin(arguments: Sequence[str], folder: Path, output: int) -> subprocess.Popen[str]:
    threads = str(torch.get_num_threads())
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lasting(arguments: Sequence[str], folder: Path) -> float:
    """Seconds from the start of a Python program to its end. Raises RuntimeError, with what it said, where it
    fails."""
    started = time.perf_counter()
    said(arguments, folder)
    return time.perf_counter() - started


def said(arguments: Sequence[str], folder: Path) -> str:
    """What a Python program prints. Raises RuntimeError, with that, where it fails."""
    program = _begin(arguments, folder, subprocess.PIPE)
    output, _ = program.communicate()
    if program.returncode:
        raise RuntimeError(f"{_told(arguments)} failed: {_last(output)}")
    return output


def until(words: str, arguments: Sequence[str], folder: Path) -> float:
    """Seconds of the processor that a Python program takes to the line that begins with these words, behind
    which it is ended. Raises RuntimeError where it ends without it."""
    before, found = _spent(), False
    with _begin(arguments, folder, subprocess.PIPE) as program:
        assert program.stdout is not None
        line = ""
        for line in program.stdout:
            if found := line.startswith(words):
                program.kill()
                break
    if found:
        return _spent() - before
    raise RuntimeError(f"{_told(arguments)} never said {words!r}, and ended with {_last(line)!r}")


def _spent() -> float:
    """Seconds of the processor that ended programs have taken, which no busy machine adds to."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _told(arguments: Sequence[str]) -> str:
    return " ".join(["python", *arguments])


def _last(output: str) -> str:
    """Its last line."""
    return next(iter(output.strip().splitlines()[::-1]), "")
