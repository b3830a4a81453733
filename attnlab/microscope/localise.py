"""The place of a peak, read off a map of scores as heatmaps are read: what softargmax errs by, and how much
gradient each way of training it leaves, against beta."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab import functional
from attnlab.coordinates import expected
from attnlab.core.interfaces import Mechanism
from attnlab.microscope.gradients import mechanism_of, surrogate_at
from attnlab.randomness import Randomness, generator_for
from attnlab.tasks.localise import Dimensions, Relief, relief


class Scene(NamedTuple):
    """Maps with a peak exp(-d^2 / (2 width^2)) over the distance d from a uniform centre."""

    size: int = 32  # places a side
    dimensions: Dimensions = 1
    width: float = 1.0
    noise: float = 0.0  # deviation of what is added to every score
    second: float = 0.0  # height of another peak, at another uniform centre
    circle: bool = False  # whether the last place is beside the first
    edge: bool = False  # whether the centre is the first place

    def maps(self, examples: int, seed: int = 0) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B D"]]:
        """Scores of so many maps, row by row, and their centres."""
        generator = generator_for(seed, "localise", 0)
        ground = self._ground(examples)
        drawn = torch.rand(2, examples, self.dimensions, generator=generator, dtype=torch.float64)
        centre, other = (drawn * self.size).long()
        centre = centre * (not self.edge)
        scores = torch.maximum(ground.peak(centre, self.width), self.second * ground.peak(other, self.width))
        noise = torch.randn(scores.shape, generator=generator, dtype=torch.float64)
        return scores + self.noise * noise, centre.double()

    def _ground(self, examples: int) -> Relief:
        size = torch.full((examples, 1), self.size)
        return relief(size, self.size, self.dimensions, self.circle)

    def read(self, weights: Float[Tensor, "... P"]) -> Float[Tensor, "... D"]:
        """The mean place under weights, on a circle the direction of the mean: `functional.softargmax`."""
        shaped = weights.unflatten(-1, (self.size,) * self.dimensions)
        axes = tuple(range(-self.dimensions, 0))
        return expected(shaped, axes, None, self.size if self.circle else None, False)

    def squared(self, read: Float[Tensor, "... D"], centre: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """The squared distance between two places."""
        apart = read - centre
        if self.circle:
            apart = (apart + self.size / 2).remainder(self.size) - self.size / 2
        return apart.square().sum(-1)


SCENES: Mapping[str, Scene] = {
    "one peak on a line of 32": Scene(),
    "with noise of 0.25": Scene(noise=0.25),
    "with a second peak, 0.8 as high": Scene(second=0.8),
    "at the edge": Scene(edge=True),
    "on a circle of 32": Scene(circle=True),
    "on a square of 8 x 8": Scene(size=8, dimensions=2),
}
BETAS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)
WAYS: Mapping[str, Sequence[str]] = {
    "softargmax": ["attention=soft"],
    "expected": ["attention=hard_exact"],
    "straight": ["attention=hard_straight_through"],
    "REINFORCE": ["attention=hard_reinforce"],
}
"""Ways to train a place to be read: the loss of the mean place, the mean loss of a place, exactly, and two
estimates of the latter by draws."""


def closed_form(
    share: Float[Tensor, "*B"], centre: Float[Tensor, "*B"], size: int, dimensions: int = 1
) -> Float[Tensor, "*B"]:
    """The bias of softargmax along a side for a peak of one place of that share, all others alike:
    (1 - p) N / (N - 1) ((n - 1) / 2 - c), of N = n^D places."""
    places = size**dimensions
    return (1 - share) * places / (places - 1) * ((size - 1) / 2 - centre)


def gradient_norm(
    mechanism: Mechanism,
    scene: Scene,
    scores: Float[Tensor, "B P"],
    centre: Float[Tensor, "B D"],
    beta: float,
) -> float:
    """Root mean square over maps of the length of one gradient estimate in the scores; the loss is the
    squared distance between what is read and the centre."""
    leaf = scores[None, :, None].clone().requires_grad_()
    randomness = Randomness(generator_for(0, "microscope", 0))

    def loss(weights: Float[Tensor, "K B 1 P"]) -> Float[Tensor, "K B 1"]:
        return scene.squared(scene.read(weights), centre[:, None])

    surrogate, _ = surrogate_at(mechanism, beta * leaf, loss, randomness)
    (gradient,) = torch.autograd.grad(surrogate.sum(), leaf)
    return gradient.square().sum(-1).mean().sqrt().item()


def lines(examples: int, seed: int = 0) -> Iterator[str]:
    """A table a scene: root mean square errors, in places, and lengths of gradients, against beta; then the
    bias of softargmax against the place of the peak."""
    mechanisms = {name: mechanism_of(overrides) for name, overrides in WAYS.items()}
    yield f"{examples:,} maps each, of a peak 1 high and 1 place wide; errors in places, root"
    yield "mean square, of what is read off; of the gradient of the squared error in"
    yield "the scores, the length of one estimate, by what is trained."
    heading = f"{'beta':>6}{'softargmax':>12}{'argmax':>8}  gradient" + "".join(
        f"{name:>11}" for name in WAYS
    )
    for name, scene in SCENES.items():
        scores, centre = scene.maps(examples, seed)
        hard = _error(scene, functional.hardmax(scores), centre)
        yield f"\n{name}\n{heading}"
        for beta in BETAS:
            error = _error(scene, functional.softmax(scores, beta), centre)
            norms = (gradient_norm(one, scene, scores, centre, beta) for one in mechanisms.values())
            cells = "".join(f"{norm:11.3g}" for norm in norms)
            yield f"{beta:6g}{error:12.3f}{hard:8.3f}{'':10}{cells}"
    yield from _biases()


def _error(scene: Scene, weights: Tensor, centre: Tensor) -> float:
    return scene.squared(scene.read(weights), centre).mean().sqrt().item()


def _biases(beta: float = 5.0) -> Iterator[str]:
    """Bias by position on a line without noise, beside the closed form, which is of a peak of one place."""
    yield f"\nbias of softargmax by the place of the peak, at a beta of {beta:g}"
    yield f"{'place':>6}{'one place wide':>16}{'closed form':>13}{'narrow':>10}{'closed form':>13}"
    found = [_bias(Scene(width=width), beta) for width in (1.0, _NARROW)]
    for place in [*range(0, Scene().size, 4), Scene().size - 1]:
        wide, narrow = ((bias[place].item(), law[place].item()) for bias, law in found)
        yield f"{place:6}{wide[0]:16.3f}{wide[1]:13.3f}{narrow[0]:10.3f}{narrow[1]:13.3f}"


_NARROW = 0.1
"""Of a peak of this width, the next place is e^-50 high."""


def _bias(scene: Scene, beta: float) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """What softargmax gives less what is right, for a peak at each place of a line; and the closed form."""
    place = torch.arange(scene.size)[:, None]
    size = torch.full_like(place, scene.size)
    scores = relief(size, scene.size, 1, scene.circle).peak(place, scene.width)
    weights = functional.softmax(scores, beta)
    centre = place[:, 0].double()
    return scene.read(weights)[:, 0] - centre, closed_form(weights.diagonal(), centre, scene.size)
