"""What may be typed: overrides -> a composed, wholly checked configuration, or one message that names every problem.

Nothing here imports torch. Hydra composes; then the whole tree is held against the signatures of the factories it names, so
that no typo and no value out of range gets through, whether typed with `+`, `++` or in an experiment file.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attnlab.checking import GROUPS, ConfigurationError, check, meant, unknown_keys

CONFIGS = Path(__file__).parent.parent / "configs"


class Composition(NamedTuple):
    """A checked configuration and what it was made from."""

    tree: dict[str, Any]  # the resolved configuration, plain values throughout
    defaults: dict[str, Any]  # the same attention and task with nothing else changed
    choices: dict[str, str]  # group -> the file chosen


def compose(overrides: list[str], folder: Path = CONFIGS) -> Composition:
    """The configuration that a command line describes. Raises ConfigurationError."""
    try:
        with hydra_at(folder):
            parsed = parse(overrides)
            path = [_text(override) for override in parsed if override.key_or_group.startswith("hydra.searchpath")]
            chosen = [override for override in parsed if _is_group(override)]
            _refuse_unless_offered(chosen, path)
            groups = [_text(override) for override in chosen]
            frame = hydra_compose("train", [*groups, *path], return_hydra_config=True)
            choices = {name: value for name, value in frame.hydra.runtime.choices.items() if name in GROUPS}
            changed = {
                override.key_or_group: _text(override) for override in parsed if override not in chosen and not _adds(override)
            }
            unknown = unknown_keys(changed, plain(frame))
            tree = plain(hydra_compose("train", [text for text in overrides if text not in [changed[key] for key in unknown]]))
            check(tree, choices, unknown.values())
            bare = [f"{group}={choices[group]}" for group in ("attention", "task")]
            defaults = plain(hydra_compose("train", [*bare, *path]))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(first_lines(error)) from None
    return Composition(tree, defaults, choices)


def parse(overrides: list[str]) -> list[Override]:
    """Overrides, each with a single value. Raises ConfigurationError."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigurationError(f"{error.override!r} is not key=value: {first_lines(error)}") from None
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigurationError(f"{_text(override)} names several values; a sweep over them needs -m, a list needs [ ]")
    return parsed


@contextlib.contextmanager
def hydra_at(folder: Path) -> Iterator[None]:
    """Hydra's machinery, ready to compose from a folder of configurations."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
        yield


def _loader() -> Any:
    return GlobalHydra.instance().config_loader()


def _is_group(override: Override) -> bool:
    parent, _, name = override.key_or_group.rpartition("/")
    return name in _loader().list_groups(parent)


def _text(override: Override) -> str:
    assert override.input_line is not None
    return override.input_line


def _adds(override: Override) -> bool:
    """Whether it may name a key that is not there yet: what + and ++ add is checked with the whole tree."""
    return override.is_add() or override.is_force_add() or override.key_or_group.startswith("hydra.")


def _refuse_unless_offered(chosen: list[Override], path: list[str]) -> None:
    for override in chosen:
        group, value = override.key_or_group, override.value()
        options = _loader().get_group_options(group, config_name="train", overrides=path)
        offered = [name for name in options if not name.startswith("_")]
        if override.is_delete() and group != "experiment":
            raise ConfigurationError(f"{group} cannot be left out; it is one of {', '.join(offered)}")
        if value not in offered and (value is not None or group != "experiment"):
            raise ConfigurationError(
                f"{group}={value} does not exist{meant(str(value), offered)}; {group} is one of {', '.join(offered)}"
            )


def plain(config: Any) -> dict[str, Any]:
    """Plain values, interpolations resolved; a mandatory value that is not given stays '???'."""
    config = OmegaConf.create({key: config._get_node(key) for key in config if key not in ("hydra", "experiment")})
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def first_lines(error: Exception) -> str:
    """A library's message without its advice and its hints about internals."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.lstrip().startswith(("full_key:", "object_type=", "reference_type="))]
    return "\n".join(kept[:3]) if kept else type(error).__name__
