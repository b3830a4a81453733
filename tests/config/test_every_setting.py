"""Every key of every yaml and every setting of Hydra's own: changing it changes what a run is and what is
built from it, or a sentence says why not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from enumeration import PLACES
from hydra import compose as hydra_compose
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor

from attnlab.building import assemble
from attnlab.config.checking import GROUPS, ROOT
from attnlab.config.choice_files import settings_in
from attnlab.config.composing import ConfigurationError, composer, hydra_at
from attnlab.config.engine import is_launcher, search_path
from attnlab.config.places import CONFIGS
from attnlab.config.trainer import OFFERED
from attnlab.config.trust import EVERYTHING
from attnlab.runs.identity import identity

COMPOSED = composer()
SMALL = ["model.hidden_size=8", "model.embedding_size=3", "model.readout_size=5", "batch_size=3"]
# what is given with a key that does nothing alone
WITH = {
    "_end": ["_schedule=linear", "_steps=7"],
    "_steps": ["_schedule=linear", "_end=3.0"],
    "_schedule": ["_end=3.0", "_steps=7"],
    "shared": ["key_length=3"],
}
NUMBERS = ["3", "1", "9", "0.5", "2.0", "0.25", "8", "1.25"]
WORDS = ["true", "false", "linear", "exponential", "halve_on_plateau", "argmax", "soft", "none", "learned"]
WORDS += ["step", "later", "rotary", "cross"]
# files whose contents are read, and settings of a run that change no figure
ELSEWHERE = ("task.train", "task.val", "task.test")


def files_in(folder: Path) -> list[Path]:
    """Every choice of a folder of configurations but the trainer's, which test_trainer looks at."""
    return [
        path for group in GROUPS if group != "trainer" for path in sorted((folder / group).glob("[!_]*.yaml"))
    ]


def keys_of(path: Path) -> Iterator[tuple[str, Any]]:
    """Every setting of a choice, with its default."""
    for key, default in settings_in(path).items():
        if key != "_target_" and f"{path.parent.name}.{key}" not in ELSEWHERE:
            yield key, default


def seen(value: Any, known: dict[int, Any]) -> Any:
    """What an object holds, all the way down: numbers, words, tensors, and what functions enclose."""
    if isinstance(value, (int, float, str, type(None))):
        return value
    if id(value) in known:
        return "..."
    known[id(value)] = value  # kept, so that no other object gets its id
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return [(str(key), seen(part, known)) for key, part in value.items()]
    if isinstance(value, (list, tuple, set)):
        return [seen(part, known) for part in value]
    if isinstance(value, FunctionType):
        return value.__qualname__, [seen(cell.cell_contents, known) for cell in value.__closure__ or ()]
    return type(value).__name__, seen(getattr(value, "__dict__", {}), known)


def made(overrides: list[str]) -> tuple[str, Any]:
    """The identity of a run, and everything that is built for it."""
    tree = COMPOSED(overrides).tree
    built = assemble(tree, EVERYTHING)
    return identity(tree), seen((built.mechanism, built.model, built.task, built.training.configure), {})


def unheard(path: Path) -> list[str]:
    """The settings of a choice that change nothing, or take no second value."""
    group, choice, places = path.parent.name, path.stem, {*PLACES, path.parents[1]} - {CONFIGS}
    silent, place = [], search_path(sorted(places))
    data = [f"{key}={Path(__file__).with_name('every_setting.tsv')}" for key in ELSEWHERE]
    data.append("task.features_column=3")
    for key, default in keys_of(path):
        stem = next((part for part in WITH if key.endswith(part)), "")
        given = [f"{group}.{key.removesuffix(stem)}{part}" for part in WITH.get(stem, [])]
        known = settings_in(path) if group == "model" else settings_in(CONFIGS / "model" / "lstm.yaml")
        small = [text for text in SMALL if text[:6] != "model." or text[6:].partition("=")[0] in known]
        base = [*place, *small, f"{group}={choice}", *(data if choice == "pairs" else []), *given]
        taken: list[tuple[str, Any]] = []
        for value in ["null" if default is None else str(default), *NUMBERS, *WORDS]:
            try:
                taken += [made([*base, f"{group}.{key}={value}"])] if len(taken) < 2 else []
            except ValueError as error:
                assert str(error).strip()
            if len(taken) == 2 and taken[0][0] == taken[1][0]:
                taken.pop()  # the default said in other words
        if len(taken) < 2 or taken[0][1] == taken[1][1]:
            silent.append(f"{group}={choice}: {group}.{key}")
    return silent


SLOWLY = [pytest.param(path, id=path.stem, marks=pytest.mark.slow) for path in files_in(CONFIGS)]
OF_ONES_OWN = [pytest.param(path, id=path.stem) for place in PLACES[1:] for path in files_in(place)]


@pytest.mark.parametrize("path", SLOWLY + OF_ONES_OWN)
def test_every_key_of_every_file_changes_the_run_and_what_is_built(path: Path) -> None:
    assert unheard(path) == []


OWN = '''
from typing import Unpack
from attnlab.mechanisms.soft import soft
from attnlab.settings import Beta, Positive

def mine(*, share: Positive, **beta: Unpack[Beta]):
    """Soft attention with a setting that nothing reads."""
    return soft(**beta)
'''


def test_a_setting_of_ones_own_that_nothing_reads_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unread_setting.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "attention").mkdir()
    text = "defaults: [_beta]\n_target_: unread_setting.mine\nshare: 2.0\n"
    (tmp_path / "attention" / "unread.yaml").write_text(text, encoding="utf-8")
    assert unheard(tmp_path / "attention" / "unread.yaml") == ["attention=unread: attention.share"]


def test_every_key_of_the_run_and_the_trainer_has_a_rule() -> None:
    for key in {*ROOT, *(f"trainer.{name}" for name in OFFERED)} - {"runs_dir"}:  # which is any text
        with pytest.raises(ConfigurationError, match=key):
            COMPOSED([f"{key}=[1,{{a: null}}]"])


def test_every_setting_of_hydras_own_is_a_launchers_or_refused() -> None:
    with hydra_at(CONFIGS):
        config = hydra_compose("train", return_hydra_config=True).hydra
        tree: Any = OmegaConf.to_container(config, resolve=False)
    for name, value in tree.items():
        inside = [f"hydra.{name}.{part}" for part in value] if isinstance(value, dict) else []
        for key in [f"hydra.{name}", *inside]:
            if not is_launcher(f"{key}=1") and key not in ("hydra.launcher", "hydra.searchpath"):
                with pytest.raises(ConfigurationError, match="is not a setting; "):
                    COMPOSED([f"{key}=1"])


KEYS = [
    *(f"trainer.{name}" for name in OFFERED),
    *ROOT,
    "attention.beta",
    "model.layers",
    "task",
    "attention",
]
KEYS += [
    "attention",
    "experiment",
    "hydra.launcher.n_jobs",
    "hydra",
    "",
    "é",
    "a.b.c",
    "callbacks",
    "score@x",
    "model",
]
VALUES = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.text("[]{}(),:='\"\\$ ", max_size=12),
    st.sampled_from(["null", "???", "${seed}", "${x}", "range(0)", "1,2", "9" * 40, "[" * 99, "glob(*)"]),
)
LINES = st.lists(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "+", "++", "~"]),
        st.sampled_from(KEYS),
        st.sampled_from(["=", "=", "=", ""]),
        VALUES,
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(LINES)
def test_whatever_is_typed_is_composed_or_refused_in_words(line: list[str]) -> None:
    try:
        COMPOSED(line)
    except ValueError as error:
        assert str(error).strip()
