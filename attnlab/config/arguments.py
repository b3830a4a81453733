"""What stands on a command line, as Hydra's overrides: settings, folders with choices of one's own, trust."""

from pathlib import Path

from attnlab.config import trust
from attnlab.config.checking import ConfigurationError
from attnlab.config.engine import refuse_option, search_path
from attnlab.config.moved import typed_today

HELP = ("-h", "--help")


def overrides_in(arguments: list[str]) -> list[str]:
    """key=value arguments as Hydra's overrides; each `--config-dir DIR` adds a person's own configuration
    folder."""
    overrides, own, rest = [], [], iter(arguments)
    for argument in rest:
        option, _, value = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            value = value or next(rest, "")
            folder = Path(value)
            if not value or not folder.is_dir():
                raise ConfigurationError(f"--config-dir must be a folder, got {value!r}")
            own.append(folder.resolve())
        elif argument.startswith("-"):
            refuse_option(argument)
        else:
            overrides.append(typed_today(argument))
    return [*overrides, *search_path(own)]


def options_and_trust(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is typed besides, and the packages whose code may run: those of `--trust PACKAGE`, and those that
    the files of a `--config-dir DIR` name."""
    overrides, packages, rest = [], [], iter(arguments)
    for argument in rest:
        option, _, value = argument.partition("=")
        if option == "--trust":
            value = value or next(rest, "")
            if not all(part.isidentifier() for part in value.split(".")):
                raise ConfigurationError(f"--trust takes a package of Python such as mine, got {value!r}")
            packages.append(value)
        elif option in ("--config-dir", "-cd"):
            value = value or next(rest, "")
            overrides_in([f"--config-dir={value}"])  # refuses what is no folder
            packages += sorted(trust.packages_in(Path(value)))
        else:
            overrides.append(argument)
    return overrides, packages
