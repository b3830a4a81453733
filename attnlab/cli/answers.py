"""How a command ends: 0 for success, 1 for a run that failed, 2 for bad input; one message, and no
traceback."""

import argparse
import contextlib
import functools
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import metadata

from attnlab import shell
from attnlab.runs.folders import TERMINATION, RunBusy
from attnlab.text import WIDTH, wrapped

SUCCESS, FAILED, BAD_INPUT, _INTERRUPTED, _TERMINATED = 0, 1, 2, 130, 143


def parser(name: str, usage: str, doc: str | None) -> argparse.ArgumentParser:
    """For a script that takes options: its help has 80 columns, whatever the terminal has."""
    plain = functools.partial(argparse.RawDescriptionHelpFormatter, width=WIDTH)
    program = f"attnlab {name}" if shell.installed() else f"{name}.py"
    options = argparse.ArgumentParser(
        usage=f"{program} {usage}", description=doc, formatter_class=plain, allow_abbrev=False
    )
    options.add_argument("--version", action="version", version=version(), help="versions, and no more")
    return options


def version() -> str:
    """Versions of this program and of what it runs on; nothing is imported for it."""
    names = ("attnlab", "torch", "pytorch-lightning", "hydra-core", "tensorboard")
    found = [f"{name} {metadata.version(name)}" for name in names if _is_installed(name)]
    return ", ".join([*found, f"Python {platform.python_version()}"])


def _is_installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def answered(command: Callable[[], int], interrupted: Callable[[], str] = lambda: "interrupted") -> int:
    """Run a command; what a person can mend is told in one message, and what an interruption leaves."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads has read enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except RunBusy as error:
        return said(FAILED, str(error))
    except ValueError as error:
        return said(BAD_INPUT, str(error))
    except OSError as error:
        return said(BAD_INPUT, f"{error.strerror}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt as interruption:
        with _undisturbed():
            return said(_TERMINATED if TERMINATION in interruption.args else _INTERRUPTED, interrupted())


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Who asks twice is answered once: a second Ctrl-C or SIGTERM does not cut the answer off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shown(page: str) -> int:
    """Print a page: success."""
    print(page)
    return SUCCESS


def said(code: int, message: str) -> int:
    """Print a message on stderr and return the code."""
    print(wrapped(f"error: {message}" if code in (FAILED, BAD_INPUT) else message), file=sys.stderr)
    return code
