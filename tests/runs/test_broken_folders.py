"""Whatever a file of a run holds instead of what belongs there: one sentence names it, or nothing is other
than it was; never a traceback, never another figure."""

import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from running import Killed, folder_in, killed_at, results

from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.training.resuming import load

WORDS = ("walk", "talk", "sing", "ring", "bake", "rake", "go", "undergo", "see", "foresee", "eat", "beat")
COMMAND = [
    "task=pairs",
    "task.source_separator=''",
    "task.target_separator=''",
    "attention=hard_reinforce",
    "attention.baseline=moving_average",
    "model.hidden_size=3",
    "model.embedding_size=2",
    "model.readout_size=3",
    "batch_size=4",
    "checkpoint_every=2",
    "trainer.max_steps=6",
    "trainer.log_every_n_steps=1",
]
Damage = Callable[[Path], object]


def written(content: bytes | str) -> Damage:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def with_zeros(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 :])


ANY: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": written(b""),
    "a folder": a_folder,
    "a pipe": a_pipe,
    "a dangling link": a_dangling_link,
    "a link to itself": a_link_to_itself,
    "cut in half": cut,
    "zeros": zeroed,
    "zeros inside": with_zeros,
    "noise": written(bytes(range(256)) * 5),
    "a list": written("[1, 2]\n"),
    "a number": written("17\n"),
    "a word": written("seed\n"),
    "null": written("null\n"),
    "1,000 levels": written("{'a': ".replace("'", '"') * 1000 + "1" + "}" * 1000 + "\n"),
}
"""What may befall every file."""


def entry(path: str, value: Any) -> Damage:
    """An entry of an object of JSON or YAML, by its path with dots, changed."""

    def change(file: Path) -> None:
        is_json = file.suffix == ".json"
        text = file.read_text(encoding="utf-8")
        tree = json.loads(text) if is_json else yaml.safe_load(text)
        *above, last = path.split(":")
        node = tree
        for name in above:
            node = node[name]
        if value is MISSING:
            node.pop(last, None)
        else:
            node[last] = value(node[last]) if callable(value) else value
        file.write_text(
            json.dumps(tree) if is_json else yaml.safe_dump(tree, sort_keys=False), encoding="utf-8"
        )

    return change


MISSING = object()
WRONG: tuple[Any, ...] = (MISSING, None, "word", -1, [1])
"""Values of other types."""


def entries(paths: Iterable[str], values: Iterable[Any] = WRONG) -> Iterator[tuple[str, Damage]]:
    chosen = list(values)
    for path in paths:
        for value in chosen:
            yield f"{path} {'missing' if value is MISSING else value!r}", entry(path, value)


def part(name: str, change: Callable[[Any], Any]) -> Damage:
    """A part of a checkpoint changed."""

    def spoil(path: Path) -> None:
        kept = load(path)
        *above, last = name.split(":")
        node: Any = kept
        for key in above:
            node = node[int(key) if isinstance(node, list) else key]
        if change is missing:
            del node[last]
        else:
            node[last] = change(node.get(last))
        torch.save(kept, path)

    return spoil


def missing(_: Any) -> None:
    """Stands for a part that is taken out."""


def parts(names: Iterable[str]) -> Iterator[tuple[str, Damage]]:
    values: dict[str, Callable[[Any], Any]] = {
        "missing": missing,
        "null": lambda _: None,
        "a word": lambda _: "word",
        "-3": lambda _: -3,
        "a list": lambda _: [1],
    }
    for name in names:
        for what, change in values.items():
            yield f"{name} {what}", part(name, change)


WEIGHT = "state_dict:model.decoder.output.bias"
WITHIN: dict[str, dict[str, Damage]] = {
    "vocabulary.json": {
        **dict(entries(["source", "target", "features", "longest_target"])),
        "a symbol twice": entry("source", lambda table: [*table[:-1], table[0]]),
        "one symbol more": entry("source", lambda table: [*table, "#"]),
        "one target symbol more": entry("target", lambda table: [*table, "#"]),
        "one symbol less": entry("source", lambda table: table[:-1]),
        "one target symbol less": entry("target", lambda table: table[:-1]),
        "numbers": entry("source", lambda table: list(range(len(table)))),
        "not a number": written('{"source": [], "target": [], "features": [], "longest_target": NaN}'),
    },
    "status.json": dict(
        entries(
            [
                "state",
                "start",
                "end",
                "error",
                "versions",
                "revision",
                "parameters",
                "notes",
                "seen",
                "caution",
            ]
        )
    ),
    "results.json": {
        **dict(entries(["test/sequence_accuracy", "val/nll"])),
        "infinite": written('{"val/nll": Infinity}'),
        "of accuracy 17": entry("test/sequence_accuracy", 17.0),
    },
    "sources.json": {
        **dict(entries(["identity", "data", "code", "own", "metrics"])),
        "metrics of numbers": entry("metrics", {"nll": 3}),
        "data of lists": entry("data", {"task.train": [1]}),
        "own of lists": entry("own", {"attention": [1]}),
        "own that is elsewhere": entry("own", {"attention": "os.system"}),
    },
    "config.yaml": {
        **dict(
            entries(["seed", "batch_size", "threads", "metrics", "evaluate_as", "trainer", "attention:beta"])
        ),
        **dict(entries(["attention:_choice_", "task:_choice_", "callbacks", "optimizer"])),
        **dict(entries(["trainer:max_steps", "trainer:limit_val_batches", "model:hidden_size", "task:val"])),
        "another size": entry("model:hidden_size", 4),
        "another key": entry("attention", lambda node: node | {"banana": 1}),
        "another group": lambda path: path.write_text(path.read_text() + "banana: {a: 1}\n"),
    },
    "metrics.csv": {
        "bytes": lambda path: path.write_bytes(path.read_bytes().replace(b"\n3,", b"\n\xff3,")),
        "a long row": lambda path: path.write_bytes(path.read_bytes().replace(b"\n3,", b"\n3,1,1,")),
        "no step": lambda path: path.write_bytes(path.read_bytes().replace(b"step", b"stop", 1)),
        "words": lambda path: path.write_bytes(path.read_bytes().replace(b"\n3,", b"\nthree,")),
        "a step twice": lambda path: path.write_bytes(path.read_bytes().replace(b"\n3,", b"\n2,")),
        "a negative step": lambda path: path.write_bytes(path.read_bytes().replace(b"\n3,", b"\n-3,")),
        "not a number": lambda path: path.write_bytes(path.read_bytes().replace(b"\n3,", b"\n3,nan", 1)),
        "a header alone": lambda path: path.write_bytes(path.read_bytes().partition(b"\n")[0]),
        "a column twice": lambda path: path.write_bytes(
            path.read_bytes().replace(b"val/nll", b"train/nll", 1)
        ),
    },
    **{
        f"checkpoints/{name}.ckpt": {
            "words": lambda path: torch.save("words", path),
            "a list": lambda path: torch.save([1], path),
            "nothing": lambda path: torch.save({}, path),
            **dict(
                parts(["global_step", "epoch", "loops", "state_dict", "optimizer_states", "lr_schedulers"])
            ),
            **dict(parts(["callbacks", "figures", "waiting", "stopped", "run", "pytorch-lightning_version"])),
            **dict(parts(["callbacks:Checkpoints", "loops:fit_loop", "loops:fit_loop:state_dict", WEIGHT])),
            **dict(parts(["callbacks:Checkpoints:reached", "figures:val/nll"])),
            **dict(
                parts(
                    [
                        "optimizer_states:0:state",
                        "optimizer_states:0:param_groups",
                        "callbacks:Checkpoints:validation_step",
                    ]
                )
            ),
            "a step of a fraction": part("global_step", lambda step: step + 0.5),
            "a step of infinity": part("global_step", lambda step: math.inf),
            "another step": part("global_step", lambda step: step + 1),
            "another shape": part(WEIGHT, lambda weight: weight[:-1]),
            "whole numbers": part(WEIGHT, lambda weight: weight.int()),
            "float64": part(WEIGHT, lambda weight: weight.double()),
            "complex": part(WEIGHT, lambda weight: weight * 1j),
            "sparse": part(WEIGHT, lambda weight: weight.to_sparse()),
            "meta": part(WEIGHT, lambda weight: weight.to("meta")),
            "NaN": part(WEIGHT, lambda weight: weight * math.nan),
            "infinity": part(WEIGHT, lambda weight: weight + math.inf),
            "one more": part("state_dict:model.banana", lambda _: torch.ones(1)),
            "NaN of the optimizer": lambda path: spoil_optimizer(path, lambda value: value * math.nan),
            "another size of the optimizer": lambda path: spoil_optimizer(
                path, lambda value: value.flatten()[:1]
            ),
            "words of the optimizer": lambda path: spoil_optimizer(path, lambda value: "word"),
        }
        for name in ("last", "best")
    },
}


def spoil_optimizer(path: Path, change: Callable[[Any], Any]) -> None:
    kept = load(path)
    state = kept["optimizer_states"][0]["state"]
    for number in state:
        state[number]["exp_avg"] = change(state[number]["exp_avg"])
    torch.save(kept, path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("data")
    lines = [f"{word}\t{word[::-1]}\n" for word in WORDS]
    for name, chosen in (("train", lines), ("val", lines[:5]), ("test", lines[5:9])):
        (place / name).write_text("".join(chosen), encoding="utf-8")
    return [f"task.{name}={place / name}" for name in ("train", "val", "test")]


@pytest.fixture(scope="module")
def done(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run."""
    place = tmp_path_factory.mktemp("done")
    assert train([*COMMAND, *data, f"runs_dir={place}"], None) == 0
    return place


@pytest.fixture(scope="module")
def halted(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, dead at step 5."""
    place = tmp_path_factory.mktemp("halted")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(5, patch)
        train([*COMMAND, *data, f"runs_dir={place}"], None)
    return place


OFTEN = ("cut in half",)


def cases() -> Iterator[Any]:
    """(file, what befell it); one that may befall any file, and of what may stand inside one in fifty,
    are tried often."""
    for name, within in WITHIN.items():
        for number, what in enumerate(ANY | within):
            often = what in OFTEN if what in ANY else number % 50 == 0
            yield pytest.param(name, what, marks=[] if often else pytest.mark.slow)


def damaged(place: Path, to: Path, name: str, damage: Damage) -> Path:
    """The run of a copy of a folder, with one file damaged."""
    shutil.copytree(place, to)
    folder = folder_in(to)
    damage(folder / name)
    return folder


def measured(printed: str) -> str:
    """The figures that evaluate prints."""
    return printed.split("run  ")[0]


@pytest.fixture(scope="module")
def figures(done: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What evaluate says of the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr("sys.stdout", said)
        assert evaluate([str(folder_in(done))], None) == 0
    return measured(said.getvalue())


@pytest.mark.parametrize(("name", "what"), [*cases()])
def test_a_damaged_file_is_named_or_nothing_is_other_than_it_was(
    name: str,
    what: str,
    done: Path,
    halted: Path,
    figures: str,
    data: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage, file, whole = (ANY | WITHIN[name])[what], Path(name).name, results(folder_in(done))

    folder = damaged(done, tmp_path / "done", name, damage)
    code, said = evaluate([str(folder)], None), capsys.readouterr()
    assert "Traceback" not in said.err
    assert measured(said.out) == figures if code == 0 else file in " ".join(said.err.split())
    whole_enough = all((folder / known).is_file() for known in ("config.yaml", "status.json"))
    for run in load_runs(tmp_path / "done") if whole_enough else []:
        assert not run.problem or file in run.problem
    code, said = train([*COMMAND, *data, f"runs_dir={tmp_path / 'done'}"], None), capsys.readouterr()
    assert "Traceback" not in said.err
    assert code == 0 or file in " ".join(said.err.split())

    if (folder_in(halted) / name).exists():
        folder = damaged(halted, tmp_path / "halted", name, damage)
        code, said = train([*COMMAND, *data, f"runs_dir={tmp_path / 'halted'}"], None), capsys.readouterr()
        assert "Traceback" not in said.err
        named = file in " ".join(said.err.split()) or "the loss is nan" in said.err
        assert results(folder) == whole if code == 0 else named
