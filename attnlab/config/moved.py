"""Settings that lie elsewhere than they did: what is typed, and what is stored, under the key of before."""

import copy
from collections.abc import MutableMapping
from typing import Any

MOVED = {"attention.evaluate_as": "evaluate_as"}
"""Where a setting lay -> where it lies."""
NOT_STORED: dict[str, Any] = {"evaluate_as": "same", "metrics": []}
"""What holds for a run that was stored before a setting was there."""


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
    for name, value in NOT_STORED.items():
        tree.setdefault(name, copy.deepcopy(value))
