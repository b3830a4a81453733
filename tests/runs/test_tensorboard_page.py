"""What TensorBoard shows of a sweep, in a real browser: headless Chromium, where it is installed."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from board import served
from browser import CHROMIUM, QUIET
from pypdf import PdfReader

from attnlab.cli.train import train

SMALL = ["model.hidden_size=6", "batch_size=8", "trainer.log_every_n_steps=2", "task.validation_examples=10"]
SWEEP = [
    "attention=soft,hard_exact",
    "optimizer.lr=0.001,1e36",
    "trainer.max_steps=8",
    "task.test_examples=10",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TensorBoard over a small sweep in which a run crashes."""
    runs = tmp_path_factory.mktemp("runs")
    assert train(["-m", *SMALL, *SWEEP, f"runs_dir={runs}"], None) == 1
    with served(runs) as address:
        yield address


def rendered(page: str, tmp_path: Path) -> str:
    """The text of a page after its scripts have run, as it would be printed."""
    assert CHROMIUM is not None
    flags = [*QUIET, f"--user-data-dir={tmp_path}", "--window-size=1600,1400"]
    printed = tmp_path / "page.pdf"  # unlike the document tree, it holds what web components show
    command = [CHROMIUM, *flags, "--virtual-time-budget=25000", f"--print-to-pdf={printed}", page]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    return " ".join(sheet.extract_text() for sheet in PdfReader(printed).pages)


def test_runs_have_readable_names_and_every_figure_a_chart(server: str, tmp_path: Path) -> None:
    text = rendered(f"{server}/#timeseries", tmp_path)
    assert "reverse/hard_exact/" in text and "reverse/soft/" in text
    assert "grad_norm/attention" in text


def test_the_hparams_table_shows_every_run(server: str, tmp_path: Path) -> None:
    text = rendered(f"{server}/#hparams", tmp_path)
    joined = re.sub(r"[\s\u200b]", "", text)  # headers break at / and _
    assert "optimizer.lr" in text and "val/sequence_accuracy" in joined and "null" not in text
    assert "batch_size" not in text  # the same in all runs: figures stand in its place
    assert text.count("reverse/") == 4  # the crashed runs are there too


def test_the_custom_page_puts_one_figure_of_all_runs_into_one_chart(server: str, tmp_path: Path) -> None:
    text = rendered(f"{server}/#custom_scalars", tmp_path)
    assert "runs compared" in text
    for figure in (
        "sequence accuracy (validation)",
        "gradient norm of the attention (mean so far)",
        "gradient norm (before clipping, mean so far)",
    ):
        assert figure in text
    assert "Matches (2)" in text  # the runs that lived to a logged step share each chart
