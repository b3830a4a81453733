"""Bias, variance, cosine and cost of every mechanism's gradient at one place: the reference problems over
eight positions."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.config.choice_files import settings_in
from attnlab.config.code_names import marked, offered
from attnlab.config.composing import choices
from attnlab.config.places import CONFIGS
from attnlab.config.signatures import settings_of
from attnlab.microscope.gradients import Loss, exact_gradient, mechanism_of, sample_gradients
from attnlab.microscope.hotelling import SIGNIFICANT, chance_of

SCORES = (0.9, -0.4, 0.3, -1.2, 0.6, 0.0, -0.8, 1.1)
COSTS = (2.0, -1.0, 0.5, 1.5, -2.0, 0.0, 1.0, -0.5)


def linear(weights: Float[Tensor, "K N S"]) -> Float[Tensor, "K N"]:
    """c . w."""
    return weights @ _vector(COSTS, weights)


def quadratic(weights: Float[Tensor, "K N S"]) -> Float[Tensor, "K N"]:
    """w' A w / 2 + c . w with A_ij = 2 cos(0.7 i j), i and j from 1."""
    index = torch.arange(1, len(COSTS) + 1, dtype=weights.dtype, device=weights.device)
    bends = 2 * torch.cos(0.7 * index[:, None] * index)
    return ((weights @ bends) * weights).sum(-1) / 2 + linear(weights)


def exponential(weights: Float[Tensor, "K N S"]) -> Float[Tensor, "K N"]:
    """exp(c . w): far from any polynomial of low degree."""
    return linear(weights).exp()


PROBLEMS: dict[str, Loss] = {"linear": linear, "quadratic": quadratic, "exponential": exponential}


class _Measurement(NamedTuple):
    """A mechanism on one problem, against the exact gradient of its own objective; nan where that is zero."""

    relative_bias: float  # |mean - exact| / |exact| without what noise adds to it; 0 where noise is all
    error: float  # its standard error
    limit: float  # what the bias is below as far as can be told: twice the noise, or the distance if larger
    p_value: float  # chance that an unbiased mechanism is as far off
    cosine: float  # of the mean with the exact gradient
    relative_variance: float  # trace of the covariance of one estimate / |exact|^2
    cost: int  # evaluations of the loss for one estimate

    @property
    def biased(self) -> bool:
        """Whether chance does not explain the distance from the exact gradient."""
        return self.limit > 1e-9 and self.p_value < SIGNIFICANT


def measure(overrides: Sequence[str], loss: Loss, draws: int, seed: int = 0) -> _Measurement:
    """Figures of `draws` estimates at SCORES."""
    scores = torch.tensor(SCORES, dtype=torch.float64)
    cost = 0

    def counted(weights: Tensor) -> Tensor:
        nonlocal cost
        cost = len(weights)
        return loss(weights)

    estimates = sample_gradients(overrides, scores, counted, draws, seed)
    exact = exact_gradient(scores, loss, overrides=overrides)
    if not exact.any():
        return _Measurement(math.nan, math.nan, math.nan, 1.0, math.nan, math.nan, cost)
    mean, length = estimates.mean(0), exact.norm()
    covariance = torch.cov(estimates.T)
    difference = mean - exact
    distance, noise = difference.norm(), (covariance.trace() / draws).sqrt()
    # the noise of a mean makes its distance longer: E |mean - exact|^2 = |bias|^2 + trace(covariance) / draws
    bias = (distance.square() - noise.square()).clamp_min(0.0).sqrt()
    direction = difference / distance.clamp_min(torch.finfo(distance.dtype).tiny)
    error = (direction @ covariance @ direction / draws).clamp_min(0.0).sqrt()
    cosine = torch.nn.functional.cosine_similarity(mean, exact, 0)
    lengths = torch.stack([bias, error, torch.maximum(2 * noise, distance)]) / length
    spread = covariance.trace() / length.square()
    p_value = chance_of(difference, covariance, draws)
    found, its_error, limit = lengths.tolist()
    return _Measurement(found, its_error, limit, p_value, cosine.item(), spread.item(), cost)


def jobs() -> list[list[str]]:
    """Overrides of every mechanism with its defaults, and with each of its baselines where it has some."""
    found = []
    for name in choices("attention"):
        target = settings_in(CONFIGS / "attention" / f"{name}.yaml")["_target_"]
        named = {f"attention.{key}": offered(mark) for key, mark in marked(settings_of(target)).items()}
        settings = [[f"{key}={word}"] for key, words in named.items() for word in words]
        found += [[f"attention={name}", *setting] for setting in settings or [[]]]
    return found


def lines(jobs: Sequence[Sequence[str]], draws: int, seed: int = 0) -> Iterator[str]:
    """One table a problem, a line or two a mechanism as it is measured, at most 80 columns wide."""
    yield f"{len(SCORES)} positions, {draws:,} estimates each; bias against the mechanism's own objective."
    yield "x±e: the bias, less what noise adds to it, and its standard error; <x: what is"
    yield "told from 0 only above x, twice the noise of the mean."
    named = [(overrides, _words(overrides), mechanism_of(overrides).facts.objective) for overrides in jobs]
    for problem, loss in PROBLEMS.items():
        yield f"\n{problem}: {(loss.__doc__ or '').rstrip('.')}"
        yield f"{'mechanism':25}{'objective':>10}{'bias':>13}{'cosine':>10}{'variance':>10}{'cost':>6}"
        for overrides, (name, *changes), objective in named:
            found = measure(overrides, loss, draws, seed)
            cosine = "-" if math.isnan(found.cosine) else f"{found.cosine:.4f}"
            row = [
                f"{name:25}{objective:>10}{bias(found):>13}{cosine:>10}{variance(found):>10}{found.cost:6}"
            ]
            yield "\n".join([*row, *(f"  {setting}" for setting in changes)])


def _words(overrides: Sequence[str]) -> list[str]:
    """What a table calls a mechanism: its name and its settings, without the word attention."""
    own = sorted(
        (part for part in overrides if part.startswith("attention")), key=lambda part: "=" not in part[:10]
    )
    return [part.removeprefix("attention=").removeprefix("attention.") for part in own]


def bias(found: _Measurement) -> str:
    """The relative bias with its standard error, where it has one, or the limit that it is below."""
    if math.isnan(found.relative_bias):
        return "-"
    if found.limit < 1e-9:
        return "0"
    if not found.biased:
        return f"<{found.limit:.3f}"
    return f"{found.relative_bias:.3f}" + (f"±{found.error:.3f}" if found.error > 1e-9 else "")


def variance(found: _Measurement) -> str:
    """The relative variance; 0 where nothing is drawn."""
    if math.isnan(found.relative_variance):
        return "-"
    return "0" if found.relative_variance < 1e-12 else f"{found.relative_variance:.2f}"


def markdown(jobs: Iterable[Sequence[str]], draws: int, seed: int = 0) -> str:
    """The table of docs/mechanisms.md, one line a mechanism."""
    problems = " / ".join(PROBLEMS)
    lines = [
        f"| `attention=` | paper | objective | unbiased | evaluations | relative bias: {problems} | "
        "relative variance |",
        "|---|---|---|---|---|---|---|",
    ]
    for overrides in jobs:
        name, *changes = _words(overrides)
        facts = mechanism_of(overrides).facts
        found = [measure(overrides, loss, draws, seed) for loss in PROBLEMS.values()]
        label = " ".join([f"`{name}`", *(f"`{setting}`" for setting in changes)])
        objective = facts.objective + (f", bound of {facts.bound} draws" if facts.bound else "")
        unbiased = "yes" if facts.unbiased else "no"
        cells = [label, facts.paper, objective, unbiased, str(found[0].cost)]
        cells += [" / ".join(map(show, found)) for show in (bias, variance)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _vector(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
