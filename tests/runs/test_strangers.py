"""A run folder that somebody else wrote: no code of it runs, and what is damaged is named in one sentence."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from attnlab.building import assemble
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.config.checking import ConfigurationError
from attnlab.runs import folders
from attnlab.runs.stored import damage

TINY = [
    "model.hidden_size=4",
    "model.embedding_size=3",
    "batch_size=4",
    "task.validation_examples=8",
    "task.test_examples=8",
    "task.steps_per_epoch=2",
    "trainer.max_steps=2",
]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    place = tmp_path_factory.mktemp("runs")
    assert train([*TINY, f"runs_dir={place}"], None) == 0
    return next(place.rglob("status.json")).parent


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    """The same run, to be damaged, where the same command finds it."""
    place = tmp_path / "runs"
    shutil.copytree(done.parents[2], place)
    return place / done.relative_to(done.parents[2])


def rewritten(folder: Path, **changes: Any) -> None:
    """Settings of a stored configuration changed, by their path with __ for a dot."""
    tree = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *above, last = path.split("__")
        node = tree
        for name in above:
            node = node.setdefault(name, {})
        node[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


EVIL = "import pathlib\npathlib.Path(__file__).with_name('RAN').touch()\ndef evil(*a, **k): return 1\n"
TARGETS = [
    "evil.evil",
    "webbrowser.open",
    "pty.spawn",
    "os.system",
    "unittest.mock.Mock",
    "builtins.eval",
    "torch.hub.load",
    "torch.load",
    "torch.utils.cpp_extension.load",
    "pytorch_lightning.callbacks.LambdaCallback",
    "pytorch_lightning.Trainer",
    "attnlab.runs.folders.move_aside",
    "attnlab.building.importlib.import_module",
    "attnlab.mechanisms.soft.soft.__globals__",
    "attnlab_evil.evil",
    "attnlab.mechanisms.soft.averaged",
    "",
    "..",
]
PLACES = ["attention", "score", "task", "model", "optimizer", "trainer", "callbacks__mine"]


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a trace where it is imported; Python would find it."""
    for name in ("evil", "attnlab_evil"):
        (tmp_path / f"{name}.py").write_text(EVIL, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "RAN"


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What evaluate says, which must be a refusal."""
    assert evaluate([str(folder), *arguments], None) == 2
    told = capsys.readouterr().err
    assert "error:" in told and "Traceback" not in told
    return " ".join(told.split())


@pytest.mark.parametrize(
    "place, target",
    [(place, TARGETS[0]) for place in PLACES] + [(PLACES[n % 7], t) for n, t in enumerate(TARGETS, 6)],
)
def test_a_target_of_a_strangers_run_is_not_looked_up(
    place: str, target: str, copy: Path, evil: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(copy, **{f"{place}___target_": target})
    told = refused(copy, capsys)
    assert place.replace("__", ".") in told and ("--trust" in told or "names no" in told)
    (run,) = load_runs(copy)
    if run.config:
        with pytest.raises(ConfigurationError, match="--trust"):
            assemble(run.config)
    assert not evil.exists() and "evil" not in sys.modules


@pytest.mark.parametrize("word", ["_target_", "_args_", "_partial_", "_recursive_", "_convert_"])
@pytest.mark.parametrize(
    "place", ["attention__beta", "task__inner", "trainer__plugins", "callbacks__throughput__x"]
)
def test_a_target_inside_of_a_setting_is_refused(
    word: str, place: str, copy: Path, evil: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ({word: "evil.evil"}, [{"deep": [{word: "evil.evil"}]}]):
        rewritten(copy, **{place: value})
        refused(copy, capsys)
    rewritten(copy, **{f"{place.partition('__')[0]}__{word}": "evil.evil"})
    refused(copy, capsys)
    assert not evil.exists()


def test_annotations_and_defaults_of_a_strangers_factory_are_not_evaluated(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even of a package that is trusted, until it is imported."""
    monkeypatch.syspath_prepend(tmp_path)
    text = "def f(*, beta: __import__('pathlib').Path('{0}').touch(), share=open('{0}', 'w')): ..."
    (tmp_path / "annotated.py").write_text(text.format(tmp_path / "RAN"), encoding="utf-8")
    rewritten(copy, attention___target_="annotated.f")
    assert "--trust annotated" in refused(copy, capsys)
    assert "cannot be read, beta" in refused(copy, capsys, "--trust", "annotated")
    assert not (tmp_path / "RAN").exists()


OWN = '''
from attnlab.mechanisms import soft


def mine(*, beta: float, **rest) -> object:
    """Soft attention of one's own."""
    constant = {"beta_schedule": "constant", "beta_end": None, "beta_steps": None}
    return soft.soft(beta=beta, **constant)
'''


@pytest.mark.parametrize("way", ["--trust mypackage", "--trust=mypackage.soft", "--config-dir CONFIGS"])
def test_code_that_the_user_trusts_runs(
    way: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "soft.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "configs" / "attention").mkdir(parents=True)
    mine = tmp_path / "configs" / "attention" / "mine.yaml"
    mine.write_text("_target_: mypackage.soft.mine\n", encoding="utf-8")
    assert evaluate([str(copy)], None) == 0
    before = capsys.readouterr().out
    rewritten(copy, attention={"_target_": "mypackage.soft.mine", "beta": 1.0})
    assert "--trust mypackage" in refused(copy, capsys)
    assert "--trust mypackage" in refused(copy, capsys, "--trust", "mypack")
    options = way.replace("CONFIGS", str(tmp_path / "configs")).split()
    for typed in ([str(copy), *options], [*options, str(copy)]):
        assert evaluate(typed, None) == 0
        assert capsys.readouterr().out == before


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n\n",
    "a list": b"- 1\n- 2\n",
    "a number": b"17\n",
    "a word": b"attention\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a tag": b"seed: !!python/object/apply:os.system ['touch RAN']\n",
    "a harmless tag": b"seed: !!int '3'\n",
    "NULs": b"seed: 0\0\0\n",
    "no UTF-8": b"seed: \xff\xfe\n",
    "a cycle": b"seed: &a [*a]\n",
    "a bomb": b"a: &a [1,1]\n"
    + b"".join(b"%c: &%c [*%c,*%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120)),
    "1,000 levels": b"a: " + b"[" * 1000 + b"]" * 1000 + b"\n",
    "100,000 levels": b"[" * 100_000,
    "1,000 levels by indentation": b"".join(b" " * n + b"a:\n" for n in range(1000)),
    "no yaml": b"seed: [1, 2\nmodel: }\n",
    "a number that is a key": b"1: 2\n",
    "a list that is a key": b"? [a]\n: 2\n",
    "a number without end": b"seed: " + b"9" * 10_000 + b"\n",
    "a date that is none": b"seed: 2020-13-45\n",
    "a group that is a word": b"attention: soft\nseed: 1\n",
}


@pytest.mark.parametrize("kind", [*BROKEN, "half a file", "callbacks that are a list"])
def test_a_broken_configuration_is_named_in_one_sentence(
    kind: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "config.yaml"
    whole = path.read_bytes()
    path.write_bytes(BROKEN.get(kind, whole[: whole.index(b"trainer:") - 40]))
    if kind.startswith("callbacks"):
        path.write_bytes(whole[: whole.index(b"callbacks:")] + b"callbacks: [1]\n")
    assert f"{path} cannot be read: " in refused(copy, capsys).replace("- ", "-")
    (run,) = load_runs(copy)
    assert run.state == "unreadable" and str(path) in run.problem and "\n" not in run.problem


def test_a_broken_configuration_is_written_anew(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "config.yaml"
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert train([*TINY, f"runs_dir={copy.parents[2]}"], None) == 0
    told = capsys.readouterr()
    assert "config.yaml cannot be read" in " ".join(told.err.split()) and "done already" in told.out
    assert yaml.safe_load(path.read_bytes()) | {"runs_dir": ""} == yaml.safe_load(whole) | {"runs_dir": ""}


DAMAGED = {
    "status.json": {
        "1,000 levels": '{"state": ' + "[" * 1000 + "]" * 1000 + "}",
        "100,000 levels": "[" * 100_000,
        "empty": "",
        "a list": "[]",
        "half": '{"state": "do',
        "a state that is a list": '{"state": ["done"]}',
        "parameters beyond numbers": '{"state": "done", "parameters": 1' + "0" * 400 + "}",
        "versions that are lists": '{"state": "done", "versions": {"torch": [2]}}',
        "parameters that are words": '{"state": "done", "parameters": "many"}',
    },
    "results.json": {
        "words": '{"val/nll": "low"}',
        "not a number": '{"val/nll": NaN}',
        "a list": "[1, 2]",
        "truth": '{"val/nll": true}',
        "lists": '{"val/nll": [1]}',
        "beyond floats": '{"val/nll": 1' + "0" * 400 + "}",
        "1,000 levels": '{"val/nll": ' + "[" * 1000 + "]" * 1000 + "}",
    },
}


@pytest.mark.parametrize("name, kind", [(name, kind) for name, kinds in DAMAGED.items() for kind in kinds])
def test_damaged_state_and_figures_are_named(
    name: str, kind: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / name
    path.write_text(DAMAGED[name][kind], encoding="utf-8")
    assert f"{name} cannot be read: " in refused(copy, capsys)
    (run,) = load_runs(copy)
    assert run.state == "unreadable" and str(path) in run.problem and run.results == {}
    assert folders.read_results(copy) is None and damage(copy).keys() == {name}


@pytest.mark.parametrize("name", ["config.yaml", "sources.json", *DAMAGED])
def test_what_is_no_regular_file_is_named_and_not_waited_for(name: str, copy: Path) -> None:
    (copy / name).unlink()
    for kind, put in (("no regular", os.mkfifo), ("a folder", Path.mkdir)):
        put(copy / name)
        assert f"it is {kind}" in damage(copy)[name] and len(damage(copy)) == 1
        (copy / name).rename(copy / kind)
    (copy / name).symlink_to(copy / "nowhere")
    assert "No such file" in damage(copy)[name]


def test_digests_that_are_none_are_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "sources.json").write_text('{"code": {"attnlab/core/interfaces.py": 3}}', encoding="utf-8")
    assert "sources.json cannot be read: code is a mapping" in refused(copy, capsys)
    assert train([*TINY, f"runs_dir={copy.parents[2]}"], None) == 0
    assert "sources.json cannot be read: code is a mapping" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_made_anew(name: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads((copy / "results.json").read_bytes())
    (copy / name).write_text(DAMAGED[name]["a list"], encoding="utf-8")
    assert train([*TINY, f"runs_dir={copy.parents[2]}"], None) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"{name} cannot be read" in told and "made anew" in told
    again = folders.read_results(copy)
    assert again is not None and {k: v for k, v in again.items() if not k.startswith("speed")} == {
        k: v for k, v in results.items() if not k.startswith("speed")
    }


SHARED = """
from attnlab.core.interfaces import Distribution, Mechanism
from attnlab.core.distributions import Softmax, Uniform, categorical
from attnlab.core.estimators import Pathwise
from attnlab.core.selectors import Mixture
from attnlab.facts import Facts

class Shared(Distribution):
    def __init__(self, share):
        super().__init__()
        self.share, self.softmax, self.uniform = share, Softmax(1.0), Uniform()

    def forward(self, inputs):
        p, q = self.softmax(inputs).probs, self.uniform(inputs).probs
        return categorical((1 - self.share) * p + self.share * q)

@Facts(paper="none", objective="soft", unbiased=True, needs="mixture", evaluations=1)
def mine(*, share: float, samples: int):
    distribution = Shared(share)
    return Mechanism(distribution, Mixture(distribution), Pathwise(), "same")
"""


def test_a_setting_of_ones_own_is_measured_where_it_matters(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sharing.py").write_text(SHARED, encoding="utf-8")
    rewritten(copy, attention={"_target_": "sharing.mine", "share": 0.1, "samples": 2})
    printed = []
    for change in ([], ["attention.share=0.9"]):
        assert evaluate([str(copy), "--trust", "sharing", *change], None) == 0
        printed.append(capsys.readouterr().out.partition("run  ")[0])
    assert printed[0] != printed[1]
    told = refused(copy, capsys, "--trust", "sharing", "attention.samples=4")
    assert "attention.samples changes nothing that is measured" in told
