"""`attnlab COMMAND`: the programs of scripts/, wherever attnlab is installed."""

import difflib
import sys
from importlib import import_module

from attnlab import interruption, shell

COMMANDS = ("train", "evaluate", "predict", "compare", "microscope", "certify", "tour", "benchmark")


def main() -> int:
    """Run the command that is named first; without one, say which there are."""
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli.answers import BAD_INPUT, SUCCESS, said, version

    program, *arguments = sys.argv
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print("\n".join(["attnlab COMMAND ...; attnlab COMMAND --help says more\n", *map(_line, COMMANDS)]))
        return SUCCESS
    if name == "--version":
        print(version())
        return SUCCESS
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(COMMANDS)}"
        return said(BAD_INPUT, f"{name} is no command of attnlab; {meant}")
    sys.argv = [program, *rest]  # which Hydra reads for itself
    module = import_module(f"attnlab.cli.{name}")
    return getattr(module, name)(rest, shell.as_typed(module.__doc__ or ""))


def _line(name: str) -> str:
    """A command, and what it does."""
    says = (import_module(f"attnlab.cli.{name}").__doc__ or "").partition("\n")[0]
    return f"  {name:<12}{says}"
