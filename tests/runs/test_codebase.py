"""By which code a run was made: a file of one's own that changed is named wherever the run is read."""

import sys
from pathlib import Path

import pytest
from running import LITTLE, Killed, folder_in, killed_at

from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.runs.codebase import code_of, differing, gone_on, unequal

TOY = [*LITTLE, "task.steps_per_epoch=5", "trainer.max_steps=10"]

EXPLORE = """
from attnlab.core.interfaces import Mechanism
from attnlab.mechanisms.soft import soft
from attnlab.settings import Positive
from {package}.scale import SCALE


def explore(*, beta: Positive) -> Mechanism:
    rest = dict(beta_schedule="constant", beta_end=None, beta_steps=None)
    return soft(beta=beta * SCALE, **rest)
"""


def own_mechanism(place: Path, package: str) -> list[str]:
    """A mechanism in a package of one's own, beside its configuration folder."""
    (place / package).mkdir()
    (place / package / "explore.py").write_text(EXPLORE.format(package=package), encoding="utf-8")
    (place / package / "scale.py").write_text("SCALE = 1.0\n", encoding="utf-8")
    (place / "conf" / "attention").mkdir(parents=True)
    settings = f"_target_: {package}.explore.explore\nbeta: 1.0\n"
    (place / "conf" / "attention" / "explore.yaml").write_text(settings, encoding="utf-8")
    return [f"--config-dir={place / 'conf'}", "attention=explore"]


def test_own_code_that_changed_is_named_whenever_the_run_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    own = own_mechanism(tmp_path, "mine_named")
    command = [*TOY, *own, "stop_at=null", f"runs_dir={tmp_path / 'runs'}"]
    assert train(command, None) == 0
    assert train(command, None) == 0
    assert "differs" not in capsys.readouterr().out
    (tmp_path / "mine_named" / "scale.py").write_text("SCALE = 2.0\n", encoding="utf-8")
    said = "mine_named/scale.py differs from what it was made by"
    assert train(command, None) == 0
    assert said in (told := capsys.readouterr().out) and "done already" in told and "explore.py" not in told
    assert train(["-m", *command, "seed=0"], None) == 0
    assert f"1 of them, done or begun: {said}" in " ".join(capsys.readouterr().err.split())
    assert evaluate([str(folder_in(tmp_path / "runs")), "--trust", "mine_named"], "words") == 0
    assert said in capsys.readouterr().err


def test_a_run_that_goes_on_with_other_code_says_so_and_is_never_again_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    own = own_mechanism(tmp_path, "mine_resumed")
    command = [*TOY, *own, "checkpoint_every=4", f"runs_dir={tmp_path / 'runs'}"]
    with monkeypatch.context() as patch:
        killed_at(9, patch)
        with pytest.raises(Killed):
            train(command, None)
    scale = tmp_path / "mine_resumed" / "scale.py"
    scale.write_text("SCALE = 2.0\n", encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine_resumed"]:
        del sys.modules[name]  # as in another process
    capsys.readouterr()
    said = "mine_resumed/scale.py differs from what it was made by"
    assert train(command, None) == 0
    assert said in capsys.readouterr().err
    assert said in (folder_in(tmp_path / "runs") / "train.log").read_text(encoding="utf-8")
    for text in ("SCALE = 2.0\n", "SCALE = 1.0\n"):
        scale.write_text(text, encoding="utf-8")
        assert train(command, None) == 0
        assert said in capsys.readouterr().out


def test_a_run_keeps_the_code_that_was_loaded_whatever_was_edited_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    own = own_mechanism(tmp_path, "mine_loaded")
    command = ["-m", *TOY, *own, f"runs_dir={tmp_path / 'runs'}"]
    assert train([*command, "seed=0"], None) == 0
    (tmp_path / "mine_loaded" / "scale.py").write_text("SCALE = 2.0\n", encoding="utf-8")
    assert train([*command, "seed=1"], None) == 0  # by the same process, so by the old code
    capsys.readouterr()
    assert train([*command, "seed=0,1"], None) == 0
    assert "2 of them, done or begun: mine_loaded/scale.py differs" in " ".join(
        capsys.readouterr().err.split()
    )


def test_code_is_followed_to_what_it_imports_and_not_into_installed_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_single.py").write_text(
        "def f():\n    import mine_other.deep, torch\n", encoding="utf-8"
    )
    (tmp_path / "mine_other" / ".hidden").mkdir(parents=True)
    for name in ("deep.py", ".hidden/no.py"):
        (tmp_path / "mine_other" / name).write_text("1\n", encoding="utf-8")
    code = code_of({"callbacks": {"a": {"_target_": "mine_single.f"}, "b": {"_target_": "torch.nn.Linear"}}})
    mine = {name for name in code if not name.startswith("attnlab/")}
    assert mine == {"mine_single.py", "mine_other/deep.py", "torch/nn/__init__.py"}
    assert "attnlab/mechanisms/soft.py" in code and "attnlab/runs/codebase.py" in code


def test_files_differ_within_packages_that_both_have() -> None:
    one, other = {"a/x.py": "1", "a/y.py": "1", "b.py": "1"}, {"a/x.py": "2", "a/z.py": "1", "c.py": "1"}
    assert differing(one, other) == ["a/x.py", "a/y.py", "a/z.py"]
    assert unequal([one, one, other]) == ["a/x.py", "a/y.py", "a/z.py"] and unequal([one, one]) == []


def test_a_run_of_two_codes_equals_neither() -> None:
    one, other = {"a/x.py": "1", "a/y.py": "1"}, {"a/x.py": "2", "a/y.py": "1"}
    both = gone_on(one, other)
    assert differing(both, one) == differing(both, other) == ["a/x.py"]
    assert gone_on(both, other) == both and gone_on(one, one) == one
