"""A run that dies anywhere and is started again ends as if it had not: bit for bit, in every setting."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.trainer import call
from running import LITTLE, Killed, folder_in, killed_at, metrics, results, same
from seldom import seldom

from attnlab.cli.train import train
from attnlab.randomness import generator_for
from attnlab.runs import run as runs

CHOICES: dict[str, list[list[str]]] = {
    "data": [["task=reverse", "task.steps_per_epoch=5"], ["task=copy", "task.steps_per_epoch=7"], ["pairs"]],
    "attention": [
        ["attention=soft", "model.dropout=0.3"],
        ["attention=hard_reinforce", "attention.baseline=moving_average"],
        ["attention=hard_reinforce", "attention.baseline=learned"],
        [
            "attention=gumbel_softmax",
            "attention.beta_schedule=linear",
            "attention.beta_end=3",
            "attention.beta_steps=9",
        ],
    ],
    "optimizer": [
        ["optimizer.schedule=constant"],
        ["optimizer.schedule=linear"],
        ["optimizer.schedule=halve_on_plateau", "optimizer.lr=0.3"],
        ["optimizer=sgd", "optimizer.schedule=halve_on_plateau", "optimizer.lr=3"],
    ],
    "clipping": [
        [],
        ["trainer.gradient_clip_val=null"],
        ["trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"],
    ],
    "accumulation": [[], ["trainer.accumulate_grad_batches=2"], ["trainer.accumulate_grad_batches=3"]],
    "validation": [
        [],
        ["trainer.check_val_every_n_epoch=2"],
        ["trainer.val_check_interval=3"],
        ["trainer.val_check_interval=0.8", "trainer.check_val_every_n_epoch=2"],
        ["trainer.val_check_interval=4", "trainer.check_val_every_n_epoch=null"],
        ["trainer.val_check_interval=8", "trainer.check_val_every_n_epoch=null"],
    ],
    "limits": [
        [],
        ["trainer.limit_train_batches=4"],
        ["trainer.limit_val_batches=1", "trainer.num_sanity_val_steps=1"],
    ],
    "checkpoints": [["checkpoint_every=1"], ["checkpoint_every=3"], []],
    "stopping": [
        [],
        [
            "+callbacks.stop._target_=pytorch_lightning.callbacks.early_stopping.EarlyStopping",
            "+callbacks.stop.monitor=val/nll",
            "+callbacks.stop.patience=1",
        ],
    ],
    "end": [
        ["trainer.max_steps=13"],
        ["trainer.max_steps=-1", "trainer.max_epochs=3"],
        ["trainer.max_steps=11", "trainer.max_time=01:00:00:00"],
    ],
    "precision": [[], ["trainer.precision=64-true"]],
}
"""Settings that can be combined, and decide what a step, a validation or an end is."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A person's own data: 17 examples, so that an epoch has 6 batches of 3 and the last is short."""
    place, generator = tmp_path_factory.mktemp("data"), generator_for(0, "pairs")
    for name, number in (("train", 17), ("val", 7), ("test", 7)):
        words = [
            "".join(chr(97 + int(i)) for i in torch.randint(6, (3 + n % 4,), generator=generator))
            for n in range(number)
        ]
        (place / name).write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    files = [f"task.{name}={place / name}" for name in ("train", "val", "test")]
    return ["task=pairs", *files, "task.source_separator=''", "task.target_separator=''"]


def drawn(seed: int, pairs: list[str]) -> list[str]:
    """A command line: one of each of the choices."""
    draw = random.Random(seed)
    settings = [setting for choices in CHOICES.values() for setting in draw.choice(choices)]
    own = "pairs" in settings
    base = [setting for setting in LITTLE if not (own and setting.startswith("task."))]
    return [
        *base,
        "trainer.log_every_n_steps=2",
        *(pairs if own else []),
        *(s for s in settings if s != "pairs"),
    ]


@contextmanager
def watched(at: int = -1) -> Iterator[Callable[[], int]]:
    """Counts the moments of a run: before and after every hook and every file that takes another's place.
    At one of them the run dies, and nothing is written any more."""
    passed = 0

    def moment() -> None:
        nonlocal passed
        passed += 1
        if passed == at:
            raise Killed

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any, **named: Any) -> Any:
            moment()
            result = original(*arguments, **named)
            moment()
            return result

        return watching

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_call_callback_hooks", "_call_lightning_module_hook"):
            patch.setattr(call, name, around(getattr(call, name)))
        patch.setattr(os, "replace", around(os.replace))
        patch.setattr(Path, "replace", around(Path.replace))
        if at >= 0:
            patch.setattr(call, "_interrupt", lambda *_: None)
            patch.setattr(Trainer, "_teardown", lambda _: None)
        yield lambda: passed


def killed(command: list[str], at: int) -> bool:
    """Whether a run that is to die at its moment `at` came that far."""
    with watched(at) as passed:
        try:
            assert train(command, None) == 0
        except Killed:
            return True
    assert passed() < at
    return False


def ends_alike(whole: Path, broken: Path) -> None:
    """Parameters, optimizer, schedules, callbacks, figures and results of two runs are the same."""
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (runs.load(folder / "checkpoints" / name) for folder in (whole, broken))
        for kept in (one, other):
            kept["callbacks"].pop("Timer", None)  # measures the clock
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "global_step", "epoch"):
            assert same(one[part], other[part]), (name, part)
    assert metrics(whole) == metrics(broken)
    assert results(whole) == results(broken)


def dies_and_goes_on(command: list[str], place: Path, seed: int, deaths: int) -> None:
    draw = random.Random(seed)
    with watched() as passed:
        assert train([*command, f"runs_dir={place / 'whole'}"], None) == 0
    broken = [*command, f"runs_dir={place / 'broken'}"]
    for _ in range(deaths):
        killed(broken, draw.randrange(1, passed()))
    assert train(broken, None) == 0
    ends_alike(folder_in(place / "whole"), folder_in(place / "broken"))


@pytest.mark.parametrize("seed", seldom(range(3), 1))
def test_a_run_that_dies_ends_as_if_it_had_not(seed: int, pairs: list[str], tmp_path: Path) -> None:
    dies_and_goes_on(drawn(seed, pairs), tmp_path, seed, deaths=2)


MODELS = {
    "input feeding": ["model.input_feeding=true", "model.embedding_size=4", "model.readout_size=5"],
    "transformer": ["model=transformer", "model.heads=2", "model.choose=all", "model.positions=rotary"],
}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_run_of_another_model_ends_as_if_it_had_not_died(model: str, tmp_path: Path) -> None:
    small = "model.hidden_size=8 model.dropout=0.2 batch_size=4 task.steps_per_epoch=5 checkpoint_every=3"
    end = "trainer.max_steps=13 trainer.log_every_n_steps=2 task.shortest=2 task.longest=4"
    exams = "task.validation_examples=10 task.test_examples=10 attention=hard_reinforce"
    command = [*MODELS[model], *small.split(), *end.split(), *exams.split(), "attention.baseline=learned"]
    dies_and_goes_on(command, tmp_path, seed=5, deaths=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_a_run_that_dies_often_ends_as_if_it_had_not(seed: int, pairs: list[str], tmp_path: Path) -> None:
    dies_and_goes_on(drawn(seed, pairs), tmp_path, seed, deaths=5)


COMMAND = [*LITTLE, "task.steps_per_epoch=4", "trainer.log_every_n_steps=1", "checkpoint_every=3"]
COMMAND += ["trainer.max_steps=12", "attention=hard_reinforce", "attention.baseline=moving_average"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing befell."""
    place = tmp_path_factory.mktemp("whole")
    assert train([*COMMAND, f"runs_dir={place}"], None) == 0
    return folder_in(place)


@pytest.fixture(scope="module")
def halted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, dead at step 10: checkpoints of steps 9 and 8, the best of step 4 or 8."""
    place = tmp_path_factory.mktemp("halted")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(10, patch)
        train([*COMMAND, f"runs_dir={place}"], None)
    return place


def overwritten(path: Path) -> None:
    """In the middle of the parameters, where no structure of the file would show it."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2 : len(contents) // 2 + 8] = b"\x00\x7f" * 4
    path.write_bytes(contents)


def of_another_model(path: Path) -> None:
    kept = runs.load(path)
    kept["state_dict"]["model.decoder.output.bias"] = torch.zeros(3)
    torch.save(kept, path)


def of_another_run(path: Path) -> None:
    torch.save(runs.load(path) | {"run": "01234567"}, path)


def a_folder(path: Path) -> None:
    path.unlink()
    (path / "in").mkdir(parents=True)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "noise": lambda path: path.write_bytes(b"\x80\x02" + b"noise" * 999),
    "overwritten": overwritten,
    "nothing in it": lambda path: torch.save({}, path),
    "another model": of_another_model,
    "another run": of_another_run,
    "a folder": a_folder,
}


@pytest.mark.parametrize("damage", seldom(DAMAGES, "cut", "another run"))
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(
    damage: str, whole: Path, halted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    shutil.copytree(halted, place)
    folder = folder_in(place)
    DAMAGES[damage](folder / "checkpoints" / "last.ckpt")
    assert train([*COMMAND, f"runs_dir={place}"], None) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "last.ckpt is" in told
    assert "going on from previous.ckpt at step 8, so that at least 2 steps are taken again" in told
    ends_alike(whole, folder)
    assert list((folder / "checkpoints").glob("last.ckpt.damaged-*"))  # kept, to be looked at


def test_the_best_checkpoint_serves_where_no_other_is_left(
    whole: Path, halted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    shutil.copytree(halted, place)
    folder = folder_in(place)
    for name in ("last.ckpt", "previous.ckpt"):
        DAMAGES["cut"](folder / "checkpoints" / name)
    assert train([*COMMAND, f"runs_dir={place}"], None) == 0
    assert "going on from best.ckpt at step" in " ".join(capsys.readouterr().err.split())
    ends_alike(whole, folder)


def test_a_run_without_a_good_checkpoint_is_refused_and_stays_as_it_is(
    halted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    shutil.copytree(halted, place)
    folder = folder_in(place)
    for name in ("last.ckpt", "previous.ckpt", "best.ckpt"):
        DAMAGES["empty"](folder / "checkpoints" / name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert train([*COMMAND, f"runs_dir={place}"], None) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "fresh=true" in told and all(f"{name}.ckpt is" in told for name in ("last", "previous", "best"))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert train([*COMMAND, f"runs_dir={place}", "fresh=true"], None) == 0


@pytest.mark.parametrize("damage", seldom(["overwritten", "a folder", "missing"], "missing"))
def test_a_best_checkpoint_that_is_lost_is_made_anew_or_the_run_does_not_go_on(
    damage: str, whole: Path, halted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kept in (True, False):
        place = tmp_path / str(kept)
        shutil.copytree(halted, place)
        checkpoints = folder_in(place) / "checkpoints"
        best, last = checkpoints / "best.ckpt", checkpoints / "last.ckpt"
        if kept:  # the one to go on from is that of the best validation
            shutil.copyfile(best, last)
        (DAMAGES | {"missing": Path.unlink})[damage](best)
        assert train([*COMMAND, f"runs_dir={place}"], None) == (0 if kept else 2)
        told = " ".join(capsys.readouterr().err.split())
        assert "best.ckpt is" in told and ("takes its place" if kept else "fresh=true") in told
        if kept:
            ends_alike(whole, folder_in(place))


SPOILT: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "bytes": (lambda rows: [*rows[:4], b"\xff\xfe" + rows[4], *rows[5:]], 3),
    "a long row": (lambda rows: [*rows[:6], rows[6].rstrip(b"\n") + b",1,2\n", *rows[7:]], 5),
    "no step": (lambda rows: [rows[0].replace(b"step", b"stop"), *rows[1:]], 0),
    "words": (lambda rows: [*rows[:2], b"hello\n", *rows[3:]], 1),
    "cut in a letter": (lambda rows: [*rows[:5], "5,é".encode()[:-1]], 4),
}
"""Damage to the lines of metrics.csv, and the last step that is whole."""


@pytest.mark.parametrize("damage", seldom(SPOILT, "bytes", "no step"))
def test_damaged_figures_are_cut_back_and_it_is_said(
    damage: str, whole: Path, halted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, (spoil, kept) = tmp_path / "runs", SPOILT[damage]
    shutil.copytree(halted, place)
    folder = folder_in(place)
    path = folder / "metrics.csv"
    path.write_bytes(b"".join(spoil(path.read_bytes().splitlines(keepends=True))))
    assert train([*COMMAND, f"runs_dir={place}"], None) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"metrics.csv is damaged behind the row of step {kept}" in told
    missing = {str(step) for step in range(kept + 1, 10)}  # the run goes on behind step 9
    expected = [row for row in metrics(whole) if row["step"] not in missing]
    assert [{tag: row[tag] for tag in row if row[tag]} for row in metrics(folder)] == [
        {tag: row[tag] for tag in row if row[tag]} for row in expected
    ]
    assert same(*(runs.load(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (whole, folder)))


def test_a_reader_beside_a_run_sees_whole_rows(tmp_path: Path) -> None:
    """At every moment at which the file may have changed: header and rows of as many cells, in order."""
    seen: list[bytes] = []

    def look(*arguments: Any, **named: Any) -> None:
        for path in tmp_path.rglob("metrics.csv"):
            seen.append(path.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        original = os.write
        patch.setattr(os, "write", lambda *given: (look(), original(*given), look())[1])
        patch.setattr(call, "_call_callback_hooks", looking(call._call_callback_hooks, look))
        assert train([*COMMAND, f"runs_dir={tmp_path}"], None) == 0
    assert len(set(seen)) > 12
    for contents in seen:
        header, *rows = contents.decode().splitlines()
        assert contents.endswith(b"\n")
        assert all(row.count(",") == header.count(",") for row in rows)
        assert [int(row.split(",")[0]) for row in rows] == list(range(1, len(rows) + 1))


def looking(original: Callable[..., Any], look: Callable[[], None]) -> Callable[..., Any]:
    def then_looking(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        look()
        return result

    return then_looking
