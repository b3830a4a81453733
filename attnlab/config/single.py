"""One choice of a group with its settings, without composing the rest of a configuration: a survey of all
mechanisms would compose for ten seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnlab.config.checking import check_choice
from attnlab.config.choice_files import settings_in
from attnlab.config.composing import choices, compose
from attnlab.config.engine import places_in
from attnlab.config.overrides import key_of, parse
from attnlab.config.places import CONFIGS


def chosen(group: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The node of a group that overrides such as `attention=hard_reinforce attention.samples=2` describe, as
    `compose` would give it. Raises ConfigurationError."""
    path = [text for text in overrides if key_of(text) == "hydra.searchpath"]
    named = [text for text in overrides if text.startswith(f"{group}=")]
    settings = [text for text in overrides if text not in (*path, *named)]
    places = [CONFIGS, *places_in(path)]
    name = named[-1].partition("=")[2] if named else ""
    foreign = [text for text in settings if not key_of(text).startswith(f"{group}.")]
    if name not in choices(group, places) or foreign:
        return compose(list(overrides)).tree[group]  # which says what is wrong
    files = (place / group / f"{name}.yaml" for place in places)
    file = next(filter(Path.is_file, files))
    node = settings_in(file)
    for override in parse(settings):
        key = str(override.key_or_group).removeprefix(f"{group}.")
        if key not in node or override.is_delete():
            return compose(list(overrides)).tree[group]
        node[key] = override.value()
    check_choice(group, node, name)
    return node
