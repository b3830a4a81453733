"""Variational attention: the bound E_q loss + KL(q || p) over every path, in models of attnlab, in double
precision and with padding in source and target."""

import itertools
from typing import Any

import pytest
import torch
from test_sites import TARGET, VALID, Tape, losses_of
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence

from attnlab.building import assemble
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.core.attention import Attention
from attnlab.core.interfaces import AttentionInput, Mechanism, Placement, Selection, single
from attnlab.core.scores import Dot
from attnlab.mechanisms.gumbel import gumbel_softmax
from attnlab.mechanisms.variational import variational, variational_exact, variational_gumbel
from attnlab.models.inference import Inference, inference_for
from attnlab.models.model import Model, taken_by
from attnlab.models.recurrent import lstm
from attnlab.models.transformer import transformer
from attnlab.randomness import Randomness
from attnlab.tasks.batch import PAD, Batch

SOURCE = torch.tensor([[1, 2, 3], [3, 1, PAD]])
BATCH = Batch(SOURCE, TARGET, torch.zeros(2, 1, 3, dtype=torch.bool))
BETA: Any = {"beta": 1.25, "beta_schedule": "constant", "beta_end": None, "beta_steps": None}
SIZES: Any = {"embedding_size": 2, "hidden_size": 3, "readout_size": 3, "layers": 1, "dropout": 0.0}


def make(kind: str, mechanism: Mechanism) -> tuple[Model, int]:
    """A small model that chooses by a mechanism, with its inference network; and the choices of a pass."""
    torch.manual_seed(2)

    def attention(query_size: int, state_size: int | None) -> Attention:
        project = None if state_size is None else nn.Linear(state_size, query_size, bias=False)
        return Attention(Dot(1.0), mechanism.selector, project)

    def recurrent(feeding: bool) -> Model:
        return lstm(4, 4, attention, **SIZES, input_feeding=feeding)

    def heads() -> Model:
        wide: Any = {"hidden_size": 4, "heads": 2, "layers": 1, "dropout": 0.0, "longest": 5}
        return transformer(4, 4, attention, **wide, positions="learned", choose="last")

    made = {"lstm": lambda: recurrent(False), "input feeding": lambda: recurrent(True), "two heads": heads}
    model = made[kind]()
    mechanism.selector.prepare(inference_for(model.sites, 4, 4))
    mechanism.estimator.prepare(model.sites)
    for part in (model, *mechanism[:3]):
        part.double()
    for number, parameter in enumerate([*model.parameters(), *mechanism.estimator.parameters()]):
        nn.init.normal_(parameter, std=0.8, generator=torch.Generator().manual_seed(number))
    return model, 4 if kind == "two heads" else 2


def gradient(value: Tensor, model: Model) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


def bound(model: Model, mechanism: Mechanism, choices: int) -> Tensor:
    """sum over paths of q(path) (loss + log q - log p), at the steps that count: nothing of the mechanism but
    its inference network enters."""
    total = torch.zeros((), dtype=torch.float64)
    informed = mechanism.selector.informed(SOURCE, TARGET)
    for path in itertools.product(range(3), repeat=choices):
        log_q, left, costs = torch.zeros(2, dtype=torch.float64), list(path), []

        def choose(site: str, inputs: AttentionInput, costs: list[Tensor] = costs) -> Selection:
            nonlocal log_q, left
            mask, shape = inputs.mask, inputs.scores.shape[2:-1]
            pair = informed[site][..., inputs.step, :], inputs.scores
            q, p = (torch.log_softmax(1.25 * x.masked_fill(~mask, -600), -1) for x in pair)
            number = shape.numel()
            now, left = torch.tensor(left[:number]).view(shape), left[number:]
            chosen = nn.functional.one_hot(now, 3).expand(inputs.scores.shape).double()
            each, other = (torch.where(chosen > 0, x, 0.0).sum(-1) for x in (q, p))
            log_q = log_q + each[0].flatten(1).sum(1)
            costs.append((each - other)[0].view(2, -1, each.size(-1)).sum(1))
            return single(chosen, chosen)

        taken = model(BATCH, choose, Randomness(None))
        extra = torch.cat(costs, -1)
        value = torch.where(VALID, losses_of(taken)[0] + extra, 0.0).sum(-1)
        total = total + (log_q.exp() * value).sum()
    return total


def averaged(model: Model, mechanism: Mechanism, paths: int) -> Tensor:
    """The mean of the surrogate, over every path of every draw."""
    total = torch.zeros((), dtype=torch.float64)
    for path in itertools.product(range(3), repeat=paths):
        tape = Tape(path)
        taken = taken_by(model, BATCH, mechanism.selector, tape)
        chance = tape.log_chance.exp().detach()
        value = mechanism.estimator(losses_of(taken), taken, VALID).loss.sum(-1)
        total = total + torch.where(chance > 0, chance * value, 0.0).sum()
    return total


@pytest.mark.parametrize(
    ("kind", "baseline"),
    [("lstm", "none"), ("lstm", "soft"), ("input feeding", "self_critical"), ("two heads", "learned")],
)
def test_the_mean_over_every_path_is_the_gradient_of_the_bound(kind: str, baseline: str) -> None:
    mechanism = variational(samples=1, baseline=baseline, inference_size=2, **BETA)
    model, choices = make(kind, mechanism)
    right = gradient(bound(model, mechanism, choices), model)
    assert right.norm() > 0.1
    found = gradient(averaged(model, mechanism, choices), model)
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


def test_with_two_draws_that_are_compared_too() -> None:
    mechanism = variational(samples=2, baseline="leave_one_out", inference_size=2, **BETA)
    model, choices = make("lstm", mechanism)
    right, found = bound(model, mechanism, choices), averaged(model, mechanism, 2 * choices)
    torch.testing.assert_close(gradient(found, model), gradient(right, model), rtol=1e-10, atol=1e-10)


def test_enumerated_it_is_the_bound_itself() -> None:
    mechanism = variational_exact(inference_size=2, **BETA)
    model, choices = make("lstm", mechanism)
    right, found = bound(model, mechanism, choices), averaged(model, mechanism, 0)
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(found, model), gradient(right, model), rtol=1e-10, atol=1e-10)


def test_the_bound_lies_above_the_marginal_and_touches_it_at_the_true_posterior() -> None:
    scores, losses = torch.randn(2, 1, 1, 1, 5, dtype=torch.float64, generator=torch.Generator())
    mask = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    mechanism = variational_exact(inference_size=2, **{**BETA, "beta": 1.0})

    def bound_of(informed: Tensor) -> Tensor:
        inputs = AttentionInput(scores, mask, ~mask, torch.zeros(1, dtype=torch.int64), informed)
        selection = mechanism.selector(inputs, Randomness(None))
        return ((selection.mass * (losses.movedim(-1, 0)[:, 0] + selection.cost)).sum(0)).squeeze()

    marginal = -torch.logsumexp(scores.log_softmax(-1) - losses, -1).squeeze()
    torch.testing.assert_close(bound_of(scores - losses), marginal, rtol=1e-12, atol=1e-12)
    assert bound_of(scores) > marginal + 0.01 and bound_of(-losses) > marginal + 0.01


def test_a_relaxed_draw_is_that_of_gumbel_softmax_from_the_posterior() -> None:
    temperature: Any = {"temperature": 0.7, "temperature_schedule": "constant"}
    settings = {**BETA, **temperature, "temperature_end": None, "temperature_steps": None}
    mine, other = variational_gumbel(inference_size=2, **settings), gumbel_softmax(**settings)
    prior, informed = torch.randn(2, 1, 3, 2, 5, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(1, 3, 2, 5, dtype=torch.bool)
    mask[0, 1, :, 3:] = False
    prior, informed = (x.masked_fill(~mask, -torch.inf) for x in (prior, informed))
    inputs = AttentionInput(prior, mask, ~mask, torch.arange(2))

    def seeded() -> Randomness:
        return Randomness(torch.Generator().manual_seed(4))

    found = mine.selector(inputs._replace(informed=informed), seeded())
    assert torch.equal(found.weights, other.selector(inputs._replace(scores=informed), seeded()).weights)
    q, p = (Categorical(logits=(1.25 * x).clamp_min(-1e30)) for x in (informed, prior))
    torch.testing.assert_close(found.cost, kl_divergence(q, p))
    assert mine.selector(inputs, seeded()).cost.eq(0).all(), "without an inference network, q = p"


def test_an_inference_network_reads_both_ways_and_no_padding() -> None:
    sites = {"attention": Placement(3), "heads": Placement(3, heads=3)}
    torch.manual_seed(0)
    net = Inference(5, 6, sites, 3).double()
    source, target = torch.tensor([[1, 2, 3, 4], [4, 2, PAD, PAD]]), torch.tensor([[5, 1], [3, PAD]])
    found = net(source, target)
    assert found["attention"].shape == (1, 2, 2, 4) and found["heads"].shape == (1, 2, 3, 2, 4)

    def states(encoder: Any, row: Tensor) -> Tensor:
        both = nn.LSTM(3, 3, batch_first=True, bidirectional=True).double()
        named = {**encoder.forwards[0].state_dict()}
        named |= {f"{name}_reverse": value for name, value in encoder.backwards[0].state_dict().items()}
        both.load_state_dict(named)
        return both(encoder.embedding(row)[None])[0][0]

    for row in range(2):
        x, y = source[row][source[row] != PAD], target[row][target[row] != PAD]
        keys, queries = states(net.source, x), states(net.target, y)
        one, several = (map_.weight for map_ in net.maps if isinstance(map_, nn.Linear))
        alone = queries @ (keys @ one.T).T / 6**0.5
        torch.testing.assert_close(found["attention"][0, row, : len(y), : len(x)], alone)
        for head in range(3):
            right = queries @ (keys @ several[6 * head : 6 * head + 6].T).T / 6**0.5
            torch.testing.assert_close(found["heads"][0, row, head, : len(y), : len(x)], right)


@pytest.mark.parametrize("attention", ["variational", "variational_exact", "variational_gumbel"])
def test_every_parameter_is_trained_the_inference_network_too(attention: str) -> None:
    built = assemble(compose([f"attention={attention}", "batch_size=3"]).tree)
    built.training.move(0)
    batch = built.task.train(0)
    taken = taken_by(built.model, batch, built.mechanism.selector, Randomness(torch.Generator()))
    losses = nn.functional.cross_entropy(
        taken.logits.flatten(0, -2), batch.target.expand(taken.logits.shape[:-1]).flatten(), reduction="none"
    ).view(taken.logits.shape[:-1])
    built.training.estimator(losses, taken, batch.target != PAD).loss.sum().backward()
    named = dict(built.model.named_parameters())
    assert sum("inference" in name for name in named) > 10
    assert all(p.grad is not None and p.grad.any() for p in named.values())


def test_evaluation_reads_the_prior_and_sees_no_target() -> None:
    built = assemble(compose(["attention=variational", "batch_size=3"]).tree)
    built.training.move(0)
    batch = built.task.train(0)
    other = batch._replace(target=batch.target.flip(0))
    one, changed = (taken_by(built.model, b, built.training.rule, Randomness(None)) for b in (batch, other))
    first = [taken.sites["attention"].selection.probs[0, :, 0] for taken in (one, changed)]
    assert torch.equal(*first), "the first step has seen nothing of the target"


def test_where_no_position_of_the_source_is_chosen_it_is_refused(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["attention=variational", "model=transformer", "model.choose=all", f"runs_dir={tmp_path / 'x'}"]
    assert train([*command, "evaluate_as=argmax"], None) == 2 and not (tmp_path / "x").exists()
    assert "infers which position of the source" in " ".join(capsys.readouterr().err.split())
