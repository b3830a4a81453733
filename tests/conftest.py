"""Shapes in annotations are checked while the tests run; small models are timed and tested with one
thread."""

import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook

from attnlab.startup import spare

spare()
import pytorch_lightning  # noqa: E402, F401  # else it is compiled anew with the first module that is hooked

install_import_hook("attnlab", "beartype.beartype")

BEGIN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow-budget", type=float, default=float("inf"), help="seconds after which no slow test starts"
    )
    parser.addoption(
        "--config-dir", type=Path, action="append", default=[], help="hold choices of one's own too: -k NAME"
    )
    parser.addoption(
        "--definitions", type=Path, help="a Python file with DISTRIBUTIONS, LAWS or CERTIFICATES for them"
    )


def pytest_configure(config: pytest.Config) -> None:
    import enumeration

    places: list[Path] = config.getoption("--config-dir") or []
    enumeration.PLACES += [place.resolve() for place in places]
    if place := config.getoption("--definitions"):
        written = runpy.run_path(str(place))
        for name in ("DISTRIBUTIONS", "LAWS", "CERTIFICATES"):
            getattr(enumeration, name).update(written.get(name, {}))


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    budget: Any = request.config.getoption("--slow-budget")
    if request.node.get_closest_marker("slow") and time.monotonic() - BEGIN > budget:
        pytest.skip(f"the {budget:.0f} s for slow tests are used up; pytest -m slow runs all")
    torch.set_num_threads(1)
    yield
