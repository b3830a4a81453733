"""What stands on a command line, as Hydra's overrides: settings, folders with choices of one's own, trust."""

from collections.abc import Collection, Iterable
from pathlib import Path

from attnlab.config import trust
from attnlab.config.checking import ConfigurationError
from attnlab.config.engine import refuse_option, search_path
from attnlab.config.moved import typed_today

HELP = ("-h", "--help")
_OWN = ("--config-dir", "-cd")


def values_of(names: Collection[str], arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """The values of an option of these names, in order, "" where none follows; and what is typed besides."""
    values, rest, words = [], [], iter(arguments)
    for word in words:
        option, _, value = word.partition("=")
        if option in names:
            values.append(value or next(words, ""))
        else:
            rest.append(word)
    return values, rest


def overrides_in(arguments: list[str]) -> list[str]:
    """key=value arguments as Hydra's overrides; each `--config-dir DIR` adds a person's own configuration
    folder."""
    own, rest = values_of(_OWN, arguments)
    for value in own:
        if not value or not Path(value).is_dir():
            raise ConfigurationError(f"--config-dir must be a folder, got {value!r}")
    for argument in rest:
        if argument.startswith("-"):
            refuse_option(argument)
    return [*map(typed_today, rest), *search_path([Path(value).resolve() for value in own])]


def options_and_trust(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is typed besides, and the packages whose code may run: those of `--trust PACKAGE`, and those that
    the files of a `--config-dir DIR` name."""
    packages, rest = values_of(("--trust",), arguments)
    for value in packages:
        if not all(part.isidentifier() for part in value.split(".")):
            raise ConfigurationError(f"--trust takes a package of Python such as mine, got {value!r}")
    own, overrides = values_of(_OWN, rest)
    for value in own:
        overrides_in([f"--config-dir={value}"])  # refuses what is no folder
        packages += sorted(trust.packages_in(Path(value)))
    return overrides, packages
