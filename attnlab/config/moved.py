"""Settings that lie elsewhere than they did: what is typed, and what is stored, under the key of before."""

import copy
from collections.abc import MutableMapping
from typing import Any

from attnlab.config.handed import HANDED
from attnlab.config.signatures import UnknownTarget, settings_of

MOVED = {"attention.evaluate_as": "evaluate_as"}
"""Where a setting lay -> where it lies."""
NOT_STORED: dict[str, Any] = {
    "evaluate_as": "same",
    "metrics": [],
    "stop_at": None,
    "evaluate_lengths": [],
    "model.input_feeding": False,
    "attention.credit": None,
}
"""What holds for a run that was stored before a setting was there, where its factory takes it."""
NEWEST = "evaluate_lengths"
"""A setting of every run that stands in each configuration that was stored as it is today."""


def typed_today(text: str) -> str:
    """An override, of the key as it is today."""
    key, equals, value = text.partition("=")
    bare = key.lstrip("+")
    return f"{MOVED[bare]}{equals}{value}" if bare in MOVED else text


def move(tree: MutableMapping[Any, Any]) -> None:
    """Put every setting of a configuration, in place, where it lies today."""
    for before, today in MOVED.items():
        group, _, name = before.partition(".")
        node = tree.get(group)
        if isinstance(node, MutableMapping) and name in node:
            tree[today] = node.pop(name)
    for key, value in NOT_STORED.items():
        group, _, name = key.rpartition(".")
        node = tree.get(group) if group else tree
        if isinstance(node, MutableMapping) and (not group or _takes(group, node, name)):
            node.setdefault(name, copy.deepcopy(value))


def _takes(group: str, node: MutableMapping[Any, Any], name: str) -> bool:
    """Whether a factory of attnlab's has a setting of a name."""
    target = str(node.get("_target_"))
    if not target.startswith("attnlab."):
        return False
    try:
        return name in settings_of(target, HANDED[group])
    except UnknownTarget:
        return False
