"""How the weight of a position that leads by a gap depends on the number of positions, against closed forms;
what is learned of a distribution; and where else each looks."""

import math
from collections.abc import Callable
from typing import Any

import entmax
import numpy as np
import pytest
import torch
from enumeration import Variant, asked, one_hot
from torch import Tensor

import attnlab
from attnlab.core.attention import Attention
from attnlab.core.choosing import choosing
from attnlab.core.evaluation import rule_of
from attnlab.core.interfaces import AttentionInput, Placement
from attnlab.core.scores import Dot
from attnlab.mechanisms import entmax_alpha
from attnlab.randomness import Randomness
from attnlab.training.exams import divided

GAP, BETA, PADDING = 0.75, 2.0, 5
LENGTHS = [8, 64, 512, 4096]


def weights_of(name: str, scores: Tensor, mask: Tensor, step: int = 0, **settings: Any) -> Tensor:
    """What a mechanism multiplies the values of one row with, in training: S."""
    mechanism = Variant(name, {}).build(beta=BETA, **settings)
    inputs = asked(scores[None, None], mask[None, None])._replace(step=torch.tensor([step]))
    return mechanism.selector(inputs, Randomness(torch.Generator())).weights[0, 0, 0]


def led(number: int, name: str, leader: int = 2, **settings: Any) -> tuple[Tensor, Tensor]:
    """Weights of the leader, which is GAP above all others at 0, and of these; behind them lies padding that
    scores higher."""
    scores = torch.zeros(number + PADDING, dtype=torch.float64)
    scores[leader], scores[number:] = GAP, 2 * GAP
    weights = weights_of(name, scores, torch.arange(len(scores)) < number, **settings)
    assert (weights[number:] == 0).all()
    return weights[leader], torch.cat([weights[:leader], weights[leader + 1 : number]])


def share(gain: float, number: int) -> float:
    """Of a position whose odds against each other one are exp(gain)."""
    return math.exp(gain) / (math.exp(gain) + number - 1)


def adaptive(number: int) -> float:
    """NumPy reads coefficients from the highest power on, as the paper prints them."""
    p = share(BETA * GAP, number)
    rest = (1 - p) / (number - 1)
    entropy = -p * math.log(p) - (1 - p) * math.log(rest)
    sharper = max(1.0, float(np.polyval([-0.037, 0.481, -2.3, 4.917, -1.791], entropy)))
    return share((sharper if entropy > 0.5 else 1.0) * BETA * GAP, number)


def squares(number: int, gain: float) -> float:
    """entmax of alpha 1.5: (gain / 2 - u)^2 + (n - 1) u^2 = 1 with u below 0, and 1 where the others get
    nothing."""
    half = gain / 2
    if half >= 1:
        return 1.0
    u = (half - math.sqrt(half**2 - number * (half**2 - 1))) / number
    return (half - u) ** 2


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMS: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "soft": ({}, lambda n: share(BETA * GAP, n)),
    "log_length": ({}, lambda n: share(BETA * GAP * math.log(n), n)),
    "adaptive_temperature": ({}, adaptive),
    "entmax_alpha": ({"alpha": 1.5, "learned": False}, lambda n: squares(n, BETA * GAP)),
    "entmax_alpha, log n": (
        {"alpha": 1.5, "learned": False, "log_length": True},
        lambda n: squares(n, BETA * GAP * math.log(n)),
    ),
    "sigmoid": ({"bias": True}, lambda n: sigmoid(BETA * GAP - math.log(n))),
    "sigmoid, no bias": ({"bias": False}, lambda n: sigmoid(BETA * GAP)),
    "sink": ({}, lambda n: math.exp(BETA * GAP) / (1 + math.exp(BETA * GAP) + n - 1)),
    "stick_breaking": ({}, lambda n: sigmoid(BETA * GAP) * 0.5 ** (n - 3)),  # others at 1/2
    "local": ({"width": 3, "offset": 1}, lambda n: share(BETA * GAP, 5)),  # around the second, 0 to 4
}


@pytest.mark.parametrize("number", LENGTHS)
@pytest.mark.parametrize("name", FORMS)
def test_the_weight_of_a_leader_follows_its_closed_form_in_the_number_of_positions(name: str, number: int):
    settings, form = FORMS[name]
    weight, _ = led(number, name.partition(",")[0], **settings)
    assert weight.item() == pytest.approx(form(number), rel=1e-9, abs=1e-300)


def test_a_softmax_loses_its_leader_where_log_length_and_entmax_keep_it():
    weight = {name: [led(n, name)[0].item() for n in LENGTHS] for name in ("soft", "log_length", "sink")}
    assert weight["soft"][0] > 10 * weight["soft"][-1] and weight["sink"][-1] < 0.01
    assert weight["log_length"][-1] > weight["log_length"][0] > 0.5, "beta * gap is above 1"
    entmax_ = [led(n, "entmax_alpha", alpha=1.75)[0].item() for n in LENGTHS]
    assert entmax_ == [1.0] * len(LENGTHS), "beta * gap is above 1 / 0.75"


@pytest.mark.parametrize(("number", "acts"), [(16, True), (256, True), (512, False)])
def test_adaptive_temperature_acts_up_to_an_entropy_of_594_hundredths_of_a_nat(number: int, acts: bool):
    """Of almost equal scores, whose entropy is log n: exp(5.945) is 381.7."""
    scores = 0.01 * torch.arange(number, dtype=torch.float64).sin()
    mask = torch.ones(number, dtype=torch.bool)
    one, other = (weights_of(name, scores, mask) for name in ("adaptive_temperature", "soft"))
    assert (one.max() > other.max() * (1 + 1e-6)) == acts and (one - other).abs().max().gt(1e-12) == acts


def test_stick_breaking_serves_the_last_positions_first():
    """What stands before a position, however much and however high, takes nothing from it."""
    near, far = (led(n, "stick_breaking", leader=n - 3)[0].item() for n in (8, 4096))
    assert near == far == pytest.approx(sigmoid(BETA * GAP) / 4)


@pytest.mark.parametrize("name", ["sigmoid", "sink", "stick_breaking"])
def test_where_every_score_is_low_nothing_is_read_but_argmax_reads_the_most_probable_value(name: str):
    scores = torch.tensor([-30.0, -29.0, -31.0], dtype=torch.float64)[None, None]
    inputs = asked(scores, torch.ones(1, 1, 3, dtype=torch.bool))
    mechanism, draws = Variant(name, {}).build(beta=BETA), Randomness(torch.Generator())
    weights, _, _, probs, _ = rule_of(mechanism)(inputs, draws)
    assert weights.sum() < 1e-20 and probs.sum().item() == pytest.approx(1)
    assert rule_of(mechanism, "argmax")(inputs, draws).weights[0].equal(one_hot(1, scores))
    assert rule_of(mechanism, "marginal")(inputs, draws).mass.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("bias", [False, True])
def test_sigmoid_weights_sum_to_one_at_equal_scores_with_the_bias_alone(bias: bool):
    scores = torch.zeros(1000, dtype=torch.float64)
    total = weights_of("sigmoid", scores, torch.ones(1000, dtype=torch.bool), bias=bias).sum().item()
    assert total == pytest.approx(1000 / 1001 if bias else 500)


@pytest.mark.parametrize("offset", [-1, 2])
def test_local_looks_near_each_step_and_everywhere_where_nothing_is_near(offset: int):
    scores = torch.linspace(-1, 1, 9, dtype=torch.float64).sin()
    mask = torch.arange(9) != 4
    for step in range(14):
        near = {s for s in range(9) if abs(s - step - offset) <= 2 and s != 4} or set(range(9)) - {4}
        weights = weights_of("local", scores, mask, step, width=2, offset=offset)
        assert set(weights.nonzero()[:, 0].tolist()) == near
        odds = {s: math.exp(BETA * scores[s].item()) for s in near}
        assert {s: weights[s].item() for s in near} == pytest.approx(
            {s: value / sum(odds.values()) for s, value in odds.items()}
        )


# --- alpha ---


def rows() -> Tensor:
    return 2 * torch.randn(7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("alpha", [1.05, 1.3, 1.5, 1.9, 2.0])
def test_entmax_and_its_gradients_are_those_of_the_entmax_package(alpha: float):
    scores, costs = rows().requires_grad_(), rows().roll(1, 0)
    excess = torch.tensor(alpha - 1, dtype=torch.float64, requires_grad=True)
    theirs = torch.full((7, 1), alpha, dtype=torch.float64, requires_grad=True)
    ours = entmax_alpha.entmax(scores, excess)
    package: Any = entmax
    expected = package.entmax_bisect(scores, theirs, n_iter=80, ensure_sum_one=False)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(ours.sum(-1), torch.ones(7, dtype=torch.float64), rtol=0, atol=1e-14)
    (one, of_excess), (other, of_alpha) = (
        torch.autograd.grad((probs * costs).sum(), leaves)
        for probs, leaves in ((ours, (scores, excess)), (expected, (scores, theirs)))
    )
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)
    assert of_excess.item() == pytest.approx(of_alpha.sum().item(), rel=1e-6)


def test_entmax_is_sparsemax_at_2_and_tends_to_softmax_at_1():
    scores = rows()
    ends = [entmax_alpha.entmax(scores, torch.tensor(excess, dtype=torch.float64)) for excess in (1e-9, 1.0)]
    torch.testing.assert_close(ends[0], scores.softmax(-1), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ends[1], entmax.sparsemax(scores, -1), rtol=1e-12, atol=1e-12)


def test_entmax_of_what_is_no_number_is_none():
    scores = torch.tensor([[0.0, math.nan, 1.0], [0.0, 1.0, -math.inf]])
    found = entmax_alpha.entmax(scores, torch.tensor(0.5))
    assert found[0].isnan().any() and found[1].isfinite().all() and found[1, 2] == 0


@pytest.mark.parametrize("name", ["log_length", "entmax_alpha"])
def test_what_is_learned_gets_the_gradient_of_the_loss(name: str):
    """By central differences."""
    mechanism = Variant(name, {"learned": True}).build(beta=BETA)
    (learned,) = mechanism.selector.parameters()
    costs = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0], dtype=torch.float64)
    mask = torch.tensor([1, 1, 1, 1, 0], dtype=torch.bool)[None, None]
    scores = torch.tensor([0.3, 0.2, -0.1, 0.4, 0.0], dtype=torch.float64)[None, None]

    def loss() -> Tensor:
        inputs: AttentionInput = asked(scores, mask)
        return (mechanism.selector(inputs, Randomness(torch.Generator())).weights * costs).sum()

    (found,) = torch.autograd.grad(loss(), learned)
    start, values = learned.item(), []
    for shift in (-1e-5, 1e-5):
        learned.data.fill_(start + shift)
        values.append(loss().item())
    assert found.item() == pytest.approx((values[1] - values[0]) / 2e-5, rel=1e-6) and abs(found) > 0.01


@pytest.mark.parametrize("name", ["log_length", "entmax_alpha", "differential"])
def test_a_model_with_a_single_number_to_learn_is_examined(name: str):
    built = attnlab.build(
        [f"attention={name}", "attention.learned=true", "model.hidden_size=8", "batch_size=3"]
    )
    assert any(parameter.ndim == 0 for parameter in built.model.parameters())
    (part,) = divided(built.model, built.task.train(0), built.training.rule)
    assert len(part.source) == 3


def test_a_learned_alpha_starts_below_2():
    with pytest.raises(ValueError, match="must start below 2, got alpha=2"):
        Variant("entmax_alpha", {"alpha": 2.0, "learned": True}).build()


# --- two maps ---

CANCELLED = 0.3


def halves(query: Tensor, key: Tensor, mask: Tensor, scale: float, cancelled: Tensor) -> Tensor:
    """softmax(q1 k1) - c softmax(q2 k2), q1 and k1 the first halves."""
    size = query.size(-1) // 2
    first, second = (
        (BETA * scale * query[..., half] @ key[..., half].mT).masked_fill(~mask, -math.inf).softmax(-1)
        for half in (slice(size), slice(size, None))
    )
    return first - cancelled * second


@pytest.mark.parametrize("door", ["a model's attention", "attnlab.attention"])
def test_differential_attention_subtracts_the_map_of_the_other_halves(door: str):
    mechanism = Variant("differential", {"cancelled": CANCELLED, "learned": True}).build(beta=BETA)
    (logit,) = mechanism.selector.parameters()
    made = [torch.randn(2, n, 6, generator=torch.Generator().manual_seed(n)).double() for n in (3, 5)]
    query, key = (x.requires_grad_() for x in made)
    values = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(7)).double()
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0]], dtype=torch.bool)[:, None]
    scale = 0.4
    if door == "attnlab.attention":
        found = attnlab.attention(query, key, values, mask, mechanism=mechanism, scale=scale)
        read, probs = found.output[0], found.selection.probs[0]
    else:
        attention = Attention(Dot(scale), mechanism.selector)
        choose = choosing(
            mechanism.selector, Randomness(torch.Generator()), {"attention": Placement(6)}, ~mask
        )
        context, selection = attention(query[None], attention.memory(key, values, mask), choose)
        read, probs = context[0], selection.probs[0]
    weights = halves(query, key, mask, scale, logit.sigmoid())
    torch.testing.assert_close(read, weights @ values, rtol=1e-12, atol=1e-12)
    assert logit.sigmoid().item() == pytest.approx(CANCELLED) and (weights < 0).any()
    positive = weights.clamp_min(0)
    torch.testing.assert_close(probs, positive / positive.sum(-1, keepdim=True))
    leaves = [query, key, logit]
    pairs = [torch.autograd.grad(x.square().sum(), leaves) for x in (read, weights @ values)]
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        assert other.abs().sum() > 0.01


def test_differential_attention_refuses_a_width_that_has_no_halves():
    with pytest.raises(ValueError, match="into 2 parts, and needs a width that can be divided so, got 7"):
        attnlab.build(["attention=differential", "model.hidden_size=7"])
