"""The tour's sliders in a real browser, held against attnlab.functional and autograd: headless Chromium,
where installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import CHROMIUM, Browser
from torch import Tensor

from attnlab import functional
from attnlab.tour import example, figures, page, training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]
POSITIONS = torch.arange(5, dtype=torch.float64)

DETERMINISTIC = [
    "soft",
    "entmax15",
    "sparsemax",
    "argmax",
    "argmax_straight_through",
    "hard_exact",
    "hard_marginal",
]
RANDOM = [
    "hard_reinforce_1",
    "hard_reinforce",
    "hard_straight_through",
    "reinmax",
    "gumbel_softmax",
    "gumbel_straight_through",
]
WEIGHTS = {"entmax15": functional.entmax15, "sparsemax": functional.sparsemax, "argmax": functional.hardmax}
MOVES = [  # where the sliders are put: scores, log10 beta, target
    ([0.1, 0.3, 0.6, 2.1, 0.55], 0.0, 1.0),
    ([-3.0, 3.0, 0.0, -1.25, 2.9], -1.0, 4.0),
    ([1.0, 1.05, -0.5, 0.95, 0.4], 0.76, 2.3),
    ([2.1, -0.3, 2.1, 0.2, 2.05], 2.0, 0.0),
    ([0.0, 0.0, 0.0, 0.0, 0.0], 0.3, 3.0),
]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with pictures of nothing for the mechanisms of the longest names."""
    path = tmp_path_factory.mktemp("page") / "tour.html"
    drawn = {f"{draw.__name__}.png": draw() for draw in (*figures.FIGURES, *training.FIGURES)}
    longest = ["argmax_straight_through", "gumbel_straight_through", "sparsemax_expected"]
    gallery = [page.Picture(name, drawn["attention.png"], "a bias of 183 %.") for name in longest]
    path.write_text(page.page(drawn, gallery), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page in a window of a desktop."""
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(html, 1200, 900)
        yield opened


def move(browser: Browser, **values: Any) -> dict[str, Any]:
    """Put sliders and choices where a person would, and read the page's numbers."""
    for name, value in values.items():
        browser.run(
            f"""(() => {{ const control = document.getElementById({name.replace("_", "-")!r});
            control.value = {value!r};
            control.dispatchEvent(new Event("input", {{ bubbles: true }})); }})()"""
        )
    return browser.run("JSON.parse(document.getElementById('sliders').dataset.numbers)")


def cost(shown: dict[str, Any], index: Tensor) -> Tensor:
    return index if shown["cost"] == "index" else (index - shown["target"]) ** 2


def reference(shown: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, expected index and gradient of what the page shows, by attnlab.functional and autograd."""
    scores = torch.tensor(shown["scores"], dtype=torch.float64, requires_grad=True)
    weights = WEIGHTS.get(shown["mechanism"], functional.softmax)(shown["beta"] * scores)
    each = cost(shown, POSITIONS)
    paid = {
        "hard_exact": weights @ each,
        "hard_marginal": -(weights @ (-each).exp()).log(),
        "argmax_straight_through": cost(
            shown, functional.straight_through(functional.hardmax(scores), weights) @ POSITIONS
        ),
    }.get(shown["mechanism"], cost(shown, weights @ POSITIONS))
    gradient = torch.autograd.grad(paid, scores)[0] if paid.requires_grad else torch.zeros_like(scores)
    assert shown["paid"] == pytest.approx(paid.item(), abs=1e-6)
    return weights.detach(), weights.detach() @ POSITIONS, gradient


@pytest.mark.parametrize("costs", ["index", "squared"])
@pytest.mark.parametrize("mechanism", DETERMINISTIC)
def test_moved_sliders_show_what_functional_and_autograd_compute(
    browser: Browser, mechanism: str, costs: str
) -> None:
    for scores, beta, target in MOVES:
        sliders = {f"score_{i}": score for i, score in enumerate(scores)}
        shown = move(browser, mechanism=mechanism, cost=costs, beta=beta, target=target, **sliders)
        assert shown["scores"] == pytest.approx(scores) and shown["beta"] == pytest.approx(10**beta)
        assert shown["argmax"] == int(functional.argmax(torch.tensor(scores)))
        weights, index, gradient = reference(shown)
        assert shown["weights"] == pytest.approx(weights.tolist(), abs=1e-6)
        assert shown["expectedIndex"] == pytest.approx(float(index), abs=1e-6)
        assert shown["gradient"] == pytest.approx(gradient.tolist(), abs=1e-6)
        assert shown["norm"] == pytest.approx(float(gradient.norm()), abs=1e-6)
        assert (
            browser.run("document.getElementById('expected-index').textContent")
            == f"{shown['expectedIndex']:.2f}"
        )


def estimate(mechanism: str, z: Tensor, noise: Tensor, temperature: float, goal: float) -> Tensor:
    """The loss whose gradient one estimate is, for the squared distance from a goal; noise is (draws, S)."""
    p = functional.softmax(z)
    drawn = functional.hardmax(z + noise)
    paid = (drawn @ POSITIONS - goal) ** 2
    relaxed = functional.softmax((z + noise[0]) / temperature)
    if mechanism.startswith("hard_reinforce"):
        others = (paid.sum() - paid) / (len(paid) - 1) if len(paid) > 1 else 0.0
        return ((paid - others) * (drawn @ p.log())).mean()
    if mechanism == "reinmax":  # Liu et al. 2023, algorithm 2
        middle = functional.softmax((((p + drawn[0]) / 2).log() - z).detach() + z)
        read = functional.straight_through(drawn[0], 2 * middle - p / 2)
    else:
        soft = relaxed if mechanism.startswith("gumbel") else p
        read = soft if mechanism == "gumbel_softmax" else functional.straight_through(drawn[0], soft)
    return (read @ POSITIONS - goal) ** 2


@pytest.mark.parametrize("mechanism", RANDOM)
def test_a_single_estimate_is_the_gradient_that_autograd_finds_for_the_same_noise(
    browser: Browser, mechanism: str
) -> None:
    generator = torch.Generator().manual_seed(3)
    for temperature in (0.4, 1.0, 2.5):
        draws = browser.run(f"MECHANISMS.{mechanism}.draws")
        z = torch.randn(5, dtype=torch.float64, generator=generator)
        noise = -torch.empty(draws, 5, dtype=torch.float64).exponential_(generator=generator).log()
        call = f"estimate({z.tolist()}, COSTS.squared(1.3), {noise.tolist()}, {temperature})"
        found = browser.run(f"MECHANISMS.{mechanism}.{call}.gradient")
        leaf = z.clone().requires_grad_()
        wanted = torch.autograd.grad(estimate(mechanism, leaf, noise, temperature, 1.3), leaf)[0]
        assert found == pytest.approx(wanted.tolist(), abs=1e-9)


@pytest.mark.parametrize("mechanism", ["hard_reinforce_1", "hard_reinforce", "reinmax"])
def test_unbiased_estimates_average_to_the_exact_gradient(browser: Browser, mechanism: str) -> None:
    browser.run("document.getElementById('five').click()")
    shown = move(browser, mechanism=mechanism, cost="squared", beta=0, target=1, estimates=10)
    assert shown["estimates"] == 1024
    exact = reference(
        shown
        | {
            "mechanism": "hard_exact",
            "paid": float(functional.softmax(example.SCORES) @ (POSITIONS - 1) ** 2),
        }
    )
    assert shown["exact"] == pytest.approx(exact[2].tolist(), abs=1e-6)
    for mean, right, spread in zip(shown["gradient"], shown["exact"], shown["spread"], strict=True):
        assert abs(mean - right) < 5 * spread / 32


def test_draws_are_those_of_a_seed(browser: Browser) -> None:
    first = move(browser, mechanism="hard_straight_through", cost="squared", beta=0, estimates=6)
    browser.run("document.getElementById('redraw').click()")
    other = move(browser)
    assert other["reads"] != first["reads"] and len(other["reads"]) == 64
    browser.run("state.seed = 1")
    assert move(browser, beta=0)["reads"] == browser.run("numbers({...settings(), seed: 1}).reads")


def test_a_training_step_moves_the_scores_against_the_gradient(browser: Browser) -> None:
    browser.run("document.getElementById('five').click()")
    before = move(browser, mechanism="soft", cost="squared", beta=0, target=1)
    browser.run("document.getElementById('train').click()")
    after = move(browser)
    moved = [score - 0.5 * slope for score, slope in zip(before["scores"], before["gradient"], strict=True)]
    assert after["scores"] == pytest.approx(moved, abs=1e-12) and after["paid"] < before["paid"]


def test_play_takes_one_step_after_another_until_it_is_pressed_again(browser: Browser) -> None:
    browser.run("document.getElementById('five').click()")
    before = move(browser, mechanism="soft", cost="squared", beta=0, target=1)
    browser.run("document.getElementById('play-on').click()")
    browser.run("new Promise((done) => setTimeout(done, 1500))")
    browser.run("document.getElementById('play-on').click()")
    taken = browser.run("Number(document.getElementById('steps').textContent)")
    after = move(browser)
    browser.run("new Promise((done) => setTimeout(done, 400))")
    assert browser.run("Number(document.getElementById('steps').textContent)") == taken > 3
    scores = torch.tensor(before["scores"], dtype=torch.float64)
    for _ in range(int(taken)):  # as many steps of 0.5 against the gradient, by autograd
        leaf = scores.clone().requires_grad_()
        paid = (functional.softargmax(leaf) - 1) ** 2
        scores = (scores - 0.5 * torch.autograd.grad(paid, leaf)[0]).clamp(-3, 3)
    assert after["scores"] == pytest.approx(scores.tolist(), abs=1e-9)
    browser.run("document.getElementById('five').click()")
    assert browser.run("document.getElementById('steps').textContent") == "0"


def test_the_arrow_keys_move_a_slider_and_every_control_has_a_name(browser: Browser) -> None:
    browser.run("document.getElementById('five').click()")
    browser.run("document.getElementById('score-2').focus()")
    browser.press("ArrowRight", 4)
    assert move(browser)["scores"] == pytest.approx([0.1, 0.3, 0.8, 2.1, 0.55])
    nameless = (
        "[...document.querySelectorAll('#sliders input, #sliders select')].filter((each) => "
        "!each.labels.length).length"
    )
    assert browser.run(nameless) == 0


@pytest.mark.parametrize("mechanism", ["soft", "hard_reinforce", "gumbel_softmax"])
def test_a_phone_shows_the_page_without_scrolling_sideways(
    browser: Browser, html: Path, mechanism: str
) -> None:
    browser.open(html, 360, 640, mobile=True)
    move(browser, mechanism=mechanism, cost="squared")
    assert browser.run("[innerWidth, innerHeight]") == [360, 640]
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    shown = "[...document.querySelectorAll('#sliders input, #sliders select, #sliders button')]"
    boxes = f"{shown}.map((each) => each.getBoundingClientRect()).filter((box) => box.width)"
    controls = browser.run(f"{boxes}.map((box) => [box.left, box.right, box.width, box.height])")
    assert len(controls) >= 12
    for left, right, width, height in controls:
        assert left >= 0 and right <= 360 and width >= 100 and height >= 44  # a thumb's size
    assert not [address for address in browser.requests if not address.startswith(("file:", "data:"))]
