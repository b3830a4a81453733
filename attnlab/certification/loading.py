"""A person's own estimator, by the name that was typed. torch is not imported here."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attnlab.text import failure


def load(target: str) -> Callable[..., Any]:
    """The function that MODULE:FUNCTION names, or an object of the class; modules of the working folder are
    found.

    Raises ValueError, in one sentence, where there is none.
    """
    module, _, name = target.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(
            f"an estimator is named MODULE:FUNCTION, such as mine.estimators:mine, got {target!r}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not _is_there(module):
        raise ValueError(f"{target} names no module that is found in {here} or on Python's path")
    try:
        found = getattr(importlib.import_module(module), name, None)
        made = found() if isinstance(found, type) else found
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise ValueError(f"{target} {failure(error)}") from error
    if found is None:
        offered = [key for key, value in vars(sys.modules[module]).items() if callable(value)]
        near = difflib.get_close_matches(name, offered, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{module} has nothing named {name}{meant}")
    if not callable(made):
        raise ValueError(f"{target} must be a function, got {made!r:.60}")
    return made


def _is_there(module: str) -> bool:
    """Whether a module is found; the packages that it lies in are imported for that."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{module} {failure(error)}") from error
        return False
    except Exception as error:
        raise ValueError(f"{module} {failure(error)}") from error
