"""The tour: its numbers are those of attnlab.functional and autograd, its figures are there, its page stands
alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnlab import functional
from attnlab.config import choices
from attnlab.microscope import sample_gradients
from attnlab.tour import arrows, command, example, figures, page, training

ROOT = Path(__file__).parents[1]
SOME = ["gumbel_softmax", "hard_exact", "hard_reinforce", "hard_straight_through", "soft"]
POSITIONS = torch.arange(5, dtype=torch.float64)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command writes, with arrows of a few mechanisms."""
    out = tmp_path_factory.mktemp("tour") / "deep" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnlab.config.choices", lambda group: SOME)
        assert command.tour(["--out", str(out)], None) == 0
    return out


# the example


def row(label: str) -> list[float]:
    """The numbers of the first line of the example that starts with a label."""
    line = next(line for line in example.text().splitlines() if line.strip().startswith(label))
    return [float(number) for number in line.replace(label, "", 1).split()[:5]]


def test_the_example_prints_what_functional_computes() -> None:
    x = torch.tensor([0.1, 0.3, 0.6, 2.1, 0.55], dtype=torch.float64)
    assert row("x ") == x.tolist() and row("max(x)") == [2.1]
    assert row("hardmax(x)") == functional.hardmax(x).tolist()
    assert row("softmax(x)") == pytest.approx(functional.softmax(x).tolist(), abs=5e-4)
    text = example.text()
    assert (
        f"1*3 + 0*4 = {functional.argmax(x)}" in text and f"0.122*4 = {functional.softargmax(x):.2f}" in text
    )
    assert "softargmax 3.00" in next(line for line in text.splitlines() if "beta 10 " in line)


def test_the_example_gives_the_known_answers() -> None:
    text = example.text()
    for answer in (
        "0*4 = 3\n",
        "0.122*4 = 2.57\n",
        "the first, 1.",
        "goes to 2.00, the mean of 1 and",
        "a score of 0.60",
    ):
        assert answer in text


def test_the_example_fits_eighty_columns() -> None:
    assert max(map(len, example.text().splitlines())) <= 80


@pytest.mark.parametrize("beta", [0.1, 1.0, 7.0])
def test_the_gradient_of_softargmax_has_the_formula_that_the_tour_names(beta: float) -> None:
    scores = torch.tensor([0.3, -1.2, 0.8, 0.5, 0.0], dtype=torch.float64)
    weights, index = functional.softmax(scores, beta), functional.softargmax(scores, beta)
    torch.testing.assert_close(
        example.gradient(scores, beta), beta * weights * (POSITIONS - index), rtol=1e-12, atol=1e-14
    )


def test_the_gradient_grows_with_beta_and_then_dies() -> None:
    small, between, large = training.gradient_norms(torch.tensor([0.1, 1.0, 20.0]))
    assert small < between > 1e3 * large


# the command


def test_every_figure_is_written_and_none_is_blank(tour: Path) -> None:
    names = [f"{draw.__name__}.png" for draw in (*figures.FIGURES, *training.FIGURES)]
    for name in [*names, *(f"arrows/{mechanism}.png" for mechanism in SOME)]:
        pixels = imread(tour / name)
        assert pixels.shape[0] > 300 and (pixels[..., :3] < 0.9).any(-1).mean() > 0.005, name


def test_the_figures_are_the_same_whenever_they_are_drawn() -> None:
    assert figures.beta_curves() == figures.beta_curves()


def test_the_page_is_filled_from_the_numbers_it_is_given() -> None:
    text = page.page(
        dict.fromkeys([f"{draw.__name__}.png" for draw in (*figures.FIGURES, *training.FIGURES)], b"png"), []
    )
    assert "data:image/png;base64,cG5n" in text and "0.122·4 = 2.57" in text


def test_tensorboard_has_every_figure_and_the_curves_over_beta(tour: Path) -> None:
    board = EventAccumulator(str(tour / "tensorboard")).Reload()
    assert len(board.Tags()["images"]) == len(list(tour.rglob("*.png"))) == 7 + len(SOME)
    points = {event.step: event.value for event in board.Scalars("beta_times_10/softargmax")}
    for step in (1, 10, 100):
        assert points[step] == pytest.approx(float(functional.softargmax(example.SCORES, step / 10)))
    assert board.Scalars("beta_times_10/gradient_norm")[9].value == pytest.approx(
        training.gradient_norms(torch.ones(1))[0]
    )


def test_writing_twice_leaves_one_event_file(tour: Path) -> None:
    from attnlab.tour import board

    board.write({}, tour / "again")
    board.write({}, tour / "again")
    assert len(list((tour / "again").iterdir())) == 1


def test_the_page_refers_to_nothing_outside_itself(tour: Path) -> None:
    text = (tour / "tour.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//cdn|@import|url\(|{{", text)
    targets = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text)
    assert len(targets) > 10 and all(target.startswith(("data:", "#")) for target in targets)
    assert "default-src 'none'" in text  # and a browser would refuse


def test_the_page_names_every_mechanism_with_what_it_does(tour: Path) -> None:
    text = (tour / "tour.html").read_text(encoding="utf-8")
    for name in SOME:
        assert f"<b>{name}</b>" in text.replace("<wbr>", "")


def test_help_imports_neither_torch_nor_what_draws() -> None:
    code = """import runpy, sys
for name in ("torch", "matplotlib", "tensorboard"): sys.modules[name] = None
sys.argv = ["scripts/tour.py", "--help"]
runpy.run_path("scripts/tour.py", run_name="__main__")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "--out DIR" in done.stdout and done.stderr == ""


def test_a_file_is_no_folder_to_write_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert command.tour(["--out", str(tmp_path / "file")], None) == 2
    told = f"error: --out names a folder to write to, and {tmp_path / 'file'} is a file"
    assert " ".join(capsys.readouterr().err.split()) == told
    assert command.tour(["--out", str(tmp_path / "file" / "below")], None) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--out"], ["--outt", "x"], ["tour", "tour"]])
def test_what_cannot_be_read_ends_with_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.tour(arguments, None)
    assert "usage" in capsys.readouterr().err


# arrows


def test_the_arrows_lie_in_the_plane_with_their_lengths_kept() -> None:
    gradients = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients -= gradients.mean(-1, keepdim=True)
    torch.testing.assert_close(arrows._flat(gradients).norm(dim=-1), gradients.norm(dim=-1))


def test_captions_tell_bias_noise_and_other_objectives() -> None:
    said = {name: arrows.caption(arrows.measure(name)) for name in SOME}
    assert said["hard_exact"] == "exact, no noise."
    assert said["soft"] == "another objective, soft; exact, no noise."
    assert re.fullmatch(r"no bias; one estimate is off by \d+\s%\.", said["hard_reinforce"])
    assert re.fullmatch(r"a bias of \d+\s%; one estimate is off by \d+\s%\.", said["hard_straight_through"])


def test_the_mean_arrow_of_an_unbiased_mechanism_is_the_exact_one() -> None:
    measured = arrows.measure("hard_reinforce")
    off = (measured.single.mean(0) - measured.expected) / (measured.single.std(0) / arrows.DRAWS**0.5)
    assert off.abs().max() < 4
    torch.testing.assert_close(
        sample_gradients(["attention=hard_exact"], arrows.SCORES, arrows.cost, 1)[0], measured.expected
    )


@pytest.mark.slow
def test_every_mechanism_on_disk_has_its_arrows() -> None:
    names = choices("attention")
    assert set(names) == {path.stem for path in (ROOT / "configs" / "attention").glob("*.yaml")}
    for name in names:
        measured = arrows.measure(name)
        assert arrows.arrows(measured) and arrows.caption(measured).endswith(".")
