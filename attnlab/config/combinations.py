"""The jobs of a sweep: every combination of the values that a command line names."""

import itertools
import math

from hydra.core.override_parser.types import Glob, Override, RangeSweep

from attnlab.config.checking import ConfigurationError
from attnlab.config.composing import hydra_at
from attnlab.config.doors import parsed_value
from attnlab.config.overrides import key_of, parse
from attnlab.config.places import CONFIGS

MOST = 10_000


def expanded(settings: list[str]) -> list[list[str]]:
    """Every combination of the values that a command line names. Raises ConfigurationError for what is no
    override."""
    with hydra_at(CONFIGS):
        values = [
            _values(typed, override) if override.is_sweep_override() else [typed]
            for typed, override in zip(settings, parse(settings, sweep=True), strict=True)
        ]
    if (number := math.prod(map(len, values))) > MOST:
        raise ConfigurationError(f"a sweep has at most {MOST} runs, got {number}")
    return [list(job) for job in itertools.product(*values)]


def _values(typed: str, override: Override) -> list[str]:
    """What a key of a sweep is set to, job by job. Raises ConfigurationError."""
    if not override.is_discrete_sweep():
        raise ConfigurationError(f"{typed} names no values; they are listed, 1,2,3, or counted, range(1,4)")
    named = parsed_value(override)
    if isinstance(named, RangeSweep) and not _is_short(named):
        raise ConfigurationError(f"{typed} names no values that can be counted, or more than {MOST}")
    found = override.sweep_string_iterator()
    # a name with _ in front is that of a file which others take over, and no choice
    chosen = (value for value in found if not (isinstance(named, Glob) and value.startswith("_")))
    values = [f"{key_of(typed)}={value}" for value in chosen]
    if not values:
        raise ConfigurationError(f"{typed} names no value")
    return values


def _is_short(named: RangeSweep) -> bool:
    assert named.start is not None and named.stop is not None
    return named.step != 0 and (named.stop - named.start) / named.step <= MOST
