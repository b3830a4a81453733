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

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from attnlab.config.checking import GROUPS, ConfigurationError, check, texts
from attnlab.config.doors import apply
from attnlab.config.engine import places_in, refuse_foreign, refuse_hidden, refuse_in_experiment
from attnlab.config.moved import move, typed_today
from attnlab.config.overrides import first_lines, key_of, parse
from attnlab.config.places import CONFIGS
from attnlab.config.unknown import not_offered, unknown_keys


class Composition(NamedTuple):
    """A checked configuration and what it was made from."""

    tree: dict[str, Any]  # the resolved configuration, plain values throughout
    defaults: dict[str, Any]  # the same attention and task with nothing else changed
    choices: dict[str, str]  # group -> the file chosen


class _Frame(NamedTuple):
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


def to_the_end(composition: Composition) -> Composition:
    """The same, of a run that takes all of its steps whatever its validations show."""
    return composition._replace(tree=composition.tree | {"stop_at": None})


def may_stop(composition: Composition, overrides: Iterable[str]) -> bool:
    """Whether a run may end early, and nobody asked for it."""
    untouched = composition.tree["stop_at"] == composition.defaults["stop_at"]
    return untouched and all(key_of(text) != "stop_at" for text in overrides)


def composer() -> Callable[[list[str]], Composition]:
    """`compose` for many command lines: what the choice of groups alone decides is worked out once for each
    choice."""
    frames: dict[tuple[str, ...], _Frame] = {}
    groups_in = functools.cache(lambda parent: _loader().list_groups(parent))

    def is_group(key: str) -> bool:
        parent, _, name = key.rpartition("/")
        return name in groups_in(parent)

    def composed(overrides: list[str]) -> Composition:
        overrides = [*map(typed_today, overrides)]
        refuse_foreign(overrides)
        try:
            with hydra_at(CONFIGS):
                path = [text for text in overrides if key_of(text) == "hydra.searchpath"]
                groups = [text for text in overrides if is_group(key_of(text))]
                key = (*path, *groups)
                frame = frames[key] = frames.get(key) or _frame(parse(groups), path)
                settings = [text for text in overrides if text not in key]
                return _with(frame, parse(settings, texts(frame.tree)))
        except InterpolationResolutionError as error:
            raise ConfigurationError(f"{first_lines(error)}; text with ${{ in it is typed \\${{") from None
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(first_lines(error)) from None
        except yaml.YAMLError as error:
            raise ConfigurationError(f"a file that cannot be read as YAML: {error}") from None
        except RecursionError:
            raise ConfigurationError("a value or a file has too many brackets within brackets") from None

    return composed


def _frame(chosen: list[Override], path: list[str]) -> _Frame:
    refuse_hidden(places_in(path))
    _refuse_unless_offered(chosen, path)
    config = hydra_compose("train", [*map(_text, chosen), *path], return_hydra_config=True)
    if experiment := config.hydra.runtime.choices.get("experiment"):
        others = [_text(override) for override in chosen if override.key_or_group != "experiment"]
        without = hydra_compose("train", [*others, *path], return_hydra_config=True)
        refuse_in_experiment(experiment, config.get("experiment"), config.hydra, without.hydra)
    with open_dict(config):
        move(config)
    choices = {name: value for name, value in config.hydra.runtime.choices.items() if name in GROUPS}
    bare = [f"{group}={choices[group]}" for group in ("attention", "task")]
    only = {override.key_or_group for override in chosen} <= {"attention", "task"}
    defaults = plain(config if only else hydra_compose("train", [*bare, *path]))
    with contextlib.suppress(ConfigurationError):  # files of data are still to be named
        check(
            defaults
        )  # which gives values the form of their rules, as those have that are compared with them
    return _Frame(config, plain(config), defaults, choices)


def _with(frame: _Frame, settings: list[Override]) -> Composition:
    """A frame with settings changed, and checked."""
    unknown = unknown_keys(
        {setting.key_or_group: setting.value() for setting in settings if not _adds(setting)}, frame.tree
    )
    known = [setting for setting in settings if _adds(setting) or setting.key_or_group not in unknown]
    config = copy.deepcopy(frame.config)
    apply(known, config)
    tree = plain(config)
    check(tree, frame.choices, unknown.values())
    return Composition(tree, frame.defaults, frame.choices)


@contextlib.contextmanager
def hydra_at(folder: Path) -> Iterator[None]:
    """Hydra's machinery, ready to compose from a folder of configurations."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
        yield


def _loader() -> Any:
    return GlobalHydra.instance().config_loader()


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
