"""What is said of keys and choices that do not exist."""

from collections.abc import Mapping
from typing import Any

from attnlab.config import trainer
from attnlab.config.synonyms import choice_meant, key_meant


def unknown_keys(settings: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, str]:
    """Key -> what to say about it, for settings that a configuration does not have."""
    known = _keys_of(tree)
    owned = {
        f"trainer.{name}": f"trainer.{name} is not offered: {why}" for name, (_, why) in trainer.OWNED.items()
    }
    return {
        key: owned.get(key) or f"{key} is not a setting{key_meant(key, value, known) or '; --help lists all'}"
        for key, value in settings.items()
        if key not in known
    }


def _keys_of(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for name, value in tree.items():
        keys.append(prefix + name)
        if isinstance(value, Mapping):
            keys += _keys_of(value, f"{prefix}{name}.")
    return [key for key in keys if not key.endswith("_target_")]


def not_offered(group: str, choice: Any, offered: list[str]) -> str:
    """What to say about a choice that does not exist."""
    listed = f"{group} is one of {', '.join(offered)}"
    said = f"{group}={choice} does not exist{choice_meant(group, choice, offered)}"
    return f"{said}\n{listed}" if "\n" in said else f"{said}; {listed}"
