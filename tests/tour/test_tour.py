"""The tour: its numbers are those of attnlab.functional and autograd, its figures are there, its page stands
alone."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnlab import functional
from attnlab.cli import tour as command
from attnlab.config.composing import choices
from attnlab.microscope import survey
from attnlab.microscope.gradients import exact_gradient, sample_gradients
from attnlab.tour import arrows, code, example, figures, page, training, words

ROOT = Path(__file__).parents[2]
SOME = ["gumbel_softmax", "hard_exact", "hard_reinforce", "hard_straight_through", "soft"]
POSITIONS = torch.arange(5, dtype=torch.float64)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command writes, with arrows of a few mechanisms."""
    out = tmp_path_factory.mktemp("tour") / "deep" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnlab.config.composing.choices", lambda group: SOME)
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


def test_the_example_says_what_the_softargmax_is_not() -> None:
    x = [0.1, 0.3, 0.6, 2.1, 0.55]
    shares = [math.exp(score) / sum(map(math.exp, x)) for score in x]
    mean = sum(share * i for i, share in enumerate(shares))
    loss = sum(share * (i - 3) ** 2 for i, share in enumerate(shares))
    bump = [math.exp(math.exp(-((i - 10) ** 2) / 8)) for i in range(64)]
    drawn = sum(i * power for i, power in enumerate(bump)) / sum(bump)
    text = example.text()
    for answer in (
        f"{max(abs(p * (i - mean)) for i, p in enumerate(shares)):.2g} at beta 1, ",
        "0 at beta 100, 0 at beta 1e+10.",
        "5.0 at beta 0.1, 5.0 at beta 1, 5.0 at beta 1e+10.",
        "3.5 is opposite to both; softargmax(x, period=8) gives 7.5.",
        f"{drawn:.1f} at beta 1, ",
        f"(i - 3)^2 at the softargmax is {(mean - 3) ** 2:.3f}, its mean {loss:.3f}:",
        f"the variance, {loss - (mean - 3) ** 2:.3f}, is lost.",
    ):
        assert answer in text
    assert round(drawn) == 29


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
    assert " ".join(capsys.readouterr().err.split()).endswith(told)
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
    said = {name: arrows.caption(arrows.measured(name)) for name in SOME}
    assert said["hard_exact"] == "exact, no noise."
    assert said["soft"] == "another objective, soft; exact, no noise."
    assert re.fullmatch(r"no bias; one estimate is off by \d+\s%\.", said["hard_reinforce"])
    assert re.fullmatch(r"a bias of \d+\s%; one estimate is off by \d+\s%\.", said["hard_straight_through"])


def test_the_mean_arrow_of_an_unbiased_mechanism_is_the_exact_one() -> None:
    measured = arrows.measured("hard_reinforce")
    off = (measured.single.mean(0) - measured.expected) / (measured.single.std(0) / arrows.DRAWS**0.5)
    assert off.abs().max() < 4
    torch.testing.assert_close(
        sample_gradients(["attention=hard_exact"], arrows.SCORES, arrows.cost, 1)[0], measured.expected
    )


@pytest.mark.slow
def test_every_mechanism_on_disk_has_its_arrows() -> None:
    names = choices("attention")
    assert set(names) == {path.stem for path in (ROOT / "configs" / "attention").glob("[!_]*.yaml")}
    for name in names:
        measured = arrows.measured(name)
        assert arrows.arrows(measured) and arrows.caption(measured).endswith(".")


# the page's words


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return words.numbers()


def test_the_ten_lines_print_what_functional_computes() -> None:
    assert len([line for line in code.TEN_LINES.splitlines() if line]) <= 10
    first, *rest = code.printed().splitlines()
    assert first == "argmax 3 reads [4.0, 1.0]"
    for line, beta in zip(rest, (1, 3, 10), strict=True):
        index, slope = re.findall(r": (\d\.\d+), slope (\d\.\d+)", line)[0]
        assert float(index) == pytest.approx(float(functional.softargmax(example.SCORES, beta)), abs=5.1e-3)
        assert float(slope) == pytest.approx(float(example.gradient(example.SCORES, beta).norm()), abs=5.1e-5)


def test_no_figure_on_the_page_is_typed_by_hand() -> None:
    for name in ("page.html", "sliders.html"):
        text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page._read(name), flags=re.DOTALL)
        assert re.findall(r"\d+\.\d+(?:\.\d)*", text.replace("{{", " {{")) in ([], ["6.2.2.3"]), name


def test_a_classifier_is_trained_soft_and_read_hard(found: dict[str, str]) -> None:
    assert found["argmax_of_softmax"] == found["argmax"] == "3"
    shares = example.SCORES.exp() / example.SCORES.exp().sum()
    slope = [float(number.replace("−", "-")) for number in found["classifier_slope"].split(",")]
    assert slope == pytest.approx((shares - torch.tensor([0, 0, 1.0, 0, 0])).tolist(), abs=5.1e-3)
    assert float(found["classifier_loss"]) == pytest.approx(-float(shares[2].log()), abs=5.1e-3)


def test_uses_and_meanings_are_what_their_sentences_say(found: dict[str, str]) -> None:
    spread = float(found["dot_spread"])
    assert spread == pytest.approx(float(found["root"]), abs=0.1)  # the variance of a sum of d products is d
    top, scaled = (
        float(found[name].split("\N{NO-BREAK SPACE}")[0]) for name in ("top_of_dots", "top_of_scaled")
    )
    assert top > 2 * scaled
    row, column = (float(number) for number in found["keypoint"].strip("()").split(","))
    assert 1 < row < 1.5 and 3.5 < column < 5  # between the peak at (1, 5) and the middle at (1.5, 3.5)
    assert found["keypoint_at_20"] == "(1.00, 5.00)"
    assert found["disparity"] == "3.40" and found["nearest"] == "3"
    assert float(found["logsumexp"]) > float(found["max"])
    assert found["tied_shared_index"] == "2" and found["tied_argmax"] == "1"


def test_reinmax_may_be_further_off_than_straight_through_and_the_page_says_so(found: dict[str, str]) -> None:
    """Exactly, over every draw: the bias of both for the exponential cost, by their definitions in the
    papers."""
    scores = torch.tensor(survey.SCORES, dtype=torch.float64)
    p, exact = scores.softmax(0), exact_gradient(scores, survey.exponential)

    def through(soft: torch.Tensor, draw: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
        read = draw + soft - soft.detach()
        return torch.autograd.grad(survey.exponential(read[None, None]).sum(), leaf)[0]

    mean = {"reinmax": torch.zeros_like(p), "hard_straight_through": torch.zeros_like(p)}
    for s, draw in enumerate(torch.eye(len(p), dtype=torch.float64)):
        leaf = scores.clone().requires_grad_()
        soft = leaf.softmax(0)
        mean["hard_straight_through"] += p[s] * through(soft, draw, leaf)
        leaf = scores.clone().requires_grad_()
        middle = ((((p + draw) / 2).log() - leaf).detach() + leaf).softmax(0)
        mean["reinmax"] += p[s] * through(2 * middle - leaf.softmax(0) / 2, draw, leaf)
    for name, gradient in mean.items():
        bias = float((gradient - exact).norm() / exact.norm())
        assert float(found[f"bias_of_{name}"]) == pytest.approx(bias, abs=0.03), name
    assert found["bias_of_reinmax"] > found["bias_of_hard_straight_through"]


def test_what_the_sliders_say_of_each_mechanism_is_measured() -> None:
    said = words.measured(
        ["soft", "hard_exact", "hard_reinforce_1", "hard_reinforce", "hard_straight_through"]
    )
    assert said["measured_soft"] == "another objective, soft; exact, no noise."
    assert said["measured_hard_exact"] == "exact, no noise."
    off = {name: int(found[1]) for name, text in said.items() if (found := re.search(r"off by (\d+)", text))}
    assert off["measured_hard_reinforce"] < off["measured_hard_reinforce_1"]
    assert "no bias" in said["measured_hard_reinforce"] and "a bias" in said["measured_hard_straight_through"]
