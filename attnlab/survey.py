"""Bias, variance, cosine and cost of every mechanism's gradient at one place: the reference problems over
eight positions."""

import importlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, get_args

import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from attnlab.config import CONFIGS, choices
from attnlab.microscope import Loss, exact_gradient, mechanism_of, sample_gradients, settings
from attnlab.signatures import settings_of

SCORES = (0.9, -0.4, 0.3, -1.2, 0.6, 0.0, -0.8, 1.1)
COSTS = (2.0, -1.0, 0.5, 1.5, -2.0, 0.0, 1.0, -0.5)
SIGNIFICANT = 1e-4  # what is less likely than this without bias is called bias


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


class Measurement(NamedTuple):
    """A mechanism on one problem, against the exact gradient of its own objective; nan where that is zero."""

    relative_bias: float  # |mean - exact| / |exact|
    error: float  # standard error of that: what an unbiased mechanism would show
    p_value: float  # chance that an unbiased mechanism is as far off
    cosine: float  # of the mean with the exact gradient
    relative_variance: float  # trace of the covariance of one estimate / |exact|^2
    cost: int  # evaluations of the loss for one estimate

    @property
    def biased(self) -> bool:
        """Whether chance does not explain the distance from the exact gradient."""
        return self.relative_bias > 1e-9 and self.p_value < SIGNIFICANT


class Claims(NamedTuple):
    """What the docstring of a mechanism's factory says."""

    paper: str
    bias: str
    cost: str


def measure(overrides: Sequence[str], loss: Loss, draws: int, seed: int = 0) -> Measurement:
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
        return Measurement(math.nan, math.nan, 1.0, math.nan, math.nan, cost)
    mean, length = estimates.mean(0), exact.norm()
    covariance = torch.cov(estimates.T)
    spread = covariance.trace() / length.square()
    bias = (mean - exact).norm() / length
    cosine = torch.nn.functional.cosine_similarity(mean, exact, 0)
    p_value = _p_value(mean - exact, covariance / draws)
    return Measurement(
        bias.item(), (spread / draws).sqrt().item(), p_value.item(), cosine.item(), spread.item(), cost
    )


def _p_value(difference: Tensor, covariance: Tensor) -> Tensor:
    """Chi-square test that the difference is 0; a direction without noise in it must be 0 to rounding."""
    values, directions = torch.linalg.eigh(covariance)
    noisy = values > 1e-9 * values.max().clamp_min(1e-30)
    along = difference @ directions
    if along[~noisy].norm() > 1e-9 * (1 + difference.norm()):
        return torch.zeros(())
    statistic = (along[noisy].square() / values[noisy]).sum()
    return torch.special.gammaincc(noisy.sum() / 2, statistic / 2) if noisy.any() else torch.ones(())


def claims_of(overrides: Sequence[str]) -> Claims:
    """Paper, bias and cost by the docstring of the factory that makes the mechanism."""
    module, _, factory = settings(*overrides)["_target_"].rpartition(".")
    doc = getattr(importlib.import_module(module), factory).__doc__ or ""
    return Claims(*(_line(doc, word) for word in ("Paper", "Bias", "Cost")))


def _line(doc: str, word: str) -> str:
    found = re.search(rf"^\s*{word}: (.+?)\.?$", doc, re.MULTILINE)
    return found[1] if found else "-"


def jobs() -> list[list[str]]:
    """Overrides of every mechanism with its defaults, and with each of its baselines where it has some."""
    found = []
    for name in choices("attention"):
        target = yaml.safe_load((CONFIGS / "attention" / f"{name}.yaml").read_text(encoding="utf-8"))[
            "_target_"
        ]
        baselines = [
            [f"attention.baseline={baseline}"] for baseline in get_args(settings_of(target).get("baseline"))
        ]
        found += [[f"attention={name}", *baseline] for baseline in baselines or [[]]]
    return found


def lines(jobs: Sequence[Sequence[str]], draws: int, seed: int = 0) -> Iterator[str]:
    """One table a problem, a line or two a mechanism as it is measured, at most 80 columns wide."""
    yield f"{len(SCORES)} positions, {draws:,} estimates each; bias against the mechanism's own objective."
    yield "<x: what is told from 0 only above x, twice the standard error."
    named = [(overrides, _words(overrides), mechanism_of(overrides).objective) for overrides in jobs]
    for problem, loss in PROBLEMS.items():
        yield f"\n{problem}: {(loss.__doc__ or '').rstrip('.')}"
        yield f"{'mechanism':25}{'objective':>10}{'bias':>10}{'cosine':>10}{'variance':>10}{'cost':>6}"
        for overrides, (name, *changes), objective in named:
            found = measure(overrides, loss, draws, seed)
            cosine = "-" if math.isnan(found.cosine) else f"{found.cosine:.4f}"
            row = [
                f"{name:25}{objective:>10}{bias(found):>10}{cosine:>10}{variance(found):>10}{found.cost:6}"
            ]
            yield "\n".join([*row, *(f"  {setting}" for setting in changes)])


def _words(overrides: Sequence[str]) -> list[str]:
    """What a table calls a mechanism: its name and its settings, without the word attention."""
    own = sorted(
        (part for part in overrides if part.startswith("attention")), key=lambda part: "=" not in part[:10]
    )
    return [part.removeprefix("attention=").removeprefix("attention.") for part in own]


def bias(found: Measurement) -> str:
    """The relative bias, or the bound that it is below."""
    if math.isnan(found.relative_bias):
        return "-"
    if found.relative_bias < 1e-9:
        return "0"
    return (
        f"{found.relative_bias:.3f}" if found.biased else f"<{max(2 * found.error, found.relative_bias):.3f}"
    )


def variance(found: Measurement) -> str:
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
        claims, mechanism = claims_of(overrides), mechanism_of(overrides)
        found = [measure(overrides, loss, draws, seed) for loss in PROBLEMS.values()]
        label = " ".join([f"`{name}`", *(f"`{setting}`" for setting in changes)])
        objective = mechanism.objective + (f", bound of {mechanism.bound} draws" if mechanism.bound else "")
        unbiased = "yes" if claims.bias.startswith("none") else "no"
        cells = [label, claims.paper, objective, unbiased, str(found[0].cost)]
        cells += [" / ".join(map(show, found)) for show in (bias, variance)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _vector(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
