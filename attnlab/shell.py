"""Commands that a person can paste: one line each, for the interpreter that runs, activated or not."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
CHARTS = "http://localhost:6006/#custom_scalars&_smoothingWeight=0"
"""Where TensorBoard then shows all runs in one chart a figure, accuracy first, as they are: its pages Time
Series and Scalars sort by tag, and smooth away what few validations say."""


def installed() -> bool:
    """Whether the program that runs is `attnlab COMMAND` and no script of a checkout."""
    return Path(sys.argv[0]).stem == "attnlab" or not SCRIPTS.is_dir()


def as_typed(text: str) -> str:
    """A text that names scripts, as it reads for the program that runs."""
    return re.sub(r"python scripts/(\w+)\.py", r"attnlab \1", text) if installed() else text


def script(name: str, *arguments: object) -> str:
    """One of our commands: `.venv/bin/python scripts/compare.py runs`, or `attnlab compare runs`."""
    if installed():
        return _line(*_program("attnlab", "attnlab"), name, *arguments)
    return _line(*_program("python"), _shown(SCRIPTS / f"{name}.py"), *arguments)


def install(extra: str) -> str:
    """This program with one of its extras."""
    if not SCRIPTS.is_dir():
        return _line(*_program("python"), "-m", "pip", "install", f"attnlab[{extra}]")
    return _line(*_program("python"), "-m", "pip", "install", "-c", "constraints.txt", "-e", f".[{extra}]")


def tensorboard(folder: object) -> str:
    """TensorBoard over a folder of runs."""
    return _line(*_program("tensorboard", "tensorboard.main"), "--logdir", folder)


def _program(name: str, module: str = "") -> list[str]:
    """A program beside the interpreter, by its bare name where a shell finds the same one; a module of the
    interpreter's where there is no such program."""
    own = Path(sys.executable) if name == "python" else Path(sys.executable).with_name(name)
    if not own.is_file():
        return [*_program("python"), "-m", module]
    found = shutil.which(name)
    return [name if found and Path(found).absolute() == own.absolute() else _shown(own)]


def _shown(path: Path) -> str:
    """A path as short as it can be typed here."""
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def _line(*words: object) -> str:
    return shlex.join(map(str, words))
