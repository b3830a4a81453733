"""Input feeding: what a step reads enters the next state, so a choice is credited with all that follows it.

The models are those of attnlab, in double precision, with padding in source and target; what is right comes
from every path of choices, and from a loop over torch's own cells.
"""

import functools
from typing import Any

import pytest
import torch
from test_model import BATCH, make, run
from test_sites import TARGET, VALID, Small, averaged, exact, losses_of
from torch import Tensor, nn

from attnlab.building import assemble
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.core.attention import Attention
from attnlab.core.baselines import baseline_class
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import Choose, Pass, Reach
from attnlab.core.scores import Dot
from attnlab.core.selectors import Draws, Mixture
from attnlab.models.decoding import greedy
from attnlab.models.model import shifted, token_losses
from attnlab.models.recurrent import gru, lstm
from attnlab.randomness import Randomness
from attnlab.tasks.batch import PAD, Batch

SOURCE = torch.tensor([[1, 2, 3], [3, 1, PAD]])


class Fed(Small):
    """A recurrent model of attnlab with input feeding, on a batch of two steps."""

    choices = 2

    def __init__(self, factory: Any = gru, layers: int = 1):
        super().__init__()
        torch.manual_seed(2)
        sizes = {"embedding_size": 2, "hidden_size": 3, "readout_size": 3, "layers": layers, "dropout": 0.0}

        def attention(query_size: int, state_size: int) -> Attention:
            selector = Mixture(Softmax(1.0))  # which nothing asks: a pass is handed what to choose by
            return Attention(Dot(1.0), selector, nn.Linear(state_size, query_size, bias=False))

        self.model = factory(4, 4, attention, **sizes, input_feeding=True)
        self.sites = self.model.sites
        self.ready()

    def forward(self, choose: Choose) -> Pass:
        batch = Batch(SOURCE, TARGET, torch.zeros(2, 1, 3, dtype=torch.bool))
        return self.model(batch, choose, Randomness(None))


@functools.cache
def truth(factory: Any, layers: int) -> Tensor:
    return exact(Fed(factory, layers), 3)


def mean(net: Small, samples: int, baseline: str, credit: Reach | None = None) -> Tensor:
    """The mean of the estimates of REINFORCE, over every path of every rollout."""
    made = baseline_class(baseline, samples)
    estimator = Reinforce(made, credit)
    estimator.prepare(net.sites)
    for number, parameter in enumerate(estimator.double().parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))

    def surrogate(chance: Tensor, taken: Pass) -> Tensor:
        return chance.detach() * estimator(losses_of(taken), taken, VALID).loss.sum(-1)

    selector = Draws(Softmax(1.0).double(), samples, made.controls)
    return averaged(net, selector, samples, 3, surrogate)


@pytest.mark.parametrize(
    ("factory", "layers", "samples", "baseline"),
    [
        (lstm, 1, 1, "none"),
        (lstm, 2, 1, "self_critical"),
        (gru, 1, 2, "leave_one_out"),
        (gru, 2, 1, "learned"),
        (gru, 1, 1, "moving_average"),
        (gru, 1, 1, "soft"),
    ],
)
def test_the_mean_over_every_path_is_the_gradient_of_the_expected_loss(
    factory: Any, layers: int, samples: int, baseline: str
) -> None:
    right, found = truth(factory, layers), mean(Fed(factory, layers), samples, baseline)
    assert right.norm() > 0.1
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("credit", "is_right"), [("later", True), ("all", True), ("step", False)])
def test_credit_for_the_own_step_alone_is_wrong_and_for_the_whole_row_right(
    credit: Reach, is_right: bool
) -> None:
    right, found = truth(gru, 1), mean(Fed(), 1, "none", credit)
    off = (found - right).norm() / right.norm()
    assert off < 1e-10 if is_right else off > 0.02


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_it_is_a_loop_over_cells_that_are_fed_what_was_read(cell: str, layers: int) -> None:
    net = make(cell, layers, feeding=True)
    source, mask = BATCH.source, BATCH.source != PAD
    states = net.encoder(source, mask, None)
    keys = net.attention.project(states)
    kinds: Any = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}
    cells = []
    for layer in net.decoder.layers:
        assert isinstance(layer, nn.RNNBase)
        alone = kinds[cell](layer.input_size, layer.hidden_size).double()
        alone.load_state_dict({name.removesuffix("_l0"): p for name, p in layer.state_dict().items()})
        cells.append(alone)
    carried: list[Any] = [None] * layers
    context = torch.zeros(len(source), 5, dtype=torch.float64)
    steps = []
    for symbol in shifted(BATCH.target).T:
        x = torch.cat([net.decoder.embedding(symbol), context], -1)
        for index, alone in enumerate(cells):
            carried[index] = alone(x, carried[index])
            x = carried[index][0] if cell == "lstm" else carried[index]
        scores = (keys @ x[..., None]).squeeze(-1).masked_fill(~mask, -torch.inf)
        context = torch.einsum(
            "bs,bsr->br", torch.softmax(1.5 * scores, -1), net.decoder.from_context(states)
        )
        steps.append(net.decoder.output(torch.tanh(net.decoder.from_state(x) + context)))
    torch.testing.assert_close(run(net, BATCH).logits[0], torch.stack(steps, 1), rtol=1e-12, atol=1e-12)


def test_greedy_decoding_feeds_what_it_reads() -> None:
    """Each symbol is the most probable one of a pass that is shown those before it."""
    net = make("gru", feeding=True)
    rule = Mixture(Softmax(1.5).double())
    found = greedy(net, BATCH, rule, 6)
    for length in range(1, found.size(1)):
        taken = run(net, BATCH._replace(target=found[:, : length + 1]), selector=rule)
        best = taken.logits[0, :, length].index_fill(-1, torch.tensor([0, 1, 3]), -torch.inf).argmax(-1)
        going = found[:, length] != PAD
        assert torch.equal(found[:, length][going], best[going])


@pytest.mark.parametrize(
    "attention", ["hard_exact", "hard_marginal", "hard_chain", "rebar", "vimco", "unordered_set"]
)
def test_what_tries_positions_step_by_step_is_refused(
    attention: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [f"attention={attention}", "model.input_feeding=true", f"runs_dir={tmp_path / 'runs'}"]
    assert train(command, None) == 2 and not (tmp_path / "runs").exists()
    assert "reach its own step alone" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("attention", ["soft", "hard_reinforce", "gumbel_rao", "argmax_straight_through"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_every_parameter_is_trained_in_training_mode(attention: str, cell: str) -> None:
    tree = compose(
        [f"attention={attention}", f"model={cell}", "model.input_feeding=true", "batch_size=3"]
    ).tree
    built = assemble(tree)
    built.training.move(0)
    batch = built.task.train(0)
    taken = built.model(batch, _chooser(built), Randomness(torch.Generator().manual_seed(0)))
    losses = token_losses(taken.logits, batch.target)
    surrogate = built.training.estimator(losses, taken, batch.target != PAD)
    surrogate.loss.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in built.model.parameters())


def _chooser(built: Any) -> Choose:
    generator = torch.Generator().manual_seed(1)
    return lambda site, inputs: built.attention.selector(inputs, Randomness(generator))
