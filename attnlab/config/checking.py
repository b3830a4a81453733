"""The rules held against a whole configuration: every key known, every value as its factory's signature asks.

Nothing here imports torch, and nothing knows how a configuration came about: one composed from a command line
and one read back from a run's folder are checked alike.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model

from attnlab.config import callback_policy, trainer
from attnlab.config.code_names import mark_of, marked, named_in, problem_of
from attnlab.config.handed import HANDED
from attnlab.config.moved import MOVED
from attnlab.config.signatures import UnknownTarget, facts_of, settings_of, signature_of
from attnlab.config.synonyms import key_meant
from attnlab.files import is_file
from attnlab.settings import (
    BatchSize,
    Count,
    DataFileMark,
    EvaluateAs,
    Folder,
    Lengths,
    Metrics,
    Seed,
    StopAt,
    Threads,
)

GROUPS = tuple(HANDED)
_NESTED = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")
ROOT: dict[str, Any] = {
    "seed": Seed,
    "batch_size": BatchSize,
    "threads": Threads,
    "checkpoint_every": Count,
    "runs_dir": Folder,
    "evaluate_as": EvaluateAs,
    "stop_at": StopAt,
    "evaluate_lengths": Lengths,
    "metrics": Metrics,
    "fresh": bool,
}


class ConfigurationError(ValueError):
    """What was typed cannot be run; the message names every problem found."""


def check(
    tree: dict[str, Any],
    choices: Mapping[str, str] = {},  # noqa: B006 (never written)
    problems: Iterable[str] = (),
    conflicts: Callable[[Mapping[str, Any]], Iterable[str]] = trainer.conflicts,
    unread: Collection[str] = (),
) -> None:
    """Hold a whole configuration against the rules of everything it names, and give its values the form that
    the rules state: 1 becomes 1.0 where a real number is due, ~ the home folder in a path.

    `conflicts` yields a sentence for settings that do not go together; data files of the keys `unread` need
    not be there. Raises ConfigurationError with all problems.
    """
    problems = list(problems)
    root = {key: value for key, value in tree.items() if key in ROOT or key not in (*GROUPS, "callbacks")}
    problems += [*_problems("", root, ROOT), *_code_problems("", root, ROOT)]
    tree |= root
    for group in GROUPS:
        problems += _factory_problems(group, tree.get(group), choices.get(group, ""), unread)
    callbacks = tree.get("callbacks") or {}
    if not isinstance(callbacks, dict):
        problems.append(f"callbacks must name callbacks, each with its _target_, got {callbacks!r}")
    else:
        for name, node in callbacks.items():
            problems += _factory_problems(f"callbacks.{name}", node, "")
    if problems := problems or list(conflicts(tree)):
        raise ConfigurationError("\n".join(problems))


def check_choice(group: str, node: dict[str, Any], name: str) -> None:
    """Hold the settings of one choice against their rules, as `check` does. Raises ConfigurationError."""
    if problems := _factory_problems(group, node, name):
        raise ConfigurationError("\n".join(problems))


def data_files(tree: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> path, for every setting that names a data file."""
    nodes = {group: tree[group] for group in GROUPS if tree.get(group)}
    nodes |= {f"callbacks.{name}": node for name, node in (tree.get("callbacks") or {}).items()}
    return {
        f"{path}.{key}": node[key]
        for path, node in nodes.items()
        for key, rule in settings_of(node["_target_"], HANDED.get(path, ())).items()
        if mark_of(rule, DataFileMark) and isinstance(node.get(key), str)
    }


def own_code(tree: Mapping[str, Any]) -> dict[str, str]:
    """Where the code of one's own lies that settings name: a path by the dotted key of the setting and its
    name, attention.baseline.Optimal."""
    nodes = {f"{group}.": (tree[group], _rules(group, tree[group])) for group in GROUPS if tree.get(group)}
    nodes[""] = tree, ROOT
    return {
        f"{prefix}{key}.{name.rpartition('.')[2]}": name
        for prefix, (node, rules) in nodes.items()
        for key in marked(rules)
        for name in named_in(node.get(key))
        if "." in name
    }


def texts(tree: Mapping[str, Any]) -> set[str]:
    """The keys of all settings whose rule is text, paths included."""
    nodes = {group: tree.get(group) for group in GROUPS}
    nodes |= {f"callbacks.{name}": node for name, node in (tree.get("callbacks") or {}).items()}
    rules = {
        f"{path}.{key}": rule for path, node in nodes.items() for key, rule in _rules(path, node).items()
    }
    return {key for key, rule in (ROOT | rules).items() if getattr(rule, "__origin__", rule) is str}


def _rules(path: str, node: Any) -> dict[str, Any]:
    """The rules of a node's settings; none where it names no factory, which `check` says."""
    try:
        return settings_of(node["_target_"], HANDED.get(path, ()))
    except (UnknownTarget, KeyError, TypeError):
        return {}


def _factory_problems(path: str, node: Any, choice: str, unread: Collection[str] = ()) -> list[str]:
    """Problems of a node that names a factory and its settings."""
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        return [f"{path} must name a factory under _target_, got {node!r}"]
    try:
        if path.startswith("callbacks."):
            node["_target_"] = callback_policy.defined_at(node["_target_"])
            if reason := callback_policy.refusal(node["_target_"]):
                return [f"{path}: {reason}"]
        signature = signature_of(node["_target_"], HANDED.get(path, ()))
        if path == "attention":
            facts_of(node["_target_"])  # refused where they cannot be
    except UnknownTarget as error:
        return [f"{path}._target_: {error}"]
    problems, rules, owned = list(_nested(path, node)), signature.rules, frozenset[str]()
    problems += [
        f"{path}._target_: {node['_target_']} takes {key}, which is a setting of the run: leave it out"
        for key in rules
        if f"{path}.{key}" in MOVED
    ]
    if path == "trainer":  # whose every argument stands in its yaml
        problems += trainer.refused(node)
        owned = trainer.OWNED.keys()
        rules = {name: rule for name, rule in (rules | trainer.OFFERED).items() if name not in owned}
    else:
        node.update({key: value for key, value in signature.defaults.items() if key not in node})
        rules = {key: rule for key, rule in rules.items() if key in node or key not in signature.optional}
    settings = {key: value for key, value in node.items() if key != "_target_" and key not in owned}
    where = f" of {path}={choice}" if choice else ""
    problems += _problems(path, settings, rules, where)
    node.update(settings)
    for key, rule in rules.items():
        if (
            mark_of(rule, DataFileMark)
            and isinstance(settings.get(key), str)
            and f"{path}.{key}" not in unread
        ):
            if settings[key] not in ("", "???") and not is_file(settings[key]):
                problems.append(f"{path}.{key}: there is no file {settings[key]}")
    return [*problems, *_code_problems(f"{path}.", settings, rules)]


def _code_problems(prefix: str, settings: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[str]:
    for key, mark in marked(rules).items():
        for name in named_in(settings.get(key)):
            if said := problem_of(name, mark):
                yield f"{prefix}{key}: {said}"


def _nested(path: str, node: Mapping[str, Any]) -> Iterator[str]:
    """Factories inside of settings, which nobody would call."""
    waiting = [(f"{path}.{key}", value) for key, value in node.items()]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, Mapping):
            inside = [key for key in _NESTED if key in value]
            if inside:
                yield f"{where}.{inside[0]}: only a group names a factory, and a setting holds plain values"
            waiting += [(f"{where}.{key}", part) for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{where}[{number}]", part) for number, part in enumerate(value)]


def _problems(path: str, settings: dict[str, Any], rules: Mapping[str, Any], where: str = "") -> list[str]:
    """One sentence for each setting that is unknown, missing or against its rule; 1 becomes 1.0 where a real
    number is due."""
    prefix = f"{path}." if path else ""
    unset = {key for key, value in settings.items() if value == "???"}
    fields: dict[str, Any] = {f"{name}_": (rule, ...) for name, rule in rules.items() if name not in unset}
    model = create_model("Settings", __config__=ConfigDict(extra="forbid", strict=True), **fields)
    problems = [f"{prefix}{key} must be given: {prefix}{key}=..." for key in sorted(unset)]
    try:
        checked = model.model_validate(
            {f"{key}_": value for key, value in settings.items() if key not in unset}
        )
        settings.update({name: getattr(checked, f"{name}_") for name in rules if name not in unset})
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for detail in error.errors():
            found.setdefault(str(detail["loc"][0])[:-1], []).append(_sentence(detail))
        for key, sentences in found.items():
            if key not in rules:
                known = [prefix + name for name in rules] if path else [*rules, *GROUPS, "callbacks"]
                told = key_meant(prefix + key, settings.get(key), known)
                problems.append(f"{prefix}{key} is not a setting{where}{told}")
            else:
                came = f", got {settings[key]!r}" if key in settings else ""
                problems.append(f"{prefix}{key}: {' or '.join(dict.fromkeys(sentences))}{came}")
    return problems


def _sentence(detail: Any) -> str:
    message = (
        str(detail["msg"])
        .removeprefix("Value error, ")
        .replace("Input should be", "must be")
        .replace("a valid boolean", "true or false")
        .replace("True, False", "true, false")
    )
    return "is missing" if detail["type"] == "missing" else message[:1].lower() + message[1:]
