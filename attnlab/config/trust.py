"""Whose code may run for a configuration that somebody else may have written.

It is attnlab's own, what attnlab offers of Lightning, and packages that the user names.
"""

import functools
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attnlab.config import callback_policy
from attnlab.config.checking import ConfigurationError, own_code
from attnlab.config.places import CONFIGS

EVERYTHING = ("*",)
"""Trust of a configuration that the user composed."""
_TARGET = re.compile(r"""^\s*_target_:\s*["']?([\w.]+)""", re.MULTILINE)


def refuse_untrusted(tree: Mapping[str, Any], trusted: Collection[str]) -> None:
    """Raise ConfigurationError for a configuration that names a factory which is not to be looked up.

    A factory may be used that attnlab's yaml files name in the same group, a callback of Lightning's that
    attnlab offers, and whatever lies in a trusted package.
    """
    nodes = {group: node for group, node in tree.items() if isinstance(node, dict) and "_target_" in node}
    nodes |= {f"callbacks.{name}": node for name, node in tree.get("callbacks", {}).items()}
    told = (_refusal(f"{path}._target_", str(node.get("_target_")), trusted) for path, node in nodes.items())
    if problems := [sentence for sentence in told if sentence]:
        raise ConfigurationError("\n".join(problems))
    named = (_refusal(key, path, trusted) for key, path in own_code(tree).items())
    if problems := [sentence for sentence in named if sentence]:
        raise ConfigurationError("\n".join(problems))


def _refusal(key: str, target: str, trusted: Collection[str]) -> str:
    group = key.partition(".")[0]
    if trusted == EVERYTHING or target in _named(group) or any(_inside(target, name) for name in trusted):
        return ""
    if group == "callbacks" and callback_policy.is_offered(target):
        return ""
    return (
        f"{key}: {target} is none of attnlab's own, and code that a run names runs only where you "
        f"trust it: --trust {target.partition('.')[0]}"
    )


def packages_in(folder: Path) -> set[str]:
    """The packages that the yaml files of a configuration folder name."""
    return {target.partition(".")[0] for target in _targets(folder)}


@functools.cache
def _named(group: str) -> frozenset[str]:
    return frozenset(_targets(CONFIGS / group))


def _targets(folder: Path) -> list[str]:
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.rglob("*.yaml")))
    return [target for text in texts for target in _TARGET.findall(text)]


def _inside(target: str, package: str) -> bool:
    return target == package or target.startswith(f"{package}.")
