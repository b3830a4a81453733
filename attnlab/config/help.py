"""The pages of --help, written from the yaml files: keys, defaults and meanings stand there, and nowhere
else.

A key's meaning is the comment behind it; a choice is described by its factory's docstring and facts, which
are read without importing it. Every line has at most 80 columns.
"""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from attnlab import shell
from attnlab.config.checking import GROUPS, HANDED, ConfigurationError
from attnlab.config.choice_files import Key, keys_of, settings_in
from attnlab.config.code_names import marked, offered
from attnlab.config.composing import choices
from attnlab.config.engine import places_in
from attnlab.config.places import CONFIGS
from attnlab.config.signatures import UnknownTarget, facts_of, settings_of
from attnlab.config.unknown import not_offered
from attnlab.text import filled

ROOT = CONFIGS / "train.yaml"
_COLUMN = 32
_DEFAULT = re.compile(r"  - (\w+): (\w+) *(?:# *(.*))?")


def help_page(doc: str, overrides: Sequence[str] = ()) -> str:
    """A script's own words, then every group with its choices and every key of the chosen ones, or of those
    in `overrides`.

    Raises ConfigurationError for a choice that does not exist.
    """
    parts = [doc.strip(), "Groups (GROUP=CHOICE, shown with the default):"]
    parts += [_group(*group, _places(overrides)) for group in _groups()]
    parts += ["Keys of every run (KEY=VALUE, shown with the default):", _listed(keys_of(ROOT))]
    return "\n\n".join([*parts, keys_page(overrides)])


def keys_page(overrides: Sequence[str] = (), groups: Sequence[str] = GROUPS) -> str:
    """Every key of the choices in `overrides`, or of the default ones. Raises ConfigurationError for an
    unknown one."""
    places = _places(overrides)
    chosen = {group: choice for group, choice, _ in _groups()} | _chosen(overrides, places)
    return "\n\n".join(_choice(group, chosen[group], places) for group in groups)


def _groups() -> list[tuple[str, str, str]]:
    """Each group with its default choice and its meaning."""
    matches = map(_DEFAULT.fullmatch, ROOT.read_text(encoding="utf-8").splitlines())
    return [(match[1], match[2], match[3] or "") for match in matches if match]


def _places(overrides: Sequence[str]) -> list[Path]:
    """Where choices lie: folders of a person's own, then ours."""
    ours, *own = places_in(overrides)
    return [*own, ours]


def _chosen(overrides: Sequence[str], places: Sequence[Path]) -> dict[str, str]:
    """Group -> choice, for those overrides that choose one."""
    chosen = {}
    for group, _, choice in (text.partition("=") for text in overrides):
        if group in GROUPS:
            offered = choices(group, places)
            if choice not in offered:
                raise ConfigurationError(not_offered(group, choice, offered))
            chosen[group] = choice
    return chosen


def _group(group: str, default: str, meaning: str, places: Sequence[Path]) -> str:
    offered = choices(group, places)
    lines = [_entry(f"{group}={default}", meaning), filled(", ".join(offered), 6)]
    others = sorted((name for name in offered if name != default), key=len)
    if others and group in GROUPS:
        lines.append(f"      about another: {shell.script('train', f'{group}={others[0]}', '--help')}")
    return "\n".join(lines)


def _choice(group: str, choice: str, places: Sequence[Path]) -> str:
    """What a choice is, and its keys; those without a comment come last, together."""
    path = next(path for place in places if (path := place / group / f"{choice}.yaml").is_file())
    about, keys = (
        "\n\n".join(filter(None, [_about(path), _facts(path)])),
        [key._replace(name=f"{group}.{key.name}") for key in keys_of(path, places)],
    )
    parts = [f"Keys of {group}={choice}:" if keys else f"{group}={choice} has no keys:"]
    parts += ["\n".join(filled(line, 2) for line in _paragraphs(about))] if about else []
    parts += [_listed([_with_words(key, path) for key in keys if key.meaning])]
    rest = [f"{key.name}={key.default}" for key in keys if not key.meaning]
    parts += [filled(f"And: {', '.join(rest)}.", 2)] if rest else []
    return "\n\n".join(part for part in parts if part)


def _with_words(key: Key, path: Path) -> Key:
    """A key of a choice; one that names a class, with the words that name one of attnlab's."""
    group, _, name = key.name.partition(".")
    try:
        rules = settings_of(settings_in(path).get("_target_", ""), HANDED.get(group, ()))
    except UnknownTarget:  # which a run is told
        rules = {}
    mark = marked(rules).get(name)
    return key._replace(meaning=f"{key.meaning}: {', '.join(offered(mark))}") if mark else key


def _about(path: Path) -> str:
    """The comment at the top of a yaml file, or else the docstring of the factory that it names."""
    text = path.read_text(encoding="utf-8")
    comment = re.match(r"(# (?!@).*\n)+", text)
    if comment:
        return comment[0].replace("# ", "").strip()
    target = re.search(r"^_target_: (\S+)", text, re.MULTILINE)
    module, _, name = target[1].rpartition(".") if target else ("", "", "")
    source = CONFIGS.parent / f"{module.replace('.', '/')}.py"
    body = ast.parse(source.read_text(encoding="utf-8")).body if source.is_file() else []
    factories = [
        node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
    ]
    return (ast.get_docstring(factories[0]) or "") if factories else ""


def _facts(path: Path) -> str:
    """What the factory that a yaml file names says of its mechanism, a line each; "" where nothing."""
    target = re.search(r"^_target_: (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    facts = facts_of(target[1]) if target and path.parent.name == "attention" else None
    if facts is None:
        return ""
    follows = facts.objective + (f", bound of {facts.bound} draws" if facts.bound else "")
    return (
        f"Paper: {facts.paper}.\nObjective: {follows}; {'unbiased' if facts.unbiased else 'biased'}.\n"
        f"Evaluations of the loss: {facts.evaluations}."
    )


def _paragraphs(text: str) -> list[str]:
    """Lines that belong together as one; a line that begins with words and a colon (Paper: ...) stays by
    itself."""
    return [part for part in re.split(r"\n\n|\n(?=[A-Z][\w ]+: )", text.strip()) if part]


def _listed(keys: Sequence[Key]) -> str:
    shown = [
        key if key.default != "???" else key._replace(default="...", meaning=f"must be given: {key.meaning}")
        for key in keys
    ]
    return "\n".join(_entry(f"{key.name}={key.default}", key.meaning) for key in shown)


def _entry(name: str, meaning: str) -> str:
    """A name, and beside it, or below where it is long, what it means."""
    head = f"  {name}"
    if not meaning:
        return head
    text = filled(meaning, _COLUMN)
    return head.ljust(_COLUMN) + text[_COLUMN:] if len(head) < _COLUMN - 1 else f"{head}\n{text}"
