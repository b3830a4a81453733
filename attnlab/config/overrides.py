"""What is typed as key=value, as Hydra reads it; where a setting is text, the text that was typed.

Hydra has a language of its own for values: null, 2020 and [a] are no words in it, blanks at the ends are
dropped, and names with other signs than it knows are refused. All of that is right for numbers and lists, and
wrong for the name of a file or what stands between two symbols.
"""

import re
from collections.abc import Collection
from itertools import accumulate
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from attnlab.config.checking import GROUPS, ConfigurationError
from attnlab.config.doors import parsed_value
from attnlab.config.places import CONFIGS
from attnlab.files import is_file

DEEPEST = 50
_LEXER = re.compile(
    "token recognition error|no viable alternative|(mismatched|extraneous) input|missing .* at"
)
"""What a parser says to those who wrote its grammar."""


def key_of(text: str) -> str:
    """The key or group that an argument sets."""
    return text.lstrip("+~").partition("=")[0].partition("@")[0]


def quoted(text: str) -> str:
    """Text as Hydra takes it whatever it holds."""
    ends = len(text) - len(text.rstrip("\\"))
    return "'" + text.replace("'", "\\'") + "\\" * ends + "'"


def parse(overrides: Collection[str], texts: Collection[str] = (), sweep: bool = False) -> list[Override]:
    """Overrides, each with a single value unless they make a sweep; those of the keys `texts` are taken as
    typed.

    As typed means: nothing is dropped or read as a number, a list or a sweep. What Hydra's language says all
    the same is what stands in quotes, ${an interpolation}, and a backslash before one of its signs. A value
    of nothing but blanks is kept whatever the key. Raises ConfigurationError.
    """
    return [_parsed(text, key_of(text) in texts, sweep) for text in overrides]


def _parsed(typed: str, is_text: bool, sweep: bool) -> Override:
    key, equals, value = typed.partition("=")
    if max(accumulate((sign in "[{(") - (sign in ")}]") for sign in value), default=0) > DEEPEST:
        raise ConfigurationError(f"{key} has a value of more than {DEEPEST} brackets within brackets")
    literal = f"{key}={quoted(value)}"
    parser = OverridesParser.create(_loader() if sweep else None)
    try:
        override = parser.parse_override(literal if equals and value.isspace() else typed)
        if is_text and equals and not _says_it_in_hydra(override, value):
            override = parser.parse_override(literal)
    except HydraException as error:
        try:
            # which keys are text is known for each job of a sweep, and there for the second time
            if not equals or not (is_text or sweep and "," not in value):
                raise
            override = parser.parse_override(literal)
        except HydraException:  # of the value, or of the key whatever the value
            raise ConfigurationError(_malformed(typed, error, sweep)) from None
    override.config_loader = (
        _loader() if sweep else None
    )  # which knows the choices that glob(...) looks through
    if not override.key_or_group:
        raise ConfigurationError(f"{typed!r} is not key=value")
    if override.is_sweep_override() and not sweep:
        raise ConfigurationError(
            f"{typed!r} names several values; a sweep over them needs -m, a list needs [ ]"
        )
    if override.is_sweep_override() and (key == "runs_dir" or is_file(value)):
        raise ConfigurationError(
            f'{typed!r} names several values; a name with a comma in it is quoted twice, "{literal}"'
        )
    return override


def _says_it_in_hydra(override: Override, value: str) -> bool:
    """Whether a text is written in Hydra's language, or reads the same without it."""
    read = parsed_value(override)
    return isinstance(read, QuotedString) or (
        isinstance(read, str) and (read == value or "${" in value or "\\" in value)
    )


def _malformed(typed: str, error: HydraException, sweep: bool) -> str:
    key, equals, value = typed.partition("=")
    if not equals:
        groups = [group for group in GROUPS if is_file(f"{CONFIGS}/{group}/{typed}.yaml")]
        return f"{typed!r} is not key=value" + (f"; did you mean {groups[0]}={typed}?" if groups else "")
    parts = value.split(",") if sweep and not set(value) & set("[]{}") else [value]
    whole = f"{key}={','.join(map(quoted, parts))}"
    reason = "" if _LEXER.search(str(error)) else f": {first_lines(error)}"
    return f'{typed!r} is not key=value{reason}; text with such signs is quoted twice, "{whole}"'


def first_lines(error: Exception) -> str:
    """A library's message without its advice and its hints about internals."""
    left_out = (
        "full_key:",
        "object_type=",
        "reference_type=",
        "See https://hydra.cc",
        "To append to your config",
    )
    kept = [
        line for line in str(error).splitlines() if line.strip() and not line.lstrip().startswith(left_out)
    ]
    return "\n".join(kept[:3]) if kept else type(error).__name__


def _loader() -> Any:
    return GlobalHydra.instance().config_loader()
