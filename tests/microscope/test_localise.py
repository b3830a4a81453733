"""The place of a peak, read off a map of scores."""

import math

import pytest
import torch

from attnlab import functional
from attnlab.cli.microscope import microscope
from attnlab.microscope.gradients import mechanism_of
from attnlab.microscope.localise import SCENES, Scene, closed_form, gradient_norm

NARROW = 0.05


@pytest.mark.parametrize("beta", [0.7, 4.0, 30.0])
@pytest.mark.parametrize(("dimensions", "size"), [(1, 11), (2, 7)])
def test_the_bias_of_softargmax_on_a_peak_of_one_place_is_the_closed_form(
    dimensions: int, size: int, beta: float
):
    scores, centre = Scene(size=size, dimensions=dimensions, width=NARROW).maps(50)  # pyright: ignore
    maps = scores.view(-1, *[size] * dimensions)
    read = functional.softargmax(maps, beta, dim=tuple(range(1, 1 + dimensions)))
    share = 1 / (1 + (size**dimensions - 1) * math.exp(-beta))
    for along in range(dimensions):
        law = closed_form(torch.full_like(centre[:, along], share), centre[:, along], size, dimensions)
        torch.testing.assert_close(read[:, along] - centre[:, along], law, rtol=0, atol=1e-6)
    assert (read - centre).abs().max() > 1e-6 or beta > 20, "there is a bias"


@pytest.mark.parametrize("name", SCENES)
def test_a_place_is_read_as_softargmax_reads_it(name: str):
    scene = SCENES[name]
    scores, centre = scene.maps(7, seed=3)
    maps = scores.view(-1, *[scene.size] * scene.dimensions)
    period = scene.size if scene.circle else None
    expected = functional.softargmax(maps, 2.5, dim=tuple(range(1, maps.ndim)), period=period)
    torch.testing.assert_close(scene.read(functional.softmax(scores, 2.5)), expected)
    assert not (scene.edge and centre.any()) and len(centre.unique()) > 1 - scene.edge


def test_on_a_circle_the_last_place_is_beside_the_first():
    one, other = torch.tensor([[0.5]]), torch.tensor([[9.0]])
    assert Scene(size=10, circle=True).squared(one, other).item() == 2.25
    assert Scene(size=10).squared(one, other).item() == 72.25


def test_gradients_are_those_of_the_loss_of_the_mean_and_of_the_mean_loss():
    scene, beta = Scene(size=9, noise=0.3), 1.7
    scores, centre = scene.maps(5)
    place = torch.arange(9.0).double()
    found = {}
    for name, apart in (
        ("soft", lambda p: (p @ place - centre[:, 0]) ** 2),
        ("hard_exact", lambda p: (p * (place - centre) ** 2).sum(1)),
    ):
        leaf = scores.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(apart(torch.softmax(beta * leaf, 1)).sum(), leaf)
        found[name] = gradient.square().sum(1).mean().sqrt().item()
        measured = gradient_norm(mechanism_of([f"attention={name}"]), scene, scores, centre, beta)
        assert measured == pytest.approx(found[name], rel=1e-12)
    assert found["soft"] < 0.9 * found["hard_exact"]


def test_the_command_prints_a_table_a_scene_and_the_closed_form(capsys: pytest.CaptureFixture[str]):
    assert microscope(["--localise", "--draws", "4"], None) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name}\n" in printed for name in SCENES)
    rows = [line.split() for line in printed.partition("bias of softargmax")[2].splitlines()[2:]]
    assert len(rows) == 9 and all(row[3] == row[4] for row in rows)
    assert any(row[1] != row[2] for row in rows), "a wide peak is no peak of one place"
    assert max(map(len, printed.splitlines())) <= 80


def test_what_is_not_asked_of_a_place_is_refused(capsys: pytest.CaptureFixture[str]):
    assert microscope(["--localise", "attention=soft"], None) == 2
    assert "--localise, which takes --draws and --seed" in capsys.readouterr().err
