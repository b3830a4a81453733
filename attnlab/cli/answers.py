"""How a command ends: 0 for success, 1 for a run that failed, 2 for bad input; one message, and no
traceback. Signals are answered in attnlab.interruption."""

import argparse
import functools
import os
import platform
import sys
from collections.abc import Callable
from importlib import metadata

from attnlab import shell
from attnlab.runs.folders import RunBusy
from attnlab.text import WIDTH, wrapped

SUCCESS, FAILED, BAD_INPUT = 0, 1, 2


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


def answered(command: Callable[[], int]) -> int:
    """Run a command; what a person can mend is told in one message."""
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


def shown(page: str) -> int:
    """Print a page: success."""
    print(page)
    return SUCCESS


def said(code: int, message: str) -> int:
    """Print a message on stderr and return the code."""
    print(wrapped(f"error: {message}" if code in (FAILED, BAD_INPUT) else message), file=sys.stderr)
    return code
