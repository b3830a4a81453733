"""What may be typed: overrides -> a composed, wholly checked configuration, or one message that names every problem.

Nothing here imports torch. Hydra composes; then the whole tree is held against the signatures of the factories it names, so
that no typo and no value out of range gets through, whether typed with `+`, `++` or in an experiment file.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, ValidationError, create_model

from attnlab.rules import Count, DataFileMark, Seed
from attnlab.signatures import UnknownTarget, settings_of

CONFIGS = Path(__file__).parent.parent / "configs"
GROUPS = ("attention", "score", "task", "model", "optimizer", "trainer")
ROOT: dict[str, Any] = {
    "seed": Seed,
    "batch_size": Count,
    "threads": Count,
    "checkpoint_every": Count,
    "runs_dir": str,
    "fresh": bool,
}
OWNED = {
    "logger": "every run writes TensorBoard events and metrics.csv",
    "callbacks": "use the group callbacks",
    "enable_checkpointing": "every run keeps checkpoints; see checkpoint_every",
    "default_root_dir": "use runs_dir",
    "fast_dev_run": "use trainer.max_steps=2",
    "barebones": "a run without figures has no result",
    "enable_autolog_hparams": "every run writes its hyperparameters",
    "model_registry": "every run keeps checkpoints in its own folder",
}


class ConfigurationError(ValueError):
    """What was typed cannot be run; the message names every problem found."""


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
            settings = [override for override in parsed if override not in chosen and not _adds(override)]
            unknown = unknown_keys(settings, plain(frame))
            tree = plain(hydra_compose("train", [text for text in overrides if text not in unknown]))
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


def check(
    tree: Mapping[str, Any],
    choices: Mapping[str, str] = {},  # noqa: B006 (never written)
    problems: Iterable[str] = (),
) -> None:
    """Hold a whole configuration against the rules of everything it names. Raises ConfigurationError with all problems."""
    problems = list(problems)
    problems += _problems("", {k: v for k, v in tree.items() if k in ROOT or k not in (*GROUPS, "callbacks")}, ROOT)
    for group in GROUPS:
        problems += _factory_problems(group, tree.get(group), choices.get(group, ""))
    for name, node in (tree.get("callbacks") or {}).items():
        problems += _factory_problems(f"callbacks.{name}", node, "")
    if problems:
        raise ConfigurationError("\n".join(problems))


def data_files(tree: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(group, key) -> path, for every setting that names a data file."""
    return {
        (group, key): tree[group][key]
        for group in GROUPS
        for key, rule in settings_of(tree[group]["_target_"]).items()
        if any(isinstance(part, DataFileMark) for part in get_args(rule))
    }


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
                f"{group}={value} does not exist{_meant(str(value), offered)}; {group} is one of {', '.join(offered)}"
            )


def unknown_keys(overrides: list[Override], tree: Mapping[str, Any]) -> dict[str, str]:
    """Override -> what to say about it, for overrides of keys that a configuration does not have."""
    known = _keys_of(tree)
    return {
        _text(override): f"{key} is not a setting{_meant(key, known) or '; --help lists all'}"
        for override in overrides
        if (key := override.key_or_group) not in known
    }


def _keys_of(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for name, value in tree.items():
        keys.append(prefix + name)
        if isinstance(value, Mapping):
            keys += _keys_of(value, f"{prefix}{name}.")
    return [key for key in keys if not key.endswith("_target_")]


def _factory_problems(path: str, node: Any, choice: str) -> list[str]:
    """Problems of a node that names a factory and its settings."""
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        return [f"{path} must name a factory under _target_, got {node!r}"]
    try:
        rules = settings_of(node["_target_"])
    except UnknownTarget as error:
        return [f"{path}.{error}"]
    problems = []
    if path == "trainer":
        problems = [f"trainer.{name} is not offered: {why}" for name, why in OWNED.items() if name in node]
        rules = {name: rule for name, rule in rules.items() if name not in OWNED}
    settings = {key: value for key, value in node.items() if key != "_target_" and not (problems and key in OWNED)}
    where = f" of {path}={choice}" if choice else ""
    problems += _problems(path, settings, rules, where)
    node.update(settings)
    for key, rule in rules.items():
        if any(isinstance(part, DataFileMark) for part in get_args(rule)) and isinstance(settings.get(key), str):
            if settings[key] not in ("", "???") and not Path(settings[key]).is_file():
                problems.append(f"{path}.{key}: there is no file {settings[key]}")
    return problems


def _problems(path: str, settings: dict[str, Any], rules: Mapping[str, Any], where: str = "") -> list[str]:
    """One sentence for each setting that is unknown, missing or against its rule; 1 becomes 1.0 where a real number is due."""
    prefix = f"{path}." if path else ""
    unset = {key for key, value in settings.items() if value == "???"}
    fields: dict[str, Any] = {f"{name}_": (rule, ...) for name, rule in rules.items() if name not in unset}
    model = create_model("Settings", __config__=ConfigDict(extra="forbid", strict=True), **fields)
    problems = [f"{prefix}{key} must be given: {prefix}{key}=..." for key in sorted(unset)]
    try:
        checked = model.model_validate({f"{key}_": value for key, value in settings.items() if key not in unset})
        settings.update({name: getattr(checked, f"{name}_") for name in rules if name not in unset})
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for detail in error.errors():
            found.setdefault(str(detail["loc"][0])[:-1], []).append(_sentence(detail))
        for key, sentences in found.items():
            if key not in rules:
                known = [prefix + name for name in rules] if path else [*rules, *GROUPS, "callbacks"]
                meant = _meant(prefix + key, known)
                problems.append(f"{prefix}{key} is not a setting{where}{meant}")
            else:
                came = f", got {settings[key]!r}" if key in settings else ""
                problems.append(f"{prefix}{key}: {' or '.join(dict.fromkeys(sentences))}{came}")
    return problems


def _sentence(detail: Any) -> str:
    message = str(detail["msg"]).replace("Input should be", "must be")
    return "is missing" if detail["type"] == "missing" else message[:1].lower() + message[1:]


def _meant(word: str, known: list[str]) -> str:
    """A "did you mean" where something known is close, by the whole path or by its last part."""
    close = get_close_matches(word, known, 3, 0.75)
    last = word.rpartition(".")[2]
    close += [name for name in known if name.rpartition(".")[2] in get_close_matches(last, [last, *_lasts(known)], 4, 0.75)]
    unique = [name for name in dict.fromkeys(close) if "." in name or "." not in word][:3]
    return f"; did you mean {' or '.join(unique)}?" if unique else ""


def _lasts(known: list[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in known]


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
