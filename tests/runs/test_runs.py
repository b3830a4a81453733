"""A run from start to end, typed again, interrupted and gone on with, failed, and measured again."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from running import SMALL, captured, folder_in, metrics, results
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,  # pyright: ignore[reportAttributeAccessIssue]
)

from attnlab.building import assemble
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness, generator_for
from attnlab.runs import folders, origin
from attnlab.runs import identity as provenance
from attnlab.runs import run as runs
from attnlab.tasks.batch import PAD
from attnlab.training.lightning_module import Training

TOY = [
    *SMALL,
    "task.validation_examples=30",
    "task.test_examples=30",
    "task.steps_per_epoch=10",
    "trainer.max_steps=25",
]
STATEFUL = [
    "attention=hard_reinforce",
    "attention.baseline=moving_average",
    "model.dropout=0.2",
    "checkpoint_every=4",
]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    place = tmp_path_factory.mktemp("runs")
    assert train([*TOY, *STATEFUL, f"runs_dir={place}"], None) == 0
    return folder_in(place)


def test_a_run_leaves_what_is_promised(done: Path) -> None:
    names = {path.name for path in done.iterdir()}
    assert names >= {"config.yaml", "status.json", "metrics.csv", "results.json", "checkpoints", "train.log"}
    assert {path.name for path in (done / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert len(list(done.glob("events.out.tfevents.*"))) == 1
    status = folders.read_status(done)
    assert status["state"] == "done" and status["error"] is None and status["start"] <= status["end"]
    assert re.fullmatch(r".+-[0-9a-f]{8}", done.name)


def test_figures_are_logged_under_their_tags(done: Path) -> None:
    rows = metrics(done)
    assert [row["step"] for row in rows] == ["5", "10", "15", "20", "25"]
    parts = ("total", "encoder", "attention", "decoder", "clipped")
    expected = {f"grad_norm/{part}" for part in parts} | {
        "train/nll",
        "train/surrogate",
        "train/token_accuracy",
    }
    assert all(row[tag] for row in rows for tag in expected | {"schedule/lr", "schedule/beta"})
    measured = (
        "nll",
        "token_accuracy",
        "sequence_accuracy",
        "error_rate",
        "alignment_accuracy",
        "alignment_mass",
    )
    splits = {f"{split}/{name}" for split in ("val", "test") for name in (*measured, "attention_entropy")}
    assert splits <= set(results(done))
    for split in ("val", "test"):
        found = results(done)
        assert found[f"{split}/bayes_accuracy"] == 1
        assert found[f"{split}/regret"] == 1 - found[f"{split}/sequence_accuracy"] > 0
    assert [bool(row["val/nll"]) for row in rows] == [False, True, False, True, True]


def test_gradient_norms_of_a_run_are_means_over_training_and_the_last_ones(done: Path) -> None:
    columns = [tag for tag in metrics(done)[0] if tag.startswith("grad_norm/")]
    assert len(columns) == 5
    for tag in columns:
        logged = [float(row[tag]) for row in metrics(done)]
        assert results(done)[tag] == pytest.approx(sum(logged) / 5, rel=1e-12)
        assert results(done)[tag.replace("/", "_last/")] == logged[-1] != results(done)[tag]


def test_tensorboard_holds_the_same_figures_and_the_hyperparameters(done: Path) -> None:
    events = EventAccumulator(str(done), size_guidance={"scalars": 0})
    events.Reload()
    for tag in ("val/nll", "grad_norm/total", "train/surrogate"):
        logged = {str(event.step): event.value for event in events.Scalars(tag)}
        assert logged == {
            row["step"]: pytest.approx(float(row[tag]), rel=1e-6) for row in metrics(done) if row[tag]
        }
    assert not [tag for tag in events.Tags()["scalars"] if tag.startswith("hp/")]
    for part in ("attention", "total"):
        logged = [float(row[f"grad_norm/{part}"]) for row in metrics(done)]
        means = [event.value for event in events.Scalars(f"grad_norm_mean/{part}")]
        assert means == pytest.approx([sum(logged[:n]) / n for n in range(1, 6)], rel=1e-6)


def test_the_hparams_tab_has_what_is_set_and_metrics_under_their_own_tags(done: Path) -> None:
    events = EventAccumulator(str(done), size_guidance={"scalars": 0})
    events.Reload()
    parts = {
        tag: HParamsPluginData.FromString(content)
        for tag, content in events.PluginTagToContent("hparams").items()
    }
    names = ("experiment", "session_start_info", "session_end_info")
    columns, start, end = (parts[f"_hparams_/{name}"] for name in names)
    assert {info.name.tag for info in columns.experiment.metric_infos} <= set(events.Tags()["scalars"])
    shown = {
        key: value.string_value or value.number_value
        for key, value in start.session_start_info.hparams.items()
    }
    assert shown == {
        "attention": "hard_reinforce",
        "attention.beta": 1,
        "attention.samples": 4,
        "attention.baseline": "moving_average",
        "task": "reverse",
        "task.steps_per_epoch": 10,
        "task.validation_examples": 30,
        "task.test_examples": 30,
        "score": "scaled_dot",
        "model": "lstm",
        "model.hidden_size": 6,
        "model.embedding_size": 5,
        "model.readout_size": 7,
        "model.dropout": 0.2,
        "batch_size": 8,
        "trainer.max_steps": 25,
        "trainer.log_every_n_steps": 5,
        "checkpoint_every": 4,
        "seed": 0,
    }
    told = {"attention", "task", "seed"} | {
        key for key in shown if "." in key or key.endswith(("size", "every"))
    }
    told -= {"attention.beta", "attention.samples"}
    assert {info.name for info in columns.experiment.hparam_infos} == told
    assert end.session_end_info.status == STATUS_SUCCESS


def test_a_finished_run_typed_again_prints_its_result(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file() and path.name != ".lock"
    }
    assert train([*TOY, *STATEFUL, f"runs_dir={done.parents[2]}"], None) == 0
    assert "done already; fresh=true" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_measuring_again_gives_the_same_figures_to_the_digit(done: Path) -> None:
    runs.quiet()
    built = assemble(folders.read_config(done))
    again = runs.measure(built, done / "checkpoints" / "best.ckpt")
    assert again == {tag: value for tag, value in results(done).items() if not tag.startswith("grad_norm")}


def test_the_gap_is_taken_on_the_batches_and_in_the_precision_of_the_validation(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two batches, under autocast; a figure that depends on the rule tells the passes apart."""
    decoded: list[tuple[str, int, bool]] = []

    def free_running(model: Any, batch: Any, rule: Any, *rest: Any) -> dict[str, tuple[float, float]]:
        decoded.append((type(rule).__name__, len(batch.source), torch.is_autocast_enabled("cpu")))
        return {"sequence_accuracy": (0.75 if type(rule).__name__ == "Mixture" else 0.5, 1.0)}

    monkeypatch.setattr("attnlab.training.lightning_module.free_running", free_running)
    changes = ["task.validation_examples=300", "trainer.limit_val_batches=1", "trainer.precision=bf16-mixed"]
    tree = compose([*TOY, *STATEFUL, *changes, "model=gru"]).tree
    best = done / "checkpoints" / "best.ckpt"
    monkeypatch.setattr("attnlab.training.lightning_module.teacher_forced", lambda *given: {})
    built = assemble(tree)
    monkeypatch.setattr(built.training.model, "load_state_dict", lambda *given: None)  # of another cell
    runs.quiet()
    found = runs.measure(built, best)
    assert found["val/soft_argmax_gap"] == 0.25 and found["val/sequence_accuracy"] == 0.5
    test = ("Argmax", 30, True)
    assert decoded == [("Argmax", 250, True), test, ("Mixture", 250, True)], (
        "its own rule was measured before"
    )
    decoded.clear()
    assert runs.measure(built, best, known={"val/sequence_accuracy": 0.5}) == found
    assert decoded == [test, ("Mixture", 250, True)]


def test_a_run_does_not_validate_its_best_checkpoint_again(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three validations of training, and one with averaged values for the gap."""
    begun, original = [], Training.on_validation_epoch_start
    monkeypatch.setattr(
        Training, "on_validation_epoch_start", lambda self: begun.append(self.evaluate_as) or original(self)
    )
    assert train([*TOY, *STATEFUL, f"runs_dir={tmp_path}"], None) == 0
    assert begun == ["same", "same", "same", "soft"]
    assert results(folder_in(tmp_path)) == results(done)


def test_another_rule_or_length_gives_other_figures(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for changes in ([], ["attention.evaluate_as=marginal"], ["task.shortest=11", "task.longest=14"]):
        assert evaluate([str(done), *changes], "words") == 0
        printed.append(capsys.readouterr().out.split("run ")[0])
    assert len(set(printed)) == 3


@pytest.mark.parametrize("changes", [["task.shorter=1"], ["task.shortest=0"], ["attention=soft"]])
def test_evaluate_refuses_what_cannot_be(
    done: Path, changes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([str(done), *changes], "words") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_evaluate_refuses_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert evaluate([str(tmp_path)], "words") == 2


def test_a_fresh_run_moves_the_old_one_aside(tmp_path: Path) -> None:
    command = [*TOY, "trainer.max_steps=2", f"runs_dir={tmp_path}"]
    assert train(command, None) == 0
    assert train([*command, "fresh=true"], None) == 0
    kept = list((tmp_path / "reverse" / "soft").iterdir())
    assert len(kept) == 2 and all((folder / "results.json").is_file() for folder in kept)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A person's own data: 75 examples, so that an epoch has 10 batches and the last is short."""
    place = tmp_path_factory.mktemp("data")
    generator = generator_for(0, "pairs")
    for name, number in (("train", 75), ("val", 20), ("test", 20)):
        words = [
            "".join(chr(97 + int(i)) for i in torch.randint(6, (3 + n % 4,), generator=generator))
            for n in range(number)
        ]
        (place / name).write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    files = [f"task.{name}={place / name}" for name in ("train", "val", "test")]
    return [
        *SMALL,
        "task=pairs",
        *files,
        "task.source_separator=''",
        "task.target_separator=''",
        "trainer.max_steps=25",
    ]


def test_a_loss_that_is_not_finite_fails_the_run_and_names_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TOY, "attention=hard_exact", "optimizer.lr=1e36", f"runs_dir={tmp_path}"]
    assert train(command, None) == 1
    told = capsys.readouterr().err
    assert re.search(r"the loss is \w+ at step \d+", told) and "Traceback" not in told
    status = folders.read_status(folder_in(tmp_path))
    assert status["state"] == "failed" and "at step" in status["error"]
    assert "Traceback" in (folder_in(tmp_path) / "train.log").read_text(encoding="utf-8")
    assert train(command, None) == 1  # tried again


@pytest.mark.parametrize(
    "wrong",
    [
        ["attention=hard_reinforce", "attention.samples=1"],
        ["task.shortest=12"],
        ["task=lookup", "task.pairs=40"],
        ["trainer.max_steps=-5"],
        ["trainer.accelerator=nothing"],
    ],
)
def test_settings_that_do_not_go_together_leave_no_folder(wrong: list[str], tmp_path: Path) -> None:
    assert train([*wrong, f"runs_dir={tmp_path / 'runs'}"], None) == 2
    assert not (tmp_path / "runs").exists()


def test_a_run_that_somebody_trains_is_refused(done: Path, tmp_path: Path) -> None:
    command = [*TOY, f"runs_dir={tmp_path}"]
    folder = folders.folder_of(compose(command))
    with folders.held(folder):
        assert train(command, None) == 1
    assert not (folder / "results.json").exists()


def test_code_in_a_checkpoint_is_not_run(done: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("run",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        runs.load(tmp_path / "evil.ckpt")


def identity_of(*overrides: str) -> str:
    return provenance.identity(compose(list(overrides)).tree)


SETTINGS = [
    "seed=1",
    "attention.beta=2",
    "optimizer.lr=0.001",
    "score=dot",
    "trainer.max_steps=9",
    "attention=hard_exact",
]


@pytest.mark.parametrize("others", [SETTINGS])
def test_identity_follows_every_setting_that_matters(others: list[str]) -> None:
    assert len({identity_of(), *map(identity_of, others)}) == 1 + len(others)


def test_identity_passes_over_what_changes_no_number() -> None:
    assert identity_of() == identity_of(
        "runs_dir=elsewhere", "fresh=true", "trainer.enable_progress_bar=false"
    )


def test_identity_follows_the_contents_of_files_and_not_their_names(pairs: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    original = Path(next(text for text in pairs if text.startswith("task.train=")).partition("=")[2])
    copy.write_bytes(original.read_bytes())
    assert identity_of(*pairs) == identity_of(*pairs, f"task.train={copy}")
    copy.write_text("another\tfile\n", encoding="utf-8")
    assert identity_of(*pairs) != identity_of(*pairs, f"task.train={copy}")


@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_gradient_norms_are_those_computed_by_hand(
    baseline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the moving average as it was before the step: one that knows the step's own returns has other
    gradients."""
    states, clip = captured(monkeypatch), 0.05
    command = [
        *TOY,
        "trainer.max_steps=5",
        f"trainer.gradient_clip_val={clip}",
        f"runs_dir={tmp_path}",
        "attention=hard_reinforce",
        f"attention.baseline={baseline}",
    ]
    assert train(command, None) == 0
    built = assemble(compose(command).tree)
    built.training.load_state_dict(states[4])
    batch = built.task.train(4)
    randomness = Randomness(generator_for(0, "draws", 4))
    taken = taken_by(built.model, batch, built.mechanism.selector, randomness)
    losses = token_losses(taken.logits, batch.target)
    valid = batch.target != PAD
    surrogate = built.mechanism.estimator(losses, taken, valid)
    (surrogate.loss.sum() / valid.sum()).backward()
    squares = {
        part: sum(
            float(p.grad.square().sum())
            for p in getattr(built.model, part).parameters()
            if p.grad is not None
        )
        for part in ("encoder", "attention", "decoder")
    }
    (row,) = metrics(folder_in(tmp_path))
    for part, square in squares.items():
        assert float(row[f"grad_norm/{part}"]) == pytest.approx(square**0.5, rel=1e-5)
    total = sum(squares.values()) ** 0.5
    assert total > clip
    assert float(row["grad_norm/total"]) == pytest.approx(total, rel=1e-5)
    assert float(row["grad_norm/clipped"]) == pytest.approx(clip, rel=1e-4)


def test_training_touches_no_global_randomness(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert train([*TOY, *STATEFUL, "trainer.max_steps=3", f"runs_dir={tmp_path}"], None) == 0
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("schedule, expected", [("constant", [0.1, 0.1]), ("linear", [0.06, 0.01])])
def test_the_learning_rate_follows_its_schedule(schedule: str, expected: list[float], tmp_path: Path) -> None:
    command = [
        *TOY,
        "trainer.max_steps=10",
        "optimizer.lr=0.1",
        f"optimizer.schedule={schedule}",
        f"runs_dir={tmp_path}",
    ]
    assert train(command, None) == 0
    assert [float(row["schedule/lr"]) for row in metrics(folder_in(tmp_path))] == pytest.approx(
        expected, abs=1e-9
    )


def test_the_learning_rate_is_halved_when_validation_gets_worse(tmp_path: Path) -> None:
    command = [
        *TOY,
        "trainer.max_steps=60",
        "optimizer.lr=0.5",
        "optimizer.schedule=halve_on_plateau",
        f"runs_dir={tmp_path}",
    ]
    assert train(command, None) == 0
    rows = metrics(folder_in(tmp_path))
    best, rate, followed = float("inf"), 0.5, 0
    for row in rows:
        if row["val/nll"]:
            after = [
                float(later["schedule/lr"]) for later in rows if int(later["step"]) == int(row["step"]) + 5
            ]
            rate = rate / 2 if float(row["val/nll"]) > best else rate
            best = min(best, float(row["val/nll"]))
            assert all(value == pytest.approx(rate) for value in after)
            followed += len(after)
    assert followed > 3 and rate < 0.5
    assert rate < 0.5


def test_the_code_of_the_package_is_told_apart_by_its_files_not_by_its_revision(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TOY, *STATEFUL, f"runs_dir={done.parents[2]}"]
    monkeypatch.setattr(origin, "code_revision", lambda: "0123456789ab")
    assert train(command, None) == 0
    assert "figures may differ" not in capsys.readouterr().out
    kept = (done / "sources.json").read_bytes()
    changed = json.loads(kept)
    assert changed["code"]["attnlab/core/estimators.py"]
    changed["code"]["attnlab/core/estimators.py"] = "000000000000"
    (done / "sources.json").write_text(json.dumps(changed), encoding="utf-8")
    assert train(command, None) == 0
    assert "attnlab/core/estimators.py differs from what it was made by" in capsys.readouterr().out
    (done / "sources.json").unlink()  # as an earlier version left it
    assert train(command, None) == 0
    assert "today's is 0123456789ab" in capsys.readouterr().out
    (done / "sources.json").write_bytes(kept)


def test_results_that_cannot_be_read_are_measured_again(tmp_path: Path) -> None:
    command = [*TOY, f"runs_dir={tmp_path}"]
    assert train(command, None) == 0
    folder = folder_in(tmp_path)
    before = results(folder)
    (folder / "results.json").write_text("{", encoding="utf-8")
    assert train(command, None) == 0
    assert results(folder) == before


def test_data_that_changes_between_planning_and_training_is_refused_and_named(
    pairs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = Path(next(text for text in pairs if text.startswith("task.val=")).partition("=")[2])
    file = tmp_path / "val"
    file.write_bytes(original.read_bytes())
    command = [*pairs, f"task.val={file}", f"runs_dir={tmp_path / 'runs'}"]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "quiet", lambda: file.write_text("abc\tcba\n", encoding="utf-8"))
        assert train(command, None) == 2
    assert "task.val" in (told := capsys.readouterr().err) and str(file) in told
    assert not (tmp_path / "runs").exists()
    assert train(command, None) == 0
    kept = folders.read_sources(folder := folder_in(tmp_path / "runs"))
    assert kept["data"]["task.val"] == hashlib.sha256(b"abc\tcba\n").hexdigest()
    assert folder.name.endswith(kept["identity"])
    another = folder.with_name(f"{folder.name[:-8]}00000000")
    tree, others = folders.read_config(folder), kept["data"] | {"task.val": "0"}
    assert f"task.val changed since {folder.name} was made" in origin.other_data(another, tree, others)
    assert not origin.other_data(another, tree | {"seed": 17}, others)
