"""A signal that ends a program: one sentence on stderr, and the code 128 + signal.

Nothing is unwound: an exception may come up inside an import, or where it is swallowed. Nothing needs to be,
since every file of a run is whole at any moment, as a loss of power demands.
"""

import atexit
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from attnlab.text import wrapped

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
_left: list[Callable[[], str]] = [lambda: "interrupted; the same command can be typed again"]


def leaves(sentence: Callable[[], str]) -> None:
    """What is to be said from now on: what an interruption has left, and how to go on. It is called amid
    whatever the program does, and so imports nothing."""
    _left[:] = [sentence]


def answer() -> None:
    """Answer the signals of this process, those that it was not told to pass over: `nohup` and `&` do."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    atexit.register(_pass_over)


def _pass_over() -> None:
    """Answer no signal any more: what was asked for is done, and Python only tidies up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _: FrameType | None) -> None:
    try:
        _pass_over()  # one who presses Ctrl-C twice is answered once
        begun = "\n" if os.isatty(2) else ""  # behind the bar
        os.write(2, f"{begun}{wrapped(_left[-1]())}\n".encode())
        for child in _children():  # the workers of a sweep
            os.kill(child, signal.SIGTERM)
    except Exception:  # a terminal that is gone
        pass
    finally:
        os._exit(128 + number)


def _children() -> list[int]:
    """Processes that this one has begun, where the system says."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text(encoding="ascii").split()]
