"""What may be typed: overrides -> a composed, wholly checked configuration, or one message that names every
problem.

Nothing here imports torch. Hydra composes; then the whole tree is held against the signatures of the
factories it names, so that no typo and no value out of range gets through, whether typed with `+`, `++` or in
an experiment file.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attnlab.checking import GROUPS, ConfigurationError, check, not_offered, unknown_keys

CONFIGS = Path(__file__).parent.parent / "configs"


class Composition(NamedTuple):
    """A checked configuration and what it was made from."""

    tree: dict[str, Any]  # the resolved configuration, plain values throughout
    defaults: dict[str, Any]  # the same attention and task with nothing else changed
    choices: dict[str, str]  # group -> the file chosen


class Frame(NamedTuple):
    """What the choice of groups alone decides."""

    config: DictConfig  # every key with its default, Hydra's own included
    tree: dict[str, Any]  # the same, as plain values
    defaults: dict[str, Any]
    choices: dict[str, str]


def choices(group: str, places: Iterable[Path] = (CONFIGS,)) -> list[str]:
    """The names that a group offers, by the files that are there."""
    found = {path.stem for place in places for path in (place / group).glob("*.yaml")}
    return sorted(name for name in found if not name.startswith("_"))


def compose(overrides: list[str]) -> Composition:
    """The configuration that a command line describes. Raises ConfigurationError."""
    return composer()(overrides)


def composer() -> Callable[[list[str]], Composition]:
    """`compose` for many command lines: what the choice of groups alone decides is worked out once for each
    choice."""
    frames: dict[tuple[str, ...], Frame] = {}
    is_group = functools.cache(_is_group)

    def composed(overrides: list[str]) -> Composition:
        try:
            with hydra_at(CONFIGS):
                parsed = parse(overrides)
                path = [override for override in parsed if override.key_or_group == "hydra.searchpath"]
                chosen = [override for override in parsed if is_group(override.key_or_group)]
                key = tuple(_text(override) for override in (*path, *chosen))
                frame = frames[key] = frames.get(key) or _frame(
                    chosen, [_text(override) for override in path]
                )
                return _with(frame, [override for override in parsed if override not in (*path, *chosen)])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(first_lines(error)) from None

    return composed


def _frame(chosen: list[Override], path: list[str]) -> Frame:
    _refuse_unless_offered(chosen, path)
    config = hydra_compose("train", [*map(_text, chosen), *path], return_hydra_config=True)
    choices = {name: value for name, value in config.hydra.runtime.choices.items() if name in GROUPS}
    bare = [f"{group}={choices[group]}" for group in ("attention", "task")]
    return Frame(config, plain(config), plain(hydra_compose("train", [*bare, *path])), choices)


def _with(frame: Frame, settings: list[Override]) -> Composition:
    """A frame with settings changed, and checked."""
    unknown = unknown_keys([setting.key_or_group for setting in settings if not _adds(setting)], frame.tree)
    known = [setting for setting in settings if _adds(setting) or setting.key_or_group not in unknown]
    config = copy.deepcopy(frame.config)
    # as Hydra does after composing, which takes ten times as long
    ConfigLoaderImpl._apply_overrides_to_config(known, config)
    tree = plain(config)
    check(tree, frame.choices, unknown.values())
    return Composition(tree, frame.defaults, frame.choices)


def parse(overrides: list[str], sweep: bool = False) -> list[Override]:
    """Overrides, each with a single value unless they make a sweep. Raises ConfigurationError."""
    try:
        parsed = OverridesParser.create(_loader() if sweep else None).parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigurationError(_malformed(error)) from None
    for override in parsed:
        if not override.key_or_group:
            raise ConfigurationError(f"{_text(override)!r} is not key=value")
        if override.is_sweep_override() and not sweep:
            raise ConfigurationError(
                f"{_text(override)} names several values; a sweep over them needs -m, a list needs [ ]"
            )
    return parsed


def _malformed(error: OverrideParseException) -> str:
    word = error.override
    groups = [group for group in GROUPS if (CONFIGS / group / f"{word}.yaml").is_file()]
    meant = f"; did you mean {groups[0]}={word}?" if groups else ""
    return f"{word!r} is not key=value" + (f": {first_lines(error)}" if "=" in word else meant)


@contextlib.contextmanager
def hydra_at(folder: Path) -> Iterator[None]:
    """Hydra's machinery, ready to compose from a folder of configurations."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
        yield


def _loader() -> Any:
    return GlobalHydra.instance().config_loader()


def _is_group(key: str) -> bool:
    parent, _, name = key.rpartition("/")
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
        if override.is_add() or override.is_force_add():
            raise ConfigurationError(f"{group} is chosen without +: {group}={value}")
        if override.is_delete() and group != "experiment":
            raise ConfigurationError(f"{group} cannot be left out; it is one of {', '.join(offered)}")
        if value not in offered and (value is not None or group != "experiment"):
            raise ConfigurationError(not_offered(group, value, offered))


def plain(config: Any) -> dict[str, Any]:
    """Plain values, interpolations resolved; a mandatory value that is not given stays '???'."""
    config = OmegaConf.create(
        {key: config._get_node(key) for key in config if key not in ("hydra", "experiment")}
    )
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


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
