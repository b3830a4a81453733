"""What a run's folder is called: whole values, what a sweep varies first, one name a job."""

import re
from pathlib import Path

import pytest
from seldom import seldom

from attnlab.config.composing import compose
from attnlab.runs import folders
from attnlab.runs import identity as provenance
from attnlab.runs.naming import safe
from attnlab.runs.sweeps import plan

CONSTANTS = [
    "task.validation_examples=10",
    "task.test_examples=10",
    "task.steps_per_epoch=20",
    "model.hidden_size=16",
    "batch_size=8",
    "trainer.max_steps=20",
]


def names(*overrides: str) -> list[str]:
    """The names of a sweep's runs without their hashes."""
    found = [job.folder.name.rpartition("-") for job in plan(list(overrides))]
    assert all(re.fullmatch("[0-9a-f]{8}", digest) for _, _, digest in found)
    return [name for name, _, _ in found]


def name(*overrides: str) -> str:
    """The name of a single run without its hash."""
    return folders.folder_of(compose(list(overrides))).name.rpartition("-")[0]


def identity(*overrides: str) -> str:
    return provenance.identity(compose(list(overrides)).tree)


def test_what_a_sweep_varies_stands_first_in_the_order_typed_defaults_included() -> None:
    assert names("trainer.max_steps=300", "attention.beta=0.5,1", "seed=0,1") == [
        "beta=0.5,seed=0,max_steps=300",
        "beta=0.5,seed=1,max_steps=300",
        "beta=1.0,seed=0,max_steps=300",
        "beta=1.0,seed=1,max_steps=300",
    ]
    assert names("attention=soft,uniform", "score=dot,scaled_dot") == ["score=dot", "score=scaled_dot"] * 2


def test_a_single_run_is_called_by_what_differs_from_the_defaults() -> None:
    assert name() == name("attention.beta=1", "seed=0", "score=scaled_dot") == "default"
    assert name("attention.beta=5", "score=dot") == "beta=5.0,score=dot"


def test_values_are_never_cut_and_what_is_left_out_is_counted() -> None:
    shown = names(*CONSTANTS, f"seed={','.join(map(str, range(20)))}")
    assert len(set(shown)) == 20
    pairs = [f"{text.split('=')[0].split('.')[-1]}={text.split('=')[1]}" for text in CONSTANTS]
    for number, one in enumerate(shown):
        first, *rest, more = one.split(",")
        assert first == f"seed={number}" and set(rest) <= set(pairs)
        assert more == f"+{len(pairs) - len(rest)}_more"


def test_a_value_too_long_for_a_name_is_shown_by_its_hash(tmp_path: Path) -> None:
    files = [tmp_path / (letter * 90) for letter in "ab"]
    for number, file in enumerate(files):
        file.write_text(f"a b\tb a\nb {number}\tc b\n", encoding="utf-8")
    rest = [f"task.{split}={files[0]}" for split in ("val", "test")]
    first, second = names("task=pairs", f"task.train={files[0]},{files[1]}", *rest)
    assert first != second and all(re.match("train=~[0-9a-f]{6},", one) for one in (first, second))


def test_a_key_is_whole_where_its_last_part_is_not_enough() -> None:
    own = ["+callbacks.a._target_", "+callbacks.b._target_"]
    shown = name(*(f"{key}=attnlab.training.callbacks.throughput.Throughput" for key in own))
    assert shown == "a=Throughput,b=Throughput"


def test_names_of_files_stay_readable_and_safe(tmp_path: Path) -> None:
    odd = {
        "한국어.tsv": "한국어.tsv",
        "v(1)=a,b.tsv": "v_1_a_b.tsv",
        "हिन्दी": "हिन्दी",
        "é#&'": "é",
        "(": "left-parenthesis",
    }
    for number, (file, expected) in enumerate(odd.items()):
        (tmp_path / file).write_text(f"a b\tb {number}\nb a\ta b\n", encoding="utf-8")
        quoted = str(tmp_path / file).replace("'", "\\'")
        files = [f"task.{split}='{quoted}'" for split in ("train", "val", "test")]
        assert name("task=pairs", *files) == f"train={expected},val={expected},test={expected}"


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for number, place in enumerate("xy"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "t.tsv").write_text(f"a b\tb {number}\nb a\ta b\n", encoding="utf-8")
    rest = [f"task.{split}={tmp_path / 'x' / 't.tsv'}" for split in ("val", "test")]
    shown = names("task=pairs", f"task.train={tmp_path / 'x' / 't.tsv'},{tmp_path / 'y' / 't.tsv'}", *rest)
    assert [one.split(",")[0] for one in shown] == ["train=x_t.tsv", "train=y_t.tsv"]


def test_blank_values_have_names() -> None:
    assert [safe(value) for value in ("", " ", "|", None, True, 1, 1.0, [1, 2.5])] == [
        "empty", "space", "vertical-line", "null", "true", "1", "1.0", "1_2.5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "one, other",
    [
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1.0"),
        ("attention.beta=1", "seed=0"),
        ("trainer.precision=32", "trainer.precision=32-true"),
        ("trainer.deterministic=null", "trainer.deterministic=false"),
        ("optimizer.lr=1e-3", "optimizer.lr=0.001"),
    ],
)
def test_values_that_mean_the_same_are_one_run(one: str, other: str) -> None:
    assert identity(one) == identity(other)
    assert name(one) == name(other)


@pytest.mark.parametrize(
    "key", seldom(["limit_train_batches", "limit_val_batches", "limit_test_batches"], "limit_val_batches")
)
def test_one_and_all_are_two_runs_of_two_names(key: str) -> None:
    assert identity(f"trainer.{key}=1") != identity(f"trainer.{key}=1.0") == identity()
    assert name(f"trainer.{key}=1") == f"{key}=1"
    assert names(f"trainer.{key}=1,1.0") == [f"{key}=1", f"{key}=1.0"]


def test_a_run_is_found_by_its_hash_whatever_its_name_a_finished_one_first(tmp_path: Path) -> None:
    composition = compose([f"runs_dir={tmp_path}", "stop_at=null"])
    digest = provenance.identity(composition.tree)
    place = tmp_path / "reverse" / "soft"
    for called in ("a", "b"):
        (place / f"{called}-{digest}").mkdir(parents=True)
        folders.write_status(place / f"{called}-{digest}", state="running")
    assert folders.folder_of(composition).name == f"a-{digest}"
    folders.write_status(place / f"b-{digest}", state="done")
    folders.write_results(place / f"b-{digest}", {"val/nll": 1.0})
    assert folders.folder_of(composition).name == f"b-{digest}"
    assert [job.folder.name for job in plan(["attention.beta=1,2", f"runs_dir={tmp_path}"])][
        0
    ] == f"b-{digest}"
