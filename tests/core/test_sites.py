"""Several sites, heads, and choices that reach on: estimates averaged over every draw, against the exact
gradient.

Small models of their own, with a row whose mask is shorter and one whose target is: what an estimator does at
one site, it must do here for paths of choices.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attnlab.core.attention import attend
from attnlab.core.baselines.learned import Learned
from attnlab.core.baselines.leave_one_out import LeaveOneOut
from attnlab.core.baselines.moving_average import MovingAverage
from attnlab.core.baselines.none import NoBaseline
from attnlab.core.baselines.self_critical import SelfCritical
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise, Reinforce
from attnlab.core.interfaces import (
    AttentionInput,
    Baseline,
    Choose,
    Pass,
    Placement,
    Reach,
    Selection,
    Selector,
    Site,
)
from attnlab.core.selectors import Draws, Enumeration, Mixture
from attnlab.models.model import joined
from attnlab.randomness import Randomness, log_prob_of

B = 2
TARGET = torch.tensor([[1, 3], [2, 0]])
VALID = torch.tensor([[True, True], [True, False]])


class Tape(Randomness):
    """Positions forced call by call, the same in all rows, and the log of their chance in each row."""

    def __init__(self, positions: tuple[int, ...]):
        super().__init__(torch.Generator())
        self.left, self.log_chance = list(positions), torch.zeros(B, dtype=torch.float64)

    def position(self, log_probs: Tensor) -> Tensor:
        shape = (len(log_probs), *log_probs.shape[2:-1])
        number = torch.Size(shape).numel()
        now, self.left = torch.tensor(self.left[:number]).view(shape), self.left[number:]
        position = now[:, None].expand(log_probs.shape[:-1])
        self.log_chance = self.log_chance + log_prob_of(position, log_probs).movedim(1, 0).flatten(1).sum(1)
        return position


def ask(query: Tensor, keys: Tensor, mask: Tensor | None = None) -> AttentionInput:
    """Dot products of queries (K B *H T Q) with keys (B *H S Q)."""
    scores = query @ keys.transpose(-1, -2)
    mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    return AttentionInput(scores.masked_fill(~mask, -torch.inf), mask, torch.zeros_like(mask))


class Small(nn.Module):
    """A model in double precision with weights that are large enough to matter."""

    sites: dict[str, Placement]
    choices: int
    """Positions that a pass draws for each alternative."""

    def ready(self) -> None:
        for parameter in self.double().parameters():
            parameter.data.mul_(1.7)

    def previous(self) -> Tensor:
        return nn.functional.pad(TARGET[:, :-1], (1, 0))


class Feeding(Small):
    """The context enters the next state: a choice reaches its own and all later steps."""

    def __init__(self, reach: Reach = "later"):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.cell, self.out = nn.Embedding(4, 3), nn.GRUCell(6, 3), nn.Linear(6, 4)
        self.keys = nn.Parameter(torch.randn(B, 3, 3))
        self.sites, self.choices = {"attention": Placement(3, reach)}, 2
        self.ready()

    def forward(self, choose: Choose) -> Pass:
        mask = torch.ones(B, 1, 3, dtype=torch.bool)
        mask[1, 0, -1] = False
        state = context = self.keys.new_zeros(1, B, 3)
        steps = []
        for previous in self.previous().T:
            read = torch.cat([self.embedding(previous).expand(len(context), B, 3), context], -1)
            state = self.cell(read.flatten(0, 1), state.flatten(0, 1)).view(len(context), B, 3)
            query = state[:, :, None]
            selection = choose("attention", ask(query, self.keys, mask))
            context = attend(selection.weights, self.keys).squeeze(2)
            state = state.expand(len(context), B, 3)
            logits = self.out(torch.cat([state, context], -1))[:, :, None]
            steps.append(Pass(logits, {"attention": Site(selection, query, self.sites["attention"].reach)}))
        return joined(steps, {})


class Layers(Small):
    """Causal self-attention between two layers of hard cross attention with two heads each."""

    def __init__(self, reaches: tuple[Reach, Reach] = ("later", "step")):
        super().__init__()
        torch.manual_seed(1)
        self.embedding, self.position = nn.Embedding(4, 4), nn.Parameter(torch.randn(2, 4))
        self.query, self.key, self.value, self.own = (
            nn.ModuleList(nn.Linear(4, size) for _ in range(2)) for size in (4, 4, 4, 12)
        )
        self.out, self.memory = nn.Linear(4, 4), nn.Parameter(torch.randn(B, 2, 4))
        self.sites = {f"decoder.{layer}": Placement(4, reach, heads=2) for layer, reach in enumerate(reaches)}
        self.choices = 8
        self.ready()

    def forward(self, choose: Choose) -> Pass:
        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (2, 2)).transpose(-2, -3)

        x, sites = (self.embedding(self.previous()) + self.position)[None], {}
        causal = torch.ones(2, 2, dtype=torch.bool).tril()
        for layer, (name, place) in enumerate(self.sites.items()):
            q, k, v = map(heads, self.own[layer](x).chunk(3, -1))
            own = torch.softmax((q @ k.transpose(-1, -2)).masked_fill(~causal, -torch.inf), -1) @ v
            x = x + own.transpose(-2, -3).flatten(-2)
            keys, values = heads(self.key[layer](self.memory)), heads(self.value[layer](self.memory))
            selection = choose(name, ask(heads(self.query[layer](x)), keys))
            sites[name] = Site(selection, x, place.reach)
            x = torch.tanh(x + attend(selection.weights, values).transpose(-2, -3).flatten(-2))
        return Pass(self.out(x), sites)


class Both(Small):
    """Hard self-attention in the encoder, which reaches all of the row, and hard cross attention."""

    def __init__(self, reach: Reach = "all"):
        super().__init__()
        torch.manual_seed(4)
        self.source, self.embedding = nn.Parameter(torch.randn(B, 2, 3)), nn.Embedding(4, 3)
        self.query, self.key, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 4)
        self.sites = {"encoder": Placement(3, reach, aligned=False), "decoder": Placement(3)}
        self.choices = 4
        self.ready()

    def forward(self, choose: Choose) -> Pass:
        x = self.source[None]
        inside = choose("encoder", ask(self.query(x), self.key(self.source)))
        memory = torch.tanh(x + attend(inside.weights, self.source))
        state = self.embedding(self.previous())[None]
        across = choose("decoder", ask(state, memory))
        logits = self.out(torch.tanh(state + attend(across.weights, memory)))
        encoder = Site(inside, x, self.sites["encoder"].reach)
        return Pass(logits, {"encoder": encoder, "decoder": Site(across, state, "step")})


def losses_of(taken: Pass) -> Tensor:
    target = TARGET.expand(len(taken.logits), -1, -1)
    return -taken.logits.log_softmax(-1).gather(-1, target[..., None]).squeeze(-1)


def averaged(net: Small, selector: Selector, alternatives: int, positions: int, value: Any) -> Tensor:
    """The gradient in all parameters of value(pass), B, weighed by the chance of every path of choices."""
    total = torch.zeros((), dtype=torch.float64)
    for path in itertools.product(range(positions), repeat=net.choices * alternatives):
        tape = Tape(path)
        taken = net(lambda site, inputs, tape=tape: selector(inputs, tape))
        chance = tape.log_chance.exp()
        total = total + torch.where(chance > 0, value(chance, taken), 0.0).sum()
    found = torch.autograd.grad(total, list(net.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])


def exact(net: Small, positions: int) -> Tensor:
    """The gradient of the expected loss, its chances differentiated."""

    def loss(_: Tensor, taken: Pass) -> Tensor:
        log_chance = sum(site.selection.log_prob[0].flatten(1).sum(1) for site in taken.sites.values())
        assert isinstance(log_chance, Tensor)
        return log_chance.exp() * torch.where(VALID, losses_of(taken)[0], 0.0).sum(-1)

    return averaged(net, Draws(Softmax(1.0).double(), 1), 1, positions, loss)


def estimated(net: Small, samples: int, make: Callable[[], Baseline], positions: int) -> Tensor:
    """The mean of the estimates."""
    estimator = Reinforce(make)
    estimator.prepare(net.sites)
    for number, parameter in enumerate(estimator.double().parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
    estimator.update(torch.arange(4.0, dtype=torch.float64).view(1, B, 2), VALID)
    controls = make().controls

    def surrogate(chance: Tensor, taken: Pass) -> Tensor:
        return chance.detach() * estimator(losses_of(taken), taken, VALID).loss.sum(-1)

    selector = Draws(Softmax(1.0).double(), samples, controls)
    return averaged(net, selector, samples, positions, surrogate)


CASES = {
    "input feeding": (Feeding, 3, [(1, NoBaseline), (2, LeaveOneOut), (1, SelfCritical), (1, Learned)]),
    "two layers of two heads": (Layers, 2, [(1, NoBaseline), (1, SelfCritical), (1, Learned)]),
    "encoder and decoder": (Both, 2, [(1, NoBaseline), (2, LeaveOneOut), (1, MovingAverage), (1, Learned)]),
}


@pytest.mark.parametrize(
    ("case", "samples", "make"),
    [
        pytest.param(case, samples, make, id=f"{case}-{make.__name__}-{samples}")
        for case, (_, _, estimates) in CASES.items()
        for samples, make in estimates
    ],
)
def test_the_mean_over_every_path_is_the_gradient_of_the_expected_loss(
    case: str, samples: int, make: type[Baseline]
) -> None:
    model, positions, _ = CASES[case]
    net = model()
    right, mean = exact(net, positions), estimated(net, samples, make, positions)
    assert right.norm() > 0.1
    torch.testing.assert_close(mean, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("net", "positions"),
    [(Feeding("step"), 3), (Layers(("step", "step")), 2), (Both("step"), 2)],
    ids=["input feeding", "a lower layer", "an encoder"],
)
def test_a_reach_that_is_declared_too_short_is_noticed(net: Small, positions: int) -> None:
    """The angle may hardly tell (a cosine of 0.999997 at the lower layer): the difference does."""
    right, mean = exact(net, positions), estimated(net, 1, NoBaseline, positions)
    assert (mean - right).norm() > 1e-3 * right.norm()


def test_a_reach_that_is_declared_too_long_is_right_too() -> None:
    net = Layers(("later", "later"))
    torch.testing.assert_close(estimated(net, 1, NoBaseline, 2), exact(net, 2), rtol=1e-10, atol=1e-10)


class Inferred(Selector):
    """Draws from a posterior, with its divergence from the prior as cost: a bound on the likelihood."""

    def __init__(self, posterior: Tensor, samples: int):
        super().__init__(Softmax(1.0).double())
        self.posterior, self.draws = posterior, Draws(self.distribution, samples)

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        q, log_q = self.distribution(inputs._replace(scores=self.posterior))
        _, log_p = self.distribution(inputs)
        drawn = self.draws(inputs._replace(scores=self.posterior), randomness)
        return drawn._replace(cost=(q * (log_q - log_p)).sum(-1))


def test_what_a_choice_costs_is_paid_once_and_trained() -> None:
    """A divergence of the posterior that is drawn from: the mean is the gradient of the evidence bound."""
    seeded = torch.Generator().manual_seed(3)
    prior, posterior, costs = (
        torch.randn(1, B, 1, 3, generator=seeded, dtype=torch.float64).requires_grad_() for _ in range(3)
    )
    estimator = Reinforce(LeaveOneOut)
    estimator.prepare({"attention": Placement(3)})
    valid, mask = torch.ones(B, 1, dtype=torch.bool), torch.ones(1, B, 1, 3, dtype=torch.bool)
    total = torch.zeros((), dtype=torch.float64)
    for path in itertools.product(range(3), repeat=2):
        tape = Tape(path)
        selection = Inferred(posterior, 2)(AttentionInput(prior, mask, ~mask), tape)
        losses = (selection.weights * costs).sum(-1).exp()
        taken = Pass(losses[..., None], {"attention": Site(selection, prior, "step")})
        total = total + (tape.log_chance.exp().detach() * estimator(losses, taken, valid).loss[:, 0]).sum()
    q, log_p = posterior.softmax(-1), prior.log_softmax(-1)
    bound = (q * (costs.exp() + q.log() - log_p)).sum()
    leaves = [prior, posterior, costs]
    for one, other in zip(
        torch.autograd.grad(total, leaves), torch.autograd.grad(bound, leaves), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_enumeration_refuses_what_it_cannot_go_on_with() -> None:
    selector, randomness = Enumeration(Softmax(1.0).double()), Randomness(None)
    for net in (Layers(), Feeding()):
        taken = net(lambda site, inputs: Mixture(selector.distribution)(inputs, randomness))
        assert Pathwise()(losses_of(taken), taken, VALID).loss.isfinite().all()
        with pytest.raises(ValueError, match="needs one choice a step"):
            net(lambda site, inputs: selector(inputs, randomness))
