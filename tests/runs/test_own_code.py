"""A person's own code: it works, or is told why in one sentence; its rules hold, and reading them runs
nothing."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning.callbacks
from pydantic import ConfigDict, TypeAdapter, ValidationError
from seldom import seldom

from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.config.callback_policy import OFFERED, REFUSED
from attnlab.config.checking import ConfigurationError
from attnlab.config.composing import compose
from attnlab.config.signatures import UnknownTarget, settings_of, signature_of
from attnlab.runs.identity import identity
from attnlab.training.callbacks.checkpoints import Checkpoints
from attnlab.training.lightning_module import Training
from attnlab.training.resuming import load

Write = Callable[..., str]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """Writes modules into a package that Python finds, under a name that no other test uses."""
    package = "own_" + re.sub(r"\W", "_", request.node.name)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / package).mkdir()

    def write(**modules: str) -> str:
        for name, text in modules.items():
            text = text.replace("PACKAGE", package)
            (tmp_path / package / f"{name}.py").write_text(text, encoding="utf-8")
        return package

    return write


def chosen(tmp_path: Path, package: str, settings: str, *overrides: str) -> Any:
    """A composition with `attention=mine`, whose yaml holds the settings."""
    (tmp_path / "attention").mkdir(exist_ok=True)
    text = f"_target_: {package}.mine.mine\n{settings}"
    (tmp_path / "attention" / "mine.yaml").write_text(text, encoding="utf-8")
    return compose([f"hydra.searchpath=['file://{tmp_path}']", "attention=mine", *overrides])


RULES = {
    "a name assigned in the module": "{SHARE}\ndef mine(*, share: Share): ...",
    "a quoted one": "{SHARE}\ndef mine(*, share: 'Share'): ...",
    "in a module that quotes all": "from __future__ import annotations\n{SHARE}\n"
    "def mine(*, share: Share): ...",
    "a name of another module": "from PACKAGE.more import Share\ndef mine(*, share: Share): ...",
    "a name under another name": "from .more import Share as S\ndef mine(*, share: S): ...",
    "a name of a module": "from PACKAGE import more\ndef mine(*, share: more.Share): ...",
    "a name of a module by its path": "import PACKAGE.more as m\ndef mine(*, share: m.Share): ...",
    "a name passed on": "from .further import Share\ndef mine(*, share: Share): ...",
    "a name passed on with all others": "from .all import *\ndef mine(*, share: Share): ...",
    "a name with a type": "from typing import TypeAlias\n{SHARE}\nA: TypeAlias = Share\n"
    "def mine(*, share: A): ...",
    "a union": "{SHARE}\ndef mine(*, share: Share | None): ...",
    "a limit by arithmetic": "{SHARE}\nTOP = 2 ** 3 / 8\n"
    "def mine(*, share: Annotated[float, Field(ge=+0, le=TOP)]): ...",
    "limits by another library": "from typing import Annotated\nimport annotated_types as at\n"
    "def mine(*, share: Annotated[float, at.Interval(ge=0, le=1)]): ...",
    "a record": "from typing import TypedDict, Unpack\n{SHARE}\nclass Settings(TypedDict):\n"
    "    share: Share\ndef mine(**rest: Unpack[Settings]): ...",
    "a record of another module": "from typing import Unpack\nfrom .more import Settings\n"
    "class More(Settings):\n    pass\ndef mine(**rest: Unpack[More]): ...",
    "a class": "{SHARE}\nclass mine:\n    def __init__(self, share: Share): ...",
    "a class whose base asks": "from .more import Base\nclass mine(Base): ...",
    "before the *": "{SHARE}\ndef mine(share: Share): ...",
    "a name of settings": "from attnlab import settings\ndef mine(*, share: settings.Probability): ...",
}
SHARE = (
    "from typing import Annotated\nfrom pydantic import Field\nShare = Annotated[float, Field(ge=0, le=1)]"
)
MORE = (
    f"{SHARE}\nfrom typing import TypedDict\nclass Settings(TypedDict):\n    share: Share\n"
    "class Base:\n    def __init__(self, *, share: Share): ...\n"
)


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_of_ones_own_holds(kind: str, own: Write, tmp_path: Path) -> None:
    text = RULES[kind].replace("{SHARE}", SHARE)
    first = "" if "__future__" in text else "raise SystemExit('imported')\n"
    package = own(mine=first + text, more=MORE, further="from .more import Share", all="from .more import *")
    rule = TypeAdapter(settings_of(f"{package}.mine.mine")["share"], config=ConfigDict(strict=True))
    assert rule.validate_python(0.5) == 0.5
    for wrong in ("banana", 1.5, -1, True):
        with pytest.raises(ValidationError):
            rule.validate_python(wrong)


def test_a_choice_of_ones_own_holds(own: Write, tmp_path: Path) -> None:
    package = own(
        mine="from .words import Kind\ndef mine(*, kind: Kind): ...",
        words="from typing import Literal\nKind = Literal['narrow', 'wide']",
    )
    assert chosen(tmp_path, package, "kind: wide\n").tree["attention"]["kind"] == "wide"
    with pytest.raises(ConfigurationError, match="attention.kind: must be 'narrow' or 'wide', got 'wider'"):
        chosen(tmp_path, package, "kind: wide\n", "attention.kind=wider")


UNREADABLE = {
    "a call": "def limit(): return int\ndef mine(*, share: limit()): ...",
    "code": "def mine(*, share: __import__('os').system('touch RAN')): ...",
    "quoted code": 'def mine(*, share: \'__import__("os").system("touch RAN")\'): ...',
    "code in a limit": "from typing import Annotated\nfrom pydantic import Field\n"
    "def mine(*, share: Annotated[float, Field(ge=open('RAN', 'w').write('x'))]): ...",
    "code behind a name": "S = [open('RAN', 'w') for _ in range(1)][0]\ndef mine(*, share: S): ...",
    "a class": "class Share: ...\ndef mine(*, share: Share): ...",
    "a tensor": "from torch import Tensor\ndef mine(*, share: Tensor): ...",
    "a name of nobody's": "def mine(*, share: Shaer): ...",
    "a name that is itself": "S = 'S'\ndef mine(*, share: S): ...",
    "names in a circle": "A = list['B']\nB = list['A']\ndef mine(*, share: A): ...",
    "a huge power": "from typing import Annotated\nfrom pydantic import Field\n"
    "def mine(*, share: Annotated[int, Field(gt=9**9**9)]): ...",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_rule_that_cannot_be_read_is_refused_and_nothing_runs(
    kind: str, own: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = own(mine=UNREADABLE[kind])
    with pytest.raises(UnknownTarget, match="has a rule that cannot be read, share: .*what is understood"):
        settings_of(f"{package}.mine.mine")
    assert not (tmp_path / "RAN").exists() and f"{package}.mine" not in sys.modules


WRONG = {
    "no module": (
        "nowhere.explore.explore",
        "",
        r"nowhere.explore lies in no module .* PYTHONPATH=\. python",
    ),
    "no submodule": (
        "PACKAGE.other.mine",
        "",
        "PACKAGE.other lies in no module|PACKAGE.other is no module of",
    ),
    "no function": ("PACKAGE.mine.mien", "def mine(): ...", "did you mean PACKAGE.mine.mine"),
    "a number": ("PACKAGE.mine.mine", "mine = 3", "is not a function or class"),
    "no dots": ("mine", "", "'mine' is no path"),
    "no name": ("PACKAGE..mine", "", "is no path"),
    "no Python": ("PACKAGE.mine.mine", "def mine(:\n", r"mine.py, line 1: "),
    "no text": ("PACKAGE.mine.mine", "\0", r"mine.py"),
    "no record": (
        "PACKAGE.mine.mine",
        "from typing import Unpack\ndef mine(**rest: Unpack[int]): ...",
        "must be Unpack of a TypedDict",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_path_that_leads_nowhere_is_told_in_one_sentence(kind: str, own: Write) -> None:
    target, text, told = WRONG[kind]
    package = own(mine=text)
    with pytest.raises(UnknownTarget, match=told.replace("PACKAGE", package)) as caught:
        settings_of(target.replace("PACKAGE", package))
    assert "\n" not in str(caught.value)


def test_a_factory_that_takes_less_than_it_is_handed_is_refused(own: Write) -> None:
    package = own(mine="def mine(query_size, *, width: int): ...")
    assert set(settings_of(f"{package}.mine.mine", ("query_size",))) == {"width"}
    with pytest.raises(UnknownTarget, match=r"write mine\(query_size, key_size, \*, ...\)"):
        settings_of(f"{package}.mine.mine", ("query_size", "key_size"))


def test_defaults_in_python_are_part_of_the_configuration(own: Write, tmp_path: Path) -> None:
    """Said aloud or not, they are one configuration; what the yaml says goes before."""
    package = own(mine="LIMIT = 4\ndef mine(*, a: int, b: int = LIMIT, c: float | None = None, d=len): ...")
    tree = chosen(tmp_path, package, "a: 1\n").tree["attention"]
    assert {key: tree[key] for key in "abc"} == {"a": 1, "b": 4, "c": None} and "d" not in tree
    assert chosen(tmp_path, package, "a: 1\nb: 5\n").tree["attention"]["b"] == 5
    assert chosen(tmp_path, package, "a: 1\n", "+attention.b=4").tree["attention"] == tree
    with pytest.raises(ConfigurationError, match="attention.a: is missing"):
        chosen(tmp_path, package, "b: 1\n")


@pytest.mark.parametrize("word", ["_target_", "_args_", "_partial_", "_recursive_", "_convert_"])
def test_a_setting_holds_no_factory(word: str, own: Write, tmp_path: Path) -> None:
    package = own(mine="from typing import Any\ndef mine(*, inner: Any): ...")
    for settings in (f"inner: {{{word}: os.system}}\n", f"inner: [1, {{a: {{{word}: 1}}}}]\n"):
        with pytest.raises(
            ConfigurationError, match=rf"attention.inner.*{word}: only a group names a factory"
        ):
            chosen(tmp_path, package, settings)


def test_callbacks_of_lightning_are_read_where_they_are_defined() -> None:
    """By the path that everybody types, with parameters that may be given by position."""
    signature = signature_of("pytorch_lightning.callbacks.EarlyStopping")
    assert signature == signature_of("pytorch_lightning.callbacks.early_stopping.EarlyStopping")
    assert {"monitor", "patience", "mode"} <= set(signature.rules) and "monitor" not in signature.optional
    assert signature.defaults["patience"] == 3


def early(tmp_path: Path, place: str, *more: str) -> list[str]:
    """A run that diverges, and that a callback of Lightning's stops for it."""
    folder = tmp_path / "settings" / "callbacks"
    folder.mkdir(parents=True, exist_ok=True)
    text = "defaults: [default]\nearly:\n  _target_: pytorch_lightning.callbacks.EarlyStopping\n"
    (folder / "early.yaml").write_text(f"{text}  monitor: val/nll\n  patience: 1\n", encoding="utf-8")
    small = [
        "task.validation_examples=8",
        "task.test_examples=8",
        "task.steps_per_epoch=5",
        "optimizer.lr=0.5",
    ]
    size = ["model.hidden_size=4", "batch_size=8", "trainer.max_steps=60", f"runs_dir={tmp_path / place}"]
    return [f"--config-dir={tmp_path / 'settings'}", "callbacks=early", *small, *size, *more]


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.mark.parametrize("moment", seldom(["in training", "after the stop"], "after the stop"))
def test_early_stopping_stops_and_an_interrupted_run_stops_at_the_same_step(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(early(tmp_path, "whole"), None) == 0
    owner, method = (Training, "training_step") if moment == "in training" else (Checkpoints, "finish")
    original = getattr(owner, method)

    def dying(self: Any, *given: Any) -> Any:
        if moment != "in training" or self.trainer.global_step == 7:
            raise Killed
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, dying)
        with pytest.raises(Killed):
            train(early(tmp_path, "broken"), None)
    assert train(early(tmp_path, "broken"), None) == 0
    whole, broken = (load_runs(tmp_path / place)[0] for place in ("whole", "broken"))
    assert load(whole.folder / "checkpoints" / "last.ckpt")["global_step"] < 60
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (load(run.folder / "checkpoints" / name) for run in (whole, broken))
        assert one["global_step"] == other["global_step"]
        assert all(value.equal(other["state_dict"][key]) for key, value in one["state_dict"].items())
    assert whole.results == broken.results


def test_a_callback_is_part_of_what_a_run_is() -> None:
    stop = "+callbacks.early._target_=pytorch_lightning.callbacks.EarlyStopping"
    trees = [
        compose([stop, "+callbacks.early.monitor=val/nll", *more]).tree
        for more in ([], ["+callbacks.early.patience=3"], ["+callbacks.early.patience=4"])
    ]
    plain, said, other = map(identity, (*trees,))
    assert plain == said and plain != other and plain != identity(compose([]).tree)
    module = stop.replace("pytorch_lightning.callbacks", "lightning.pytorch.callbacks.early_stopping")
    assert identity(compose([module, "+callbacks.early.monitor=val/nll"]).tree) == plain


@pytest.mark.parametrize("name", sorted({*REFUSED, *OFFERED}))
def test_every_callback_of_lightning_is_offered_or_refused_with_the_reason(name: str) -> None:
    assert set(pytorch_lightning.callbacks.__all__) <= {*REFUSED, *OFFERED}
    try:
        compose([f"+callbacks.x._target_=pytorch_lightning.callbacks.{name}"])
        told = ""
    except ConfigurationError as error:  # of those that are offered, what is missing
        told = str(error)
    assert ("is not offered" in told) == (name in REFUSED)
    assert (f"callbacks.x: {name} is not offered: {REFUSED.get(name)}" in told) == (name in REFUSED)


@pytest.mark.parametrize(
    "setting, told",
    [
        ("callbacks.early.monitor=val/nil", "monitor must be a figure of the validation"),
        ("+callbacks.early.check_on_train_epoch_end=true", "check_on_train_epoch_end must be false or null"),
    ],
)
def test_a_callback_that_would_judge_no_figure_of_now_is_refused_before_a_folder_is_made(
    setting: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(early(tmp_path, "runs", setting), None) == 2
    assert f"callbacks.early.{told}" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()


FAILING = {
    "raises": ("1 / 0", r"fails with ZeroDivisionError: division by zero \(.*mine.py, line \d+\)"),
    "refuses": ("raise ValueError('samples must be odd')", "samples must be odd"),
    "returns nothing": ("None", "must return a Mechanism of attnlab.core.interfaces, got None"),
    "returns a class": ("Mechanism", "must return a Mechanism of attnlab.core.interfaces, got <class"),
    "states no facts": (
        "soft()._replace(facts=None)",
        "states no facts; above it stands @Facts.paper=..., obj",
    ),
    "states something else": ("soft()._replace(facts=1)", "facts of .* must be a Facts, got 1"),
    "has no selector": ("soft()._replace(selector=None)", "selector of .* must be a Selector, got None"),
    "leaves": ("exit(3)", "fails with SystemExit: 3"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_factory_that_fails_or_makes_something_else_is_told_in_one_sentence(
    kind: str, own: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, told = FAILING[kind]
    statement = body if body.startswith("raise") else f"return {body}"
    package = own(
        mine="from attnlab.core.interfaces import Mechanism\n"
        "from attnlab.config.composing import compose\n"
        "from attnlab.building import make\n"
        "def soft(): return make(compose([]).tree['attention'])\n"
        f"def mine(*, share: float):\n    {statement}\n"
    )
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "mine.yaml").write_text(f"_target_: {package}.mine.mine\nshare: 0.5\n")
    command = [f"--config-dir={tmp_path}", "attention=mine", f"runs_dir={tmp_path / 'runs'}"]
    assert train(command, None) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert re.search(told, err) and "Traceback" not in err and not (tmp_path / "runs").exists()


UNSTATED = {
    "objective='best'": "facts that cannot be; objective: Input should be 'soft', 'expected' or 'marginal'",
    "unbiased=1 > 0": "states facts that are no constants, 1 > 0",
    "evaluations=1.5": "facts that cannot be; evaluations: must be a number or a sum that names",
    "cost=3": "states facts that cannot be; cost: Extra inputs are not permitted",
    "needs='all'": "facts that cannot be; needs: Input should be 'value'",
}


@pytest.mark.parametrize("changed", UNSTATED)
def test_facts_that_cannot_be_are_told_in_one_sentence_before_anything_is_imported(
    changed: str, own: Write, tmp_path: Path
) -> None:
    stated = "paper='mine', objective='soft', unbiased=True, needs='value', evaluations=1"
    word = changed.partition("=")[0]
    rest = [part for part in stated.split(", ") if not part.startswith(f"{word}=")]
    package = own(
        mine=f"from attnlab.facts import Facts\n@Facts({', '.join([*rest, changed])})\n"
        "def mine(*, share: float): ..."
    )
    with pytest.raises(ConfigurationError) as refusal:
        chosen(tmp_path, package, "share: 1.0\n")
    assert UNSTATED[changed] in str(refusal.value) and "\n" not in str(refusal.value)
