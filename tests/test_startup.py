"""A command starts without what no run uses, and loses nothing by it."""

import json
import subprocess
import sys

import pytest

from attnlab.startup import SPARED

SAYS = "import json, sys; print(json.dumps([name in sys.modules for name in {!r}]))"


def loaded(program: str, *names: str) -> list[bool]:
    """Which modules a fresh Python has loaded after a program."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\n{SAYS.format(names)}"], capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


def test_what_torchmetrics_would_import_is_spared_in_a_command() -> None:
    """If this fails, torchmetrics or lightning_utilities asks in another way what is installed: see
    attnlab/startup.py."""
    for name in SPARED:
        pytest.importorskip(name)
    program = "import attnlab.cli, attnlab.runs.run"
    assert loaded(program, "torchmetrics", *SPARED) == [True, False, False]


def test_in_a_program_of_ones_own_nothing_is_spared() -> None:
    for name in SPARED:
        pytest.importorskip(name)
    program = "import attnlab; attnlab.build; import torchmetrics"
    assert loaded(program, "torchmetrics", *SPARED) == [True, True, True]


def test_what_was_spared_can_be_used_afterwards_also_by_torchmetrics() -> None:
    """The best pairing of two by two is found by SciPy where there are more than a few."""
    pytest.importorskip("scipy")
    program = (
        "import attnlab.cli, torchmetrics, torch, scipy.stats\n"
        "from torchmetrics.functional.audio.pit import _SCIPY_AVAILABLE\n"
        "assert _SCIPY_AVAILABLE and scipy.stats.norm.cdf(0) == 0.5"
    )
    assert loaded(program, "scipy.stats") == [True]
