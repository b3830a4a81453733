"""What may be typed: overrides -> a composed, wholly checked configuration, or one message that names every problem.

Nothing here imports torch. Hydra composes; then the whole tree is held against the signatures of the factories it names, so
that no typo and no value out of range gets through, whether typed with `+`, `++` or in an experiment file.
"""

import contextlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
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
        with _hydra(folder):
            parsed = OverridesParser.create().parse_overrides(list(overrides))
            _refuse_several(parsed)
            chosen = [override for override in parsed if _is_group(override)]
            _refuse_unless_offered(chosen)
            groups = [_text(override) for override in chosen]
            frame = hydra_compose("train", [*groups, *_search_path(parsed)], return_hydra_config=True)
            choices = {name: value for name, value in frame.hydra.runtime.choices.items() if name in GROUPS}
            refuse_unknown_keys([override for override in parsed if override not in chosen], _plain(frame))
            tree = _plain(hydra_compose("train", list(overrides)))
            plain = [f"{group}={choices[group]}" for group in ("attention", "task")]
            defaults = _plain(hydra_compose("train", [*plain, *_search_path(parsed)]))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(_first_lines(error)) from None
    check(tree, choices)
    return Composition(tree, defaults, choices)


def check(tree: Mapping[str, Any], choices: Mapping[str, str] = {}) -> None:  # noqa: B006 (never written)
    """Hold a whole configuration against the rules of everything it names. Raises ConfigurationError with all problems."""
    problems = _problems("", {k: v for k, v in tree.items() if k in ROOT or k not in (*GROUPS, "callbacks")}, ROOT)
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
def _hydra(folder: Path) -> Iterator[None]:
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


def _search_path(parsed: list[Override]) -> list[str]:
    return [_text(override) for override in parsed if override.key_or_group.startswith("hydra.searchpath")]


def _refuse_several(parsed: list[Override]) -> None:
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigurationError(f"{_text(override)} names several values; a sweep over them needs -m, a list needs [ ]")


def _refuse_unless_offered(chosen: list[Override]) -> None:
    for override in chosen:
        group, value = override.key_or_group, override.value()
        offered = [name for name in _loader().get_group_options(group) if not name.startswith("_")]
        if value not in offered and (value is not None or group != "experiment"):
            raise ConfigurationError(
                f"{group}={value} does not exist{_meant(str(value), offered)}; {group} is one of {', '.join(offered)}"
            )


def refuse_unknown_keys(overrides: list[Override], tree: dict[str, Any]) -> None:
    """Raise ConfigurationError for overrides of keys that a configuration does not have."""
    known = _keys_of(tree)
    problems = []
    for override in overrides:
        key = override.key_or_group
        if key in known or key.startswith("hydra.") or override.is_force_add() or override.is_add():
            continue  # what + and ++ add is checked with the whole tree
        problems.append(f"{key} is not a setting{_meant(key, known) or '; --help lists all'}")
    if problems:
        raise ConfigurationError("\n".join(problems))


def _keys_of(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for name, value in tree.items():
        keys.append(prefix + name)
        if isinstance(value, Mapping):
            keys += _keys_of(value, f"{prefix}{name}.")
    return [key for key in keys if not key.endswith("_target_")]


def _factory_problems(path: str, node: Any, choice: str) -> list[str]:
    """Problems of a node that names a factory and its settings."""
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
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
    for key, rule in rules.items():
        if any(isinstance(part, DataFileMark) for part in get_args(rule)) and isinstance(settings.get(key), str):
            if settings[key] not in ("", "???") and not Path(settings[key]).is_file():
                problems.append(f"{path}.{key}: there is no file {settings[key]}")
    return problems


def _problems(path: str, settings: Mapping[str, Any], rules: Mapping[str, Any], where: str = "") -> list[str]:
    """One sentence for each setting that is unknown, missing or against its rule."""
    prefix = f"{path}." if path else ""
    unset = {key for key, value in settings.items() if value == "???"}
    fields: dict[str, Any] = {f"{name}_": (rule, ...) for name, rule in rules.items() if name not in unset}
    model = create_model("Settings", __config__=ConfigDict(extra="forbid", strict=True), **fields)
    problems = [f"{prefix}{key} must be given: {prefix}{key}=..." for key in sorted(unset)]
    try:
        model.model_validate({f"{key}_": value for key, value in settings.items() if key not in unset})
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for detail in error.errors():
            found.setdefault(str(detail["loc"][0])[:-1], []).append(_sentence(detail))
        for key, sentences in found.items():
            if key not in rules:
                meant = _meant(prefix + key, [prefix + name for name in rules])
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


def _plain(config: Any) -> dict[str, Any]:
    """Plain values, interpolations resolved; a mandatory value that is not given stays '???'."""
    config = OmegaConf.create({key: config._get_node(key) for key in config if key not in ("hydra", "experiment")})
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def _first_lines(error: Exception) -> str:
    """A library's message without its advice and its hints about internals."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.lstrip().startswith(("full_key:", "object_type=", "reference_type="))]
    return "\n".join(kept[:3]) if kept else type(error).__name__
