"""Brute force beside the tests: every mechanism on disk, every outcome of its draws, and its objective by a
plain loop.

A mechanism is known by what configs/attention/ says. Its surrogate is averaged over every possible draw,
without Monte Carlo, and the objective it claims is computed from torch alone: nothing here calls the
library's distributions, selectors or estimators to find out what is right.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from attnlab.config.choice_files import settings_in
from attnlab.config.composing import choices
from attnlab.config.engine import search_path
from attnlab.core.distributions import Softmax
from attnlab.core.interfaces import (
    AttentionInput,
    Mechanism,
    Pass,
    Placement,
    Selection,
    Site,
    Surrogate,
)
from attnlab.core.schedules import move_all
from attnlab.randomness import Randomness

HERE = "tests/helpers/enumeration.py"
CONFIGS = Path(__file__).parents[2] / "configs"
PLACES = [CONFIGS]
"""Where choices lie: ours, then the folders that `pytest --config-dir` names."""

Settings = Mapping[str, Any]
Loss = Callable[[Tensor], Tensor]
"""Weights (K, B, #T, S) -> losses (K, B, T)."""


def file_of(group: str, name: str) -> Path:
    """The yaml of a choice."""
    return next(path for place in PLACES if (path := place / group / f"{name}.yaml").is_file())


def choose(group: str, name: str) -> list[str]:
    """What is typed to choose it."""
    return [*search_path(PLACES[1:]), f"{group}={name}"]


def read(group: str, name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The factory that a yaml names, and its settings."""
    settings = settings_in(file_of(group, name))
    module, factory = settings.pop("_target_").rsplit(".", 1)
    return getattr(import_module(module), factory), settings


def names(group: str) -> list[str]:
    """What a group offers, by the names of its files."""
    return choices(group, PLACES)


class Variant(NamedTuple):
    """A mechanism on disk with one choice of its discrete settings."""

    name: str
    settings: dict[str, Any]

    def build(self, state_size: int = 1, **overrides: Any) -> Mechanism:
        """In double precision, for decoder states of a width; overrides of settings that it does not have are
        passed over."""
        factory, defaults = read("attention", self.name)
        mechanism: Mechanism = factory(
            **{**defaults, **self.settings, **{k: v for k, v in overrides.items() if k in defaults}}
        )
        mechanism.estimator.prepare({"attention": Placement(state_size)})
        # a learned baseline that has learned something
        for number, parameter in enumerate(mechanism.estimator.parameters()):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
        for part in mechanism[:3]:
            move_all(part.double(), 0)
        return mechanism

    def __str__(self) -> str:
        return "-".join((self.name, *(f"{key}={value}" for key, value in self.settings.items())))


CONTINUOUS = ("gumbel_softmax", "gumbel_straight_through", "gumbel_rao", "rebar", "variational_gumbel")
"""Their noise cannot be enumerated: test_gumbel.py certifies each of them, and holds that this list is
complete."""
CONTROLS = ("uniform", "oracle")
"""The scores do not enter."""


SWITCHES = ("monotonic", "bias")
"""Settings of which both values are tried."""


def variants(samples: Iterable[int] = (1, 2, 3)) -> list[Variant]:
    """Every mechanism on disk with each of its baselines and numbers of samples."""
    found = []
    for name in names("attention"):
        factory, settings = read("attention", name)
        options: dict[str, Iterable[Any]] = {}
        # `variational` has the estimator of hard_reinforce, with which every baseline is certified
        if "baseline" in settings and name != "variational":
            folder = CONFIGS.parent / "attnlab" / "core" / "baselines"
            options["baseline"] = [path.stem for path in sorted(folder.glob("[!_]*.py"))]
        if "samples" in settings:
            options["samples"] = samples
        options |= {switch: (False, True) for switch in SWITCHES if switch in settings}
        for values in itertools.product(*options.values()):
            chosen = dict(zip(options, values, strict=True))
            if chosen.get("samples") == 3 and "baseline" in chosen:
                continue  # two tell all there is about independent draws
            with contextlib.suppress(ValueError):  # a refusal, which has a test of its own
                factory(**{**settings, **chosen})
                found.append(Variant(name, chosen))
    return found


def enumerable(samples: Iterable[int] = (1, 2, 3)) -> list[Variant]:
    """Those whose every outcome can be forced."""
    return [variant for variant in variants(samples) if variant.name not in CONTINUOUS]


# --- every outcome ---


class Forced(Randomness):
    """Positions to take instead of drawing (K B T, or 1 where they are alike); -1 = draw."""

    def __init__(self, forced: Tensor, seed: int = 0):
        super().__init__(torch.Generator().manual_seed(seed))
        self.forced = forced

    def position(self, log_probs: Tensor) -> Tensor:
        forced = self.forced[-len(log_probs) :]  # of a set with a part that is not drawn, the last
        return torch.where(forced >= 0, forced, super().position(log_probs))

    def positions(self, log_probs: Tensor, size: int) -> Tensor:
        forced = (self.forced[..., None] == torch.arange(log_probs.size(-1))).any(0, keepdim=True)
        return super().positions(log_probs.masked_fill(forced, torch.inf), size)


def controls_of(mechanism: Mechanism) -> tuple[str, ...]:
    """The alternatives that a baseline asks for."""
    return getattr(mechanism.selector, "controls", ())


def passed(selection: Selection, state: Tensor) -> Pass:
    """A pass that chose at one site, asked by states (B T Q)."""
    return Pass(selection.log_prob[..., None], {"attention": Site(selection, state[None], "step")})


def surrogate_of(
    mechanism: Mechanism, losses: Tensor, selection: Selection, valid: Tensor, state: Tensor
) -> Surrogate:
    """What the estimator makes of losses at one site."""
    return mechanism.estimator(losses, passed(selection, state), valid)


def select(
    mechanism: Mechanism,
    scores: Tensor,
    mask: Tensor,
    forced: Tensor,
    seed: int = 0,
    gold: Tensor | None = None,
) -> Selection:
    """A selection from scores (B T S); forced (K B T, or 1 where they are alike), -1 = draw."""
    return mechanism.selector(asked(scores, mask, gold), Forced(forced, seed))


def asked(scores: Tensor, mask: Tensor, gold: Tensor | None = None) -> AttentionInput:
    """What a selector is shown: scores (B T S) of a single alternative, masked."""
    gold = torch.zeros_like(mask) if gold is None else gold
    return AttentionInput(scores.masked_fill(~mask, -torch.inf)[None], mask[None], gold[None])


def is_random(mechanism: Mechanism) -> bool:
    """Whether anything depends on the generator when nothing is forced."""
    scores, mask = torch.zeros(1, 50, 8, dtype=torch.float64), torch.ones(1, 1, 8, dtype=torch.bool)
    one, other = (select(mechanism, scores, mask, torch.full((1, 1, 1), -1), seed) for seed in (0, 1))
    return not all(x.equal(y) for x, y in zip(one, other, strict=True))


def number_of_draws(mechanism: Mechanism) -> int:
    """How many independent draws a mechanism makes at a step, found by forcing. Randomness beyond reach is an
    error."""
    scores, mask = (
        torch.linspace(-1, 1, 8, dtype=torch.float64).view(1, 1, 8),
        torch.ones(1, 1, 8, dtype=torch.bool),
    )
    at = [select(mechanism, scores, mask, torch.full((1, 1, 1), position)) for position in (0, 1)]
    for position, selection in enumerate(at):
        for seed in range(1, 6):
            again = select(mechanism, scores, mask, torch.full((1, 1, 1), position), seed)
            if not all(x.equal(y) for x, y in zip(selection, again, strict=True)):
                raise AssertionError(
                    "forced positions leave something random: this mechanism needs an enumeration of its own"
                )
    if at[0].weights.equal(at[1].weights):
        return 0
    return len(at[0].weights) - len(controls_of(mechanism))


class Outcome(NamedTuple):
    """What to force at every step, and how likely that is there."""

    forced: Tensor  # K
    chance: Tensor  # ... T, no gradient


def law(variant: Variant, probs: Tensor) -> list[Outcome]:
    """Every outcome of a step's draws under probs (... T S)."""
    probs = probs.detach()
    if variant.name in LAWS:
        return LAWS[variant.name](variant.settings["samples"], probs)
    return _independent(number_of_draws(variant.build()), probs)


def _independent(draws: int, probs: Tensor) -> list[Outcome]:
    """prod_k p(s_k); a single outcome where nothing is drawn."""
    if not draws:
        return [Outcome(torch.tensor([-1]), torch.ones_like(probs[..., 0]))]
    outcomes = torch.tensor(list(itertools.product(range(probs.size(-1)), repeat=draws)))
    return [Outcome(outcome, probs[..., outcome].prod(-1)) for outcome in outcomes]


def _sets(size: int, probs: Tensor) -> list[Outcome]:
    """P(S), the sum over all orders of drawing without replacement. Where fewer are there, all sets with them
    are alike."""
    sets = list(itertools.combinations(range(probs.size(-1)), min(size, probs.size(-1))))
    chances = torch.zeros(len(sets), *probs.shape[:-1], dtype=probs.dtype)
    for place in itertools.product(*map(range, probs.shape[:-1])):
        p = probs[place].tolist()
        there = {position for position, share in enumerate(p) if share > 0}
        holding = [set(chosen) >= there for chosen in sets]
        for number, chosen in enumerate(sets):
            chances[number, *place] = (
                holding[number] / sum(holding) if len(there) < size else _any_order(chosen, p)
            )
    return [Outcome(torch.tensor(chosen), chance) for chosen, chance in zip(sets, chances, strict=True)]


def _any_order(chosen: tuple[int, ...], p: list[float]) -> float:
    total = 0.0
    for order in itertools.permutations(chosen):
        chance, left = 1.0, set(range(len(p)))
        for position in order:
            chance *= p[position] / sum(p[other] for other in left)
            left -= {position}
        total += chance
    return total


def _one_outside(size: int, probs: Tensor) -> list[Outcome]:
    """p(z) over the sum outside the `size` most probable. Where nothing is outside, it does not matter what
    is drawn."""
    size = min(size, probs.size(-1) - 1)
    best = one_hot_rows(probs.argsort(dim=-1, descending=True, stable=True)[..., :size], probs).sum(-2).bool()
    outside = probs.masked_fill(best, 0.0)
    rest = outside.sum(-1, keepdim=True)
    chance = torch.where(rest > 0, outside / rest.clamp_min(1e-300), 1 / probs.size(-1))
    return [Outcome(torch.tensor([position]), chance[..., position]) for position in range(probs.size(-1))]


LAWS: dict[str, Callable[[int, Tensor], list[Outcome]]] = {
    "unordered_set": _sets,
    "sum_and_sample": lambda samples, probs: _one_outside(samples - 1, probs),
}
"""Draws that are not independent: samples and probs (... T S) -> every outcome."""


def expectation(chance: Tensor, value: Tensor) -> Tensor:
    """Sum of chance * value, where what cannot happen may be infinite."""
    return torch.where(chance > 0, chance * value, 0.0).sum()


def mean_surrogate(
    variant: Variant,
    mechanism: Mechanism,
    loss: Loss,
    scores: Tensor,
    mask: Tensor,
    valid: Tensor,
    probs: Tensor,
) -> Tensor:
    """The surrogate averaged over every outcome under probs, summed over steps.

    Choices at different steps do not interact, so one outcome is forced at all steps and each step's
    surrogate is weighed by its own probability. The returns come with their gradient: a surrogate that lets
    it through is wrong.
    """
    state = torch.linspace(-1, 1, valid.numel(), dtype=scores.dtype).view(*valid.shape, 1)
    total = torch.zeros((), dtype=scores.dtype)
    for outcome in law(variant, probs):
        selection = select(mechanism, scores, mask, outcome.forced.view(-1, 1, 1), gold=GOLD)
        losses = loss(selection.weights)
        surrogate = surrogate_of(mechanism, losses, selection, valid, state).loss
        total = total + expectation(outcome.chance, surrogate)
    return total


# --- what is right ---


GOLD = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)[:, None]
"""Right positions of the three rows of the tests' problems: two of them, none known, the only one there."""


def softmax(scores: Tensor, mask: Tensor, beta: float) -> Tensor:
    return torch.softmax((beta * scores).masked_fill(~mask, -torch.inf), -1)


def _sparse(z: Tensor, mask: Tensor, at: Callable[..., Tensor], slope: Callable[[Tensor], Tensor]) -> Tensor:
    """By bisection, p(tau) = 1, with the Jacobian diag(s) - s s' / sum s of Peters et al. 2019
    (1905.05702)."""
    z = z.masked_fill(~mask, -1e4)
    with torch.no_grad():
        high = z.amax(-1, keepdim=True).abs() + 1
        low = -high
        for _ in range(200):
            middle = (low + high) / 2
            below = at(z, middle).sum(-1, keepdim=True) >= 1
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        p = at(z, low)
        s = slope(p)
    moved = z - z.detach()
    return p + s * moved - s * (s * moved).sum(-1, keepdim=True) / s.sum(-1, keepdim=True)


def _sparsemax(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    return _sparse(
        settings["beta"] * scores, mask, lambda z, tau: (z - tau).clamp_min(0), lambda p: (p > 0).to(p.dtype)
    )


def _entmax15(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    return _sparse(
        settings["beta"] * scores, mask, lambda z, tau: (z / 2 - tau).clamp_min(0).square(), torch.sqrt
    )


def _entmax_alpha(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    excess = settings["alpha"] - 1
    number = mask.sum(-1, keepdim=True).clamp_min(1).double().log() if settings["log_length"] else 1.0
    return _sparse(
        settings["beta"] * number * scores,
        mask,
        lambda z, tau: (excess * z - tau).clamp_min(0) ** (1 / excess),
        lambda p: torch.where(p > 0, p ** (1 - excess), 0.0),
    )


def _topk(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    better = (scores.masked_fill(~mask, -torch.inf)[..., None, :] > scores[..., None]).sum(-1)
    return softmax(scores, mask & (better < settings["k"]), settings["beta"])


def _log_length(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    number = mask.sum(-1, keepdim=True).clamp_min(1)
    return softmax(scores * number.double().log(), mask.expand(scores.shape), settings["beta"])


def _adaptive_temperature(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    plain = softmax(scores, mask, settings["beta"])
    there = torch.where(plain > 0, plain, 1.0)
    h = -(plain * there.log()).sum(-1, keepdim=True)
    b = (((-0.037 * h + 0.481) * h - 2.3) * h + 4.917) * h - 1.791
    b = torch.where(h > 0.5, torch.maximum(b, torch.ones_like(b)), 1.0)
    return softmax(b * scores, mask, settings["beta"])


def _local(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    """Of the first step, which tests show as every one."""
    near = mask & (torch.arange(scores.size(-1)) <= settings["offset"] + settings["width"])
    near = torch.where(near.any(-1, keepdim=True), near, mask)
    return softmax(scores, near, settings["beta"])


def _sigmoid(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    number = mask.sum(-1, keepdim=True).double() if settings["bias"] else 1.0
    odds = (settings["beta"] * scores).exp() / number
    return (odds / (1 + odds)).masked_fill(~mask, 0.0)


def _sink(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    odds = (settings["beta"] * scores).exp().masked_fill(~mask, 0.0)
    return odds / (1 + odds.sum(-1, keepdim=True))


def _stick_breaking(scores: Tensor, mask: Tensor, settings: Settings) -> Tensor:
    parts = torch.sigmoid(settings["beta"] * scores).masked_fill(~mask, 0.0)
    left, weights = torch.ones_like(parts[..., 0]), []
    for part in reversed(parts.unbind(-1)):
        weights.append(left * part)
        left = left * (1 - part)
    return torch.stack(weights[::-1], -1)


DISTRIBUTIONS: dict[str, Callable[[Tensor, Tensor, Settings], Tensor]] = {
    "log_length": _log_length,
    "adaptive_temperature": _adaptive_temperature,
    "local": _local,
    "sparsemax": _sparsemax,
    "sparsemax_expected": _sparsemax,
    "entmax15": _entmax15,
    "entmax15_expected": _entmax15,
    "entmax_alpha": _entmax_alpha,
    "topk": _topk,
    "sigmoid": _sigmoid,
    "sink": _sink,
    "stick_breaking": _stick_breaking,
    "differential": lambda scores, mask, settings: softmax(scores, mask, settings["beta"]),  # of a single map
    "hard_chain": lambda scores, mask, settings: softmax(scores, mask, settings["beta"]),  # of the first step
}
"""Distributions that are no softmax, in torch alone: scores (B T S), mask (B #T S), settings -> probs (B T
S); where weights need not sum to one, these, whose shares are the probabilities."""


def distribution(variant: Variant, scores: Tensor, mask: Tensor, beta: float, gold: Tensor = GOLD) -> Tensor:
    """The distribution behind a mechanism, from torch alone, or the weights whose shares it is. A test that
    needs one that is not written is skipped: one test says so."""
    if unwritten(variant):
        pytest.skip(unwritten(variant))
    if variant.name in CONTROLS:
        mask = mask.expand_as(scores)
        chosen = gold & mask if variant.name == "oracle" else mask
        chosen = torch.where(chosen.any(-1, keepdim=True), chosen, mask).to(scores.dtype)
        return chosen / chosen.sum(-1, keepdim=True) + 0 * scores.masked_fill(~mask, 0.0)
    if variant.name in DISTRIBUTIONS:
        settings = {**read("attention", variant.name)[1], **variant.settings, "beta": beta}
        return DISTRIBUTIONS[variant.name](scores, mask, settings)
    return softmax(scores, mask, beta)


def unwritten(variant: Variant) -> str:
    """What the tests must be told of a mechanism before they can judge it, in a sentence; "" where they know
    all."""
    mechanism, name = (
        variant.build(),
        f'["{variant.name}"] of {HERE}, or of --definitions FILE',
    )
    behind = type(mechanism.distribution)
    if behind is not Softmax and variant.name not in (*DISTRIBUTIONS, *CONTROLS):
        return (
            f"{variant.name} chooses by {behind.__name__}: write it, in torch alone, as a function of "
            f"scores, mask and settings, in DISTRIBUTIONS{name}"
        )
    if not mechanism.facts.unbiased and variant.name not in (*CERTIFICATES, *CONTINUOUS):
        return (
            f"{variant.name} is biased for its objective: write what its mean should be, as a function of "
            f"loss and probs, in CERTIFICATES{name}"
        )
    return ""


def one_hot_rows(position: Tensor, like: Tensor) -> Tensor:
    """One-hot rows for positions (...), as long as the last axis of `like`."""
    return torch.nn.functional.one_hot(position, like.size(-1)).to(like.dtype)


def one_hot(position: int, like: Tensor) -> Tensor:
    """A one-hot row for every step of `like` (B T S)."""
    return one_hot_rows(torch.full(like.shape[:-1], position), like)


def objective(kind: str, loss: Loss, probs: Tensor, bound: int = 0) -> Tensor:
    """The loss of every step that `soft`, `expected` or `marginal` names, by a loop over positions: B T.

    With `bound` > 0, that of Burda et al. 2016 (1509.00519) on the marginal, by a loop over all its draws.
    """
    if kind == "soft":
        return loss(probs[None])[0]
    positions = range(probs.size(-1))
    each = [loss(one_hot(position, probs)[None])[0] for position in positions]
    if kind == "expected":
        return torch.stack([probs[..., position] * each[position] for position in positions]).sum(0)
    if kind == "marginal" and bound:
        total = torch.zeros_like(each[0])
        for draws in itertools.product(positions, repeat=bound):
            inside = torch.stack([torch.exp(-each[position]) for position in draws]).mean(0)
            total = total - torch.stack([probs[..., position] for position in draws]).prod(0) * inside.log()
        return total
    if kind == "marginal":
        return (
            -torch.stack([probs[..., position] * torch.exp(-each[position]) for position in positions])
            .sum(0)
            .log()
        )
    raise AssertionError(f"objective {kind!r} has no enumeration")


def at_one_hot(chance: Tensor, loss: Loss, probs: Tensor, path: Callable[[Tensor], Tensor]) -> Tensor:
    """sum over D of chance(D) (loss(D) + dL/dw(D) . path(D)): what a straight-through estimator means by its
    path.

    What lies behind the choice gets the gradient of the loss at the one-hot weights, the scores that of the
    path.
    """
    total = torch.zeros_like(probs[..., 0])
    for position in range(probs.size(-1)):
        hard = one_hot(position, probs)
        weights = hard[None].requires_grad_()
        value = loss(weights)
        (slope,) = torch.autograd.grad(value.sum(), weights, retain_graph=True)
        total = total + chance[..., position] * (loss(hard[None]) + (slope.detach() * path(hard)).sum(-1))[0]
    return total


def second_order(hard: Tensor, probs: Tensor) -> Tensor:
    """The path of ReinMax: gradient 2 J(q) - J(p) / 2 in the scores, q = (D + p) / 2, by J(q) ds = q (dp/p -
    q . dp/p)."""
    middle = (hard + probs.detach()) / 2
    relative = torch.where(probs > 0, probs / probs.detach().clamp_min(1e-300), 0.0)
    return 2 * middle * (relative - (middle * relative).sum(-1, keepdim=True)) - probs / 2


CERTIFICATES: dict[str, Callable[[Loss, Tensor], Tensor]] = {
    "hard_straight_through": lambda loss, probs: at_one_hot(probs.detach(), loss, probs, lambda hard: probs),
    "argmax_straight_through": lambda loss, probs: at_one_hot(
        one_hot_rows(probs.argmax(-1), probs), loss, probs, lambda hard: probs
    ),
    "reinmax": lambda loss, probs: at_one_hot(
        probs.detach(), loss, probs, lambda hard: second_order(hard, probs)
    ),
}
"""What the mean of a biased estimator should be: loss and probs (B T S) -> B T, with the gradient that the
mean must have."""


def along_paths(mechanism: Mechanism, each: Tensor, probs: Tensor) -> Tensor:
    """-log p(y_1 ... y_t), by a loop over every path of t positions, less that of one symbol less: B T.

    each: losses of positions, S B T. From r, positions have the shares p(s) exp(jump(r, s)), or p(s) where
    those are all 0.
    """
    jumps: Any = mechanism.distribution.jumps
    (positions, _, steps), longest = each.shape, jumps.longest

    def move(r: int, s: int) -> Tensor | float:
        held = max(-longest, min(longest, s - r))
        return 0.0 if jumps.monotonic and s < r else jumps.weights[held + jumps.back].exp()

    def onward(t: int, r: int, s: int) -> Tensor:
        total = sum(probs[:, t, other] * move(r, other) for other in range(positions))
        assert isinstance(total, Tensor)
        there = total > 0
        return torch.where(
            there, probs[:, t, s] * move(r, s) / torch.where(there, total, 1.0), probs[:, t, s]
        )

    found = [torch.zeros_like(probs[:, 0, 0])]
    for length in range(1, steps + 1):
        likelihood = torch.zeros_like(found[0])
        for path in itertools.product(range(positions), repeat=length):
            chance = probs[:, 0, path[0]]
            for t, (r, s) in enumerate(itertools.pairwise(path), 1):
                chance = chance * onward(t, r, s)
            paid = sum(each[s, :, t] for t, s in enumerate(path))
            assert isinstance(paid, Tensor)
            likelihood = likelihood + chance * torch.exp(-paid)
        found.append(-likelihood.log())
    return torch.stack(found[1:], -1) - torch.stack(found[:-1], -1)


CHAINS = ("hard_chain",)
"""A step's choice depends on the step before: they are certified over every path."""


def certificate(variant: Variant, mechanism: Mechanism, loss: Loss, probs: Tensor) -> Tensor:
    """A loss per step, B T, with the gradient that the mechanism's mean must have. No mechanism passes
    without one."""
    if variant.name in CHAINS:
        positions = range(probs.size(-1))
        each = torch.stack([loss(one_hot(position, probs)[None])[0] for position in positions])
        return along_paths(mechanism, each, probs)
    if mechanism.facts.unbiased:
        return objective(mechanism.facts.objective, loss, probs, mechanism.facts.bound)
    return CERTIFICATES[variant.name](loss, probs)


# --- comparison ---


def gradients(value: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """The gradient of a scalar in all leaves, as one vector."""
    found = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(x) if g is None else g).flatten() for x, g in zip(leaves, found, strict=True)]
    )


def assert_same_gradient(estimate: Tensor, exact: Tensor, tolerance: float = 1e-10) -> None:
    """Direction, length and every entry. Direction alone would not see a baseline that contains its own
    sample."""
    assert exact.norm() > 1e-3, "a comparison with nothing"
    cosine = torch.nn.functional.cosine_similarity(estimate, exact, 0).item()
    ratio = (estimate.norm() / exact.norm()).item()
    assert cosine == pytest.approx(1, abs=tolerance), f"cosine {cosine}, ratio of norms {ratio}"
    assert ratio == pytest.approx(1, abs=tolerance), f"cosine {cosine}, ratio of norms {ratio}"
    torch.testing.assert_close(estimate, exact, rtol=tolerance, atol=tolerance)
