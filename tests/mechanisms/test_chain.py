"""Chains: the forward algorithm, posteriors, Viterbi's path, evaluation and decoding, against a loop over
every path of positions."""

import itertools
from typing import Any

import pytest
import torch
from enumeration import along_paths, read
from torch import Tensor, nn

import attnlab
from attnlab.building import assemble
from attnlab.config.composing import compose
from attnlab.core.attention import Attention
from attnlab.core.choosing import before_each, choosing, in_turn
from attnlab.core.evaluation import rule_of
from attnlab.core.interfaces import Mechanism, Pass
from attnlab.core.schedules import move_all
from attnlab.core.scores import Dot
from attnlab.mechanisms.chain import Chained, moves, posterior, viterbi
from attnlab.models.decoding import greedy
from attnlab.models.model import shifted, taken_by, token_losses
from attnlab.models.recurrent import Seq2Seq
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS, EOS, PAD, UNK, Batch
from attnlab.training.answers import predictions

SOURCE = torch.tensor([[4, 10, 6, 7, 4], [8, 5, 9, PAD, PAD], [7, PAD, PAD, PAD, PAD], [PAD] * 5])
TARGET = torch.tensor([[12, 4, 9, EOS], [7, EOS, PAD, PAD], [EOS, PAD, PAD, PAD], [4, 9, EOS, PAD]])
VALID = TARGET != PAD
B, T, S = 4, 4, 5
NOTHING = Randomness(None)
both = pytest.mark.parametrize("monotonic", [False, True], ids=["anywhere", "monotonic"])


def batch_of(positions: int) -> Batch:
    """The batch with so many source positions, where the last row is all padding."""
    return Batch(SOURCE[:, :positions], TARGET, torch.zeros(B, 1, positions, dtype=torch.bool))


def chain(monotonic: bool) -> Mechanism:
    """In double precision, with weights of jumps that matter; distances beyond 2 share those of the ends."""
    factory, settings = read("attention", "hard_chain")
    mechanism: Mechanism = factory(**{**settings, "longest_jump": 2, "monotonic": monotonic, "beta": 1.5})
    for part in mechanism[:3]:
        move_all(part.double(), 0)
    nn.init.normal_(jumps(mechanism).weights, 0.0, 1.5, torch.Generator().manual_seed(7))
    return mechanism


def jumps(mechanism: Mechanism) -> Any:
    assert isinstance(mechanism.distribution, Chained)
    return mechanism.distribution.jumps


def model(mechanism: Mechanism, seed: int = 0) -> Seq2Seq:
    """A small model with its weights doubled, so that a difference shows."""
    torch.manual_seed(seed)

    def attention(query_size: int, state_size: int) -> Attention:
        return Attention(Dot(1.0), mechanism.selector, nn.Linear(state_size, query_size))

    sizes = dict(embedding_size=3, hidden_size=7, readout_size=5, layers=1, dropout=0.0, input_feeding=False)
    net: Seq2Seq = read("model", "lstm")[0](11, 13, attention, **sizes)
    for part in (net.encoder, net.attention.project, net.decoder):
        for parameter in part.parameters():
            parameter.data.mul_(2)
    return net.double().eval()


def passed(net: Seq2Seq, mechanism: Mechanism, batch: Batch) -> tuple[Pass, Tensor]:
    """A pass in which each step knows itself alone, and its losses."""
    taken = taken_by(net, batch, mechanism.selector, NOTHING)
    return taken, token_losses(taken.logits, batch.target)


def close(found: Tensor, right: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(found, right, rtol=tolerance, atol=tolerance)


@both
@pytest.mark.parametrize("positions", [5, 1])
def test_value_and_every_gradient_are_those_of_the_sum_over_every_path(positions: int, monotonic: bool):
    mechanism = chain(monotonic)
    net = model(mechanism)
    taken, losses = passed(net, mechanism, batch_of(positions))
    found = mechanism.estimator(losses, taken, VALID).loss
    probs = taken.sites["attention"].selection.log_prob.exp().movedim(0, -1)
    right = torch.where(VALID, along_paths(mechanism, losses, probs), 0.0)
    close(found, right)
    parameters = dict(net.named_parameters())
    pair = [torch.autograd.grad(x.sum(), [*parameters.values()], retain_graph=True) for x in (found, right)]
    for name, one, other in zip(parameters, *pair, strict=True):
        close(one, other)
        # a single position is certain, and read in a single step; q . b is the same for all keys
        assert positions == 1 or name == "attention.project.bias" or other.norm() > 1e-6, name


@both
def test_a_row_does_not_feel_the_others(monotonic: bool) -> None:
    mechanism = chain(monotonic)
    taken, losses = passed(model(mechanism), mechanism, batch_of(S))
    losses.retain_grad()
    mechanism.estimator(losses, taken, VALID).loss[0].sum().backward()
    assert losses.grad is not None
    assert losses.grad[:, 0].abs().sum() > 0.1 and (losses.grad[:, 1:] == 0).all()


def test_without_jumps_it_is_the_marginal_of_each_step() -> None:
    mechanism = chain(False)
    taken, losses = passed(model(mechanism), mechanism, batch_of(S))
    marginal = -torch.logsumexp(taken.sites["attention"].selection.log_prob - losses, 0)
    assert (mechanism.estimator(losses, taken, VALID).loss - marginal)[VALID].abs().max() > 0.01
    nn.init.zeros_(jumps(mechanism).weights)
    close(mechanism.estimator(losses, taken, VALID).loss, torch.where(VALID, marginal, 0.0))


# --- where it attends ---


def every_path(mechanism: Mechanism) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], dict[int, Tensor]]:
    """What `posterior` and `viterbi` take, and for each row the joint probability of every path of its
    steps."""
    seeded = torch.Generator().manual_seed(3)
    scores = 2 * torch.randn(S, B, T, generator=seeded, dtype=torch.float64)
    scores[2:, 1], scores[1:, 2] = -torch.inf, -torch.inf  # two positions, and a single one
    log_prob = scores.log_softmax(0).clamp_min(torch.finfo(torch.float64).min / 4)
    losses = 2 * torch.rand(S, B, T, generator=seeded, dtype=torch.float64)
    jump = jumps(mechanism)(S).detach()
    joint = {}
    for row in range(B):
        length = int(VALID[row].sum())
        joint[row] = torch.zeros((S,) * length, dtype=torch.float64)
        for path in itertools.product(range(S), repeat=length):
            log_chance = log_prob[path[0], row, 0]
            for t, (r, s) in enumerate(itertools.pairwise(path), 1):
                onward = log_prob[:, row, t] + jump[r]
                log_chance = log_chance + onward[s] - onward.logsumexp(0)
            paid = sum(losses[s, row, t] for t, s in enumerate(path))
            joint[row][path] = (log_chance - paid).exp()
    return (log_prob, losses, jump, VALID), joint


@both
def test_posteriors_are_the_shares_of_the_paths_through_a_position(monotonic: bool) -> None:
    given, joint = every_path(chain(monotonic))
    with torch.no_grad():
        found = posterior(*given)
    for row, chances in joint.items():
        for step in range(T):
            right = torch.zeros(S).double()
            if step < chances.ndim:
                right = chances.movedim(step, 0).reshape(S, -1).sum(1) / chances.sum()
            close(found[row, step], right, 1e-12)


@both
def test_viterbis_path_is_the_most_probable_of_all(monotonic: bool) -> None:
    given, joint = every_path(chain(monotonic))
    found = viterbi(*given)
    for row, chances in joint.items():
        best = torch.unravel_index(chances.argmax(), chances.shape)
        right = [int(position) for position in best] + [-1] * (T - chances.ndim)
        assert found[row].tolist() == right
    if monotonic:
        assert (found[0].diff() >= 0).all()


@both
def test_from_every_position_it_goes_somewhere(monotonic: bool) -> None:
    """Also from one behind which the mask leaves none; never to what is masked."""
    mask = torch.tensor([[[1, 1, 1, 1, 1], [0, 1, 1, 0, 0]], [[0, 0, 0, 1, 0], [1, 0, 0, 0, 0]]]).bool()
    log_prob = torch.zeros(2, 2, S).double().masked_fill(~mask, -torch.inf).log_softmax(-1)
    log_prob = log_prob.clamp_min(torch.finfo(torch.float64).min / 4).movedim(-1, 0)
    onward = moves(log_prob, jumps(chain(monotonic))(S)).exp()  # T B S S
    close(onward.sum(-1), torch.ones(2, 2, S).double())
    assert (onward.movedim(-1, -2).transpose(0, 1)[~mask] == 0).all()


# --- what is predicted ---


@both
def test_teacher_forced_the_nll_of_evaluation_is_the_objective_of_training(monotonic: bool) -> None:
    mechanism = chain(monotonic)
    net, batch = model(mechanism), batch_of(S)
    taken, losses = passed(net, mechanism, batch)
    seen = predictions(net, batch, rule_of(mechanism))
    nll = -seen.log_probs.gather(-1, TARGET[..., None])[..., 0]
    close(nll[VALID], mechanism.estimator(losses, taken, VALID).loss[VALID], 1e-12)
    close(seen.log_probs.exp().sum(-1), torch.ones(B, T).double(), 1e-12)
    close(seen.probs[0, :3].sum(-1), torch.ones(3, T).double(), 1e-12)
    assert (seen.probs[0, 1, :, 3:] == 0).all() and (seen.probs[0, 3] == 0).all()


@both
def test_the_belief_that_goes_from_step_to_step_is_that_of_all_steps_at_once(monotonic: bool) -> None:
    mechanism = chain(monotonic)
    net, batch, rule = model(mechanism), batch_of(S), rule_of(mechanism)
    taken, losses = passed(net, mechanism, batch)
    together = in_turn(rule, taken, before_each(losses)).sites["attention"].selection
    choose = choosing(rule, NOTHING, net.sites, batch.gold)
    memory, _ = net.encode(batch.source, choose, NOTHING)
    state, before, earlier = net.start(memory), None, torch.zeros(1, B, 1).double()
    for step, previous in enumerate(shifted(TARGET).split(1, 1)):
        taken, state = net.step(previous, state, memory, choose, NOTHING)
        before = in_turn(rule, taken, earlier, before)
        earlier = token_losses(taken.logits, TARGET[:, step : step + 1])
        alone = before.sites["attention"].selection
        for name in ("mass", "log_prob"):
            close(getattr(alone, name)[..., 0], getattr(together, name)[..., step], 1e-12)
        close(alone.probs[..., 0, :], together.probs[..., step, :], 1e-12)


@both
def test_greedy_decoding_takes_the_best_symbol_given_all_it_has_said(monotonic: bool) -> None:
    """What is generated, taken as the target, is what evaluation finds most probable at every step."""
    mechanism, never = chain(monotonic), torch.tensor([PAD, BOS, UNK])
    rule, differs = rule_of(mechanism), 0
    for seed in range(4):
        net, batch = model(mechanism, seed), batch_of(S)
        net.decoder.output.weight.data.mul_(4)
        symbols = greedy(net, batch, rule, 6)
        said = batch._replace(target=symbols)
        best = predictions(net, said, rule).log_probs.index_fill(-1, never, -torch.inf).argmax(-1)
        assert torch.equal(best[symbols != PAD], symbols[symbols != PAD])
        taken, _ = passed(net, mechanism, said)
        forgetful = torch.logsumexp(taken.sites["attention"].selection.log_prob[..., None] + taken.logits, 0)
        differs += int((forgetful.index_fill(-1, never, -torch.inf).argmax(-1) != best).sum())
    assert differs > 0


@pytest.mark.parametrize("rule", ["soft", "argmax", "topk"])
def test_a_rule_that_reads_each_step_by_itself_is_refused(rule: str) -> None:
    tree = compose(["attention=hard_chain", f"evaluate_as={rule}"]).tree
    with pytest.raises(ValueError, match="evaluate_as=marginal follows it"):
        assemble(tree)


@both
def test_it_trains_models_of_ones_own(monotonic: bool) -> None:
    """`attnlab.attention`, whose steps are those of the query."""
    mechanism = attnlab.mechanism("hard_chain", monotonic=monotonic)
    nn.init.normal_(jumps(mechanism).weights, generator=torch.Generator().manual_seed(0))
    seeded = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, n, 7, generator=seeded) for n in (T, S, S))
    read_ = attnlab.attention(query, key, value, mechanism=mechanism)
    losses = read_.output.square().mean(-1)
    probs = torch.softmax(query @ key.mT / 7**0.5, -1)
    close(read_.surrogate(losses), along_paths(mechanism, losses, probs), 1e-5)
