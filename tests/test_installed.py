"""attnlab installed from a wheel, in an environment of its own, with no checkout in sight."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from attnlab.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def attnlab(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The command `attnlab`, in an empty folder; what attnlab stands on is that of this environment."""
    place = tmp_path_factory.mktemp("installed")
    here: dict[str, Any] = {"cwd": place, "capture_output": True, "text": True, "check": False}
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for name in ("attnlab", "configs"):
        shutil.copytree(ROOT / name, place / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source")
    built = subprocess.run([*pip, "wheel", "--no-deps", "-w", str(place), str(place / "source")], **here)
    assert built.returncode == 0, built.stderr
    (wheel,) = place.glob("attnlab-*.whl")
    venv.create(place / "environment", with_pip=False)
    libraries = Path(sysconfig.get_path("purelib", vars={"base": str(place / "environment")}))
    (libraries / "more.pth").write_text(str(Path(yaml.__file__).parents[1]), encoding="utf-8")
    into = ["--python", str(place / "environment"), "install", "--no-deps", str(wheel)]
    done = subprocess.run([*pip, *into], **here)
    assert done.returncode == 0, done.stderr
    folder = place / "empty"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}

    def run(*words: str, program: str = "attnlab") -> subprocess.CompletedProcess[str]:
        command = [str(place / "environment" / "bin" / program), *words]
        return subprocess.run(command, **{**here, "cwd": folder}, env=environment)

    return run


@pytest.mark.slow
def test_an_installed_attnlab_trains_evaluates_and_compares_in_an_empty_folder(attnlab: Run) -> None:
    trained = attnlab("train", "attention=soft", "trainer.max_steps=20", "task.validation_examples=20")
    assert trained.returncode == 0, trained.stderr
    where = [line.split()[-1] for line in trained.stdout.splitlines() if line.startswith("run ")]
    assert where and where[0].startswith("runs/reverse/soft/")
    assert attnlab("evaluate", where[0]).returncode == 0
    compared = attnlab("compare", "runs")
    assert compared.returncode == 0 and "attnlab" in attnlab("compare", "--help").stdout.splitlines()[0]
    help_ = attnlab("train", "--help").stdout
    assert "attnlab train attention=soft" in help_ and "scripts/" not in help_
    wrong = attnlab("train", "attention=sofd")
    assert wrong.returncode == 2 and "soft" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_an_installed_attnlab_builds_in_a_notebook(attnlab: Run) -> None:
    program = (
        "import attnlab, json; b = attnlab.build(['attention=topk', 'attention.k=3']);"
        "print(json.dumps([type(b.model).__name__, b.config['attention']['k'], attnlab.__file__]))"
    )
    done = attnlab("-c", program, program="python")
    model, k, place = json.loads(done.stdout)
    assert (model, k) == ("Seq2Seq", 3) and "site-packages" in place


PROGRAM = """
import sys
from attnlab.cli.main import main
sys.argv[0] = "attnlab"
code = main()
sys.exit(code + 100 * ("torch" in sys.modules))
"""


def called(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_command_is_named_with_what_it_does_and_without_torch() -> None:
    done = called("--help")
    assert done.returncode == 0 and all(f"  {name} " in done.stdout for name in COMMANDS)
    assert sorted(path.stem for path in (ROOT / "scripts").glob("*.py")) == sorted(COMMANDS)
    assert called("evaluate", "--help").stdout.splitlines()[2].startswith("  attnlab evaluate runs/")
    assert called("--version").stdout.startswith("attnlab ")


def test_a_command_that_is_none_is_refused_with_what_was_meant() -> None:
    done = called("trian", "attention=soft")
    assert done.returncode == 2 and "did you mean train?" in done.stderr
